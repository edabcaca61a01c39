"""Flat regions of activation functions, measured by applying the function."""

from statistics import NormalDist
from typing import Any

import keras
import numpy as np
from keras import ops

from bnzoo.layers.moments import at_least_float32

# below it hardly any gradient passes: after three such activations less than 1e-4 of it is left
FLAT = 0.05
# far below the width of any bend, far above the rounding error of a difference of float32 values up to 500
_STEP = 1e-3
# at this distance every activation has reached its limit
_FAR = 10.0


def flat(activation: Any, x: Any) -> Any:
    """Return 1 where the slope of an activation is below `FLAT`, else 0."""
    x = at_least_float32(x)
    # `call` and not the layer itself, which would round its input to float16 under mixed precision
    rise = at_least_float32(activation.call(x + _STEP)) - at_least_float32(activation.call(x - _STEP))
    return ops.cast(ops.abs(rise) < FLAT * 2 * _STEP, x.dtype)


def is_bounded(activation: Any, rank: int) -> bool:
    """Return whether an activation is flat on both sides only: sigmoid and tanh are, relu and relu6 are not.

    Args:
        activation: The layer.
        rank: Integer, the number of axes of its input.
    """
    quantiles = [NormalDist().inv_cdf((i + 0.5) / 200) for i in range(200)]
    middle, ends = _flat_at(activation, quantiles, rank), _flat_at(activation, [-_FAR, _FAR], rank)
    return bool(ends.all() and middle.mean() < 0.25)


def name_of(activation: Any) -> str:
    """Return the name of the function that a layer applies."""
    function = getattr(activation, "activation", None)
    return getattr(function, "__name__", None) or type(activation).__name__


def _flat_at(activation: Any, values: list[float], rank: int) -> np.ndarray:
    x = np.reshape(np.asarray(values, "float32"), (-1, *[1] * (rank - 1)))
    return keras.ops.convert_to_numpy(flat(activation, keras.ops.convert_to_tensor(x)))
