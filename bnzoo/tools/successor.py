"""The layer that replaces a norm, and what it takes over from the old one."""

from typing import Any

import keras
import numpy as np

from bnzoo import norms
from bnzoo.keras_internals import input_shape
from bnzoo.norms import Norm
from bnzoo.norms.record import Record
from bnzoo.norms.records import RECORDS
from bnzoo.tools.graph import Call
from bnzoo.tools.inference import is_known, scale_and_shift

_KINDS_OF_WEIGHT = ("initializer", "regularizer", "constraint")
_AFFINE_OPTIONS = {"center", "scale", *(f"{w}_{kind}" for w in ("gamma", "beta") for kind in _KINDS_OF_WEIGHT)}


def check_function(old: keras.Layer, norm: Norm, calls: list[Call]) -> None:
    """Raise `ValueError` unless a norm can replace another without changing the outputs at inference.

    Args:
        old: The layer of the old norm, built.
        norm: The `Norm` that replaces it.
        calls: The calls of the old layer in its model. One with `training=True` may make it impossible.
    """
    before, after = _record_of(old), norm.record
    both_fixed = before.affine_at_inference and after is not None and after.affine_at_inference
    if not both_fixed and not (norm and _is_same(old, _successor(old, norm, False, True))):
        fixed = ", ".join(name for name, each in RECORDS.items() if each.affine_at_inference)
        raise ValueError(
            f"`keep_function=True` is not possible from {norms.name_of(old)} to {norm.label}, which are different "
            f"functions. It is possible from a norm to itself, and among {fixed}. To remove batch norms, use "
            f"`bnzoo.tools.fold_batch_norm`. Received: layer {old.name}"
        )
    if both_fixed and not is_known(old):
        raise ValueError(
            f"The function of {old.name} cannot be kept: it is a {type(old).__name__}, a subclass that may compute "
            "something else. Build the model with a batch norm of Keras or bnzoo in its place"
        )
    config = old.get_config()
    for option in ("center", "scale"):
        if norm.options.get(option) is False and (config[option] or _needs_affine(old, norm)):
            raise ValueError(
                f"`keep_function=True` needs the weight of `{option}` in {old.name}: leave out {option}=False. "
                f"Received: norm={norm.label}"
            )
    loses_statistics = before.has_moving_statistics and after is not None and not after.has_moving_statistics
    if loses_statistics and old.trainable and any(call.training is True for call in calls):
        raise ValueError(
            f"`keep_function=True` is not possible: {old.name} is called with training=True and uses the statistics "
            "of each batch"
        )


def _record_of(layer: keras.Layer) -> Record:
    return RECORDS[str(norms.name_of(layer))]


def _is_same(old: keras.Layer, new: keras.Layer) -> bool:
    # the axis is the same, but a built layer may write it in another way
    configs = [{**layer.get_config(), "axis": None} for layer in (old, new)]
    return type(old) is type(new) and configs[0] == configs[1]


def successors(old: keras.Layer, norm: Norm, with_activation: bool, keep: bool) -> list[keras.Layer]:
    """Return the layers that replace a norm, without weights yet. The first is the new norm, unless it is none.

    Args:
        old: The old norm's layer, built.
        norm: The new norm.
        with_activation: Boolean, whether the new norm replaces the activation behind the old one too.
        keep: Boolean, whether the function at inference stays the same.
    """
    made = [_successor(old, norm, with_activation, keep)] if norm else []
    activation = _record_of(old).activation
    if activation and old.apply_activation and not (norm.replaces_activation and made[0].apply_activation):
        made.append(keras.layers.Activation(activation, name=f"{old.name}_act", dtype=old.dtype_policy))
    return made


def _successor(old: keras.Layer, norm: Norm, with_activation: bool, keep: bool) -> keras.Layer:
    config = old.get_config()
    carried = _carried_options(old, norm, keep) & set(config) & norm.arguments - set(norm.options)
    overrides = {option: config[option] for option in carried}
    if norm.replaces_activation:
        overrides["apply_activation"] = with_activation or getattr(old, "apply_activation", False)
    overrides["axis"] = _axis(old)
    return norm.layer(input_shape(old), name=old.name, dtype=old.dtype_policy, trainable=old.trainable, **overrides)


def _carried_options(old: keras.Layer, norm: Norm, keep: bool) -> set[str]:
    if keep and _needs_affine(old, norm):
        return _AFFINE_OPTIONS - {"center", "scale"}
    if norms.name_of(old) == norm.name:
        return set(old.get_config())
    if norm.record and norm.record.has_moving_statistics and _record_of(old).has_moving_statistics:
        return {*_AFFINE_OPTIONS, "momentum", "epsilon"}
    return _AFFINE_OPTIONS


def _needs_affine(old: keras.Layer, norm: Norm) -> bool:
    """Return whether the new norm needs another gamma and beta than the old one for the same function."""
    before, after = _record_of(old), norm.record
    if after is None or not (before.affine_at_inference and after.affine_at_inference):
        return False
    return before.has_moving_statistics != after.has_moving_statistics or "epsilon" in norm.options


def _axis(norm: keras.Layer) -> int:
    axes = [norm.axis] if isinstance(norm.axis, int) else list(norm.axis)
    if len(axes) > 1:
        raise ValueError(f"`model` has a norm over several axes, which has no channels. Received: {norm.name}, {axes}")
    return axes[0]


def carry_weights(old: keras.Layer, new: keras.Layer, norm: Norm, keep: bool) -> None:
    """Give the new layer the weights that have the same meaning in both, or those that keep the function."""
    before, after = _record_of(old), norm.record
    if after is None:
        return
    if before is after:
        copy_by_meaning(old, new)
    elif before.unit_scale and after.unit_scale:
        copy_by_meaning(old, new, {"gamma", "beta", "moving_mean", "moving_variance"})
    if keep and _needs_affine(old, norm):
        _start_as(new, *scale_and_shift(old))
    if before is not after and before.has_moving_statistics:
        after.follow_statistics(new)


def copy_by_meaning(old: keras.Layer, new: keras.Layer, names: set[str] | None = None) -> None:
    """Assign to the variables of a layer those of another with the same meaning: all, or those with some names."""
    sources = {_meaning(variable): variable for variable in old.variables}
    for variable in new.variables:
        name = _meaning(variable)
        if name in sources and (names is None or name in names):
            variable.assign(sources[name])


def _meaning(variable: Any) -> str:
    return "gamma" if variable.name == "scale" else variable.name  # the name in RMS norm


def _start_as(norm: keras.Layer, scale: np.ndarray, shift: np.ndarray) -> None:
    """Set gamma and beta of a norm so that with its moving statistics it is a scale and a shift at inference."""
    if isinstance(norm, keras.layers.BatchNormalization):
        mean, variance = (np.asarray(v, np.float64) for v in (norm.moving_mean, norm.moving_variance))
        shift = shift + scale * mean
        scale = scale * np.sqrt(variance + norm.epsilon)
    norm.gamma.assign(np.broadcast_to(scale, norm.gamma.shape))
    norm.beta.assign(np.broadcast_to(shift, norm.beta.shape))
