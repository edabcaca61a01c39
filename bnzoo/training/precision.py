"""The precision of a training: float32, or 16 bits with variables in float32."""

import math
from collections.abc import Mapping
from typing import Any

import keras

from bnzoo.errors import choice
from bnzoo.keras_internals import functional_model
from bnzoo.machine import may_have_bfloat16
from bnzoo.tools.dtypes import in_mixed_precision
from bnzoo.training.devices import gpus

AUTO, FLOAT32 = "auto", "float32"
# the seconds of a training or a search from which a network is compiled in each precision to find the fastest
WORTHWHILE = 120.0
# the largest share of the time of a step in float32 for which 16 bits are worth their roundings; measured times differ
# by a few percent in any case
_FASTER = 0.9
# the dtype policies of Keras
_POLICIES = {FLOAT32: "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
PRECISIONS = tuple(_POLICIES)


def check_precision(precision: Any) -> str:
    """Return the precision, which may be `"auto"`, if it is known.

    Raises:
        ValueError: If it is not.
    """
    return choice("precision", precision, (AUTO, *PRECISIONS))


def in_precision(model: keras.Model, precision: str) -> keras.Model:
    """Return a model in float32 itself, or a copy of it that trains in 16 bits.

    Raises:
        ValueError: If a copy is needed, and the model is not functional.
    """
    if precision == FLOAT32:
        return model
    if functional_model(model) is None:
        raise ValueError(
            f"`precision` must be 'float32' for a model that is neither functional nor Sequential. Received: "
            f"precision={precision!r} for {type(model).__name__}"
        )
    return in_mixed_precision(model, _POLICIES[precision])


def scaled_loss(optimizer: keras.Optimizer, precision: str) -> keras.Optimizer:
    """Return the optimizer; for float16 one that scales the loss, whose gradients would underflow."""
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == "float16" else optimizer


def unscaled(optimizer: Any) -> Any:
    """Return the optimizer inside one that scales the loss, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def fastest(steps: Mapping[str, float]) -> str:
    """Return the precision to train in: float32, unless another one is clearly faster.

    Args:
        steps: Dict, the seconds of a step by precision.
    """
    name = min(steps, key=steps.__getitem__)
    return name if steps[name] <= _FASTER * steps.get(FLOAT32, math.inf) else FLOAT32


def candidates(precision: str, seconds: float | None = None) -> list[str]:
    """Return the precisions of which the fastest on this machine is taken: one, unless it is `"auto"`.

    bfloat16 is not tried on a processor without instructions for it, where a step takes many times as long as in
    float32. float16 is tried on a GPU only.

    Args:
        precision: String.
        seconds: Float, the time of the training or the search. It may be too short to compile in each precision.
    """
    if precision != AUTO:
        return [precision]
    if seconds is not None and seconds < WORTHWHILE:
        return [FLOAT32]
    if gpus():
        return list(PRECISIONS)
    return [FLOAT32, "bfloat16"] if may_have_bfloat16() else [FLOAT32]
