"""The layer that takes the place of a norm, and what it takes over from it."""

from typing import Any

import keras
import numpy as np

from bnzoo import norms
from bnzoo.keras_internals import input_shape
from bnzoo.norms import Norm
from bnzoo.tools.graph import Call
from bnzoo.tools.inference import scale_and_shift

_OF_THE_BATCH = ("batch", "sync_batch", "ghost_batch", "batch_renorm")
# the same scale and shift for every example at inference
_FIXED = (*_OF_THE_BATCH, "affine")
# gamma scales, and beta shifts, what the norm has brought to unit scale
_OF_UNIT_SCALE = (*_OF_THE_BATCH, "group", "instance", "layer", "rms", "filter_response")
# what a norm that replaces the activation stands for, where another takes its place and has none
_ACTIVATIONS = {"filter_response": "relu", "evonorm_s0": "silu"}
_KINDS_OF_WEIGHT = ("initializer", "regularizer", "constraint")
_AFFINE_OPTIONS = ("center", "scale", *(f"{w}_{kind}" for w in ("gamma", "beta") for kind in _KINDS_OF_WEIGHT))


def check_function(old: keras.Layer, norm: Norm, calls: list[Call]) -> None:
    """Raises `ValueError` unless a norm can start as the function that another is at inference.

    Args:
        old: The norm's layer, built.
        norm: What takes its place.
        calls: The calls of the layer in its model.
    """
    config = old.get_config()
    fixed = norms.name_of(old) in _FIXED and norm.name in _FIXED
    if not fixed and not (norm and _is_same(old, _successor(old, norm, False, True))):
        raise ValueError(
            f"`keep_function=True` is not possible from {norms.name_of(old)} to {norm.label}: one of them computes "
            f"what the other cannot. Possible: each norm by itself, and {', '.join(_FIXED)} by one another; "
            f"`bnzoo.tools.fold_batch_norm` for none at all. Received: layer {old.name}"
        )
    for option in ("center", "scale"):
        if norm.options.get(option) is False and (config[option] or _needs_affine(old, norm)):
            raise ValueError(
                f"`keep_function=True` needs a weight for it in {old.name}: leave out {option}=False. "
                f"Received: norm={norm.label}"
            )
    if norm.name == "affine" and old.trainable and any(call.training is True for call in calls):
        raise ValueError(
            f"`keep_function=True` is not possible: {old.name} is called with training=True and uses the statistics "
            "of each batch"
        )


def _is_same(old: keras.Layer, new: keras.Layer) -> bool:
    # the axis is the old one anyway, but written otherwise once a layer is built
    configs = [{**layer.get_config(), "axis": None} for layer in (old, new)]
    return type(old) is type(new) and configs[0] == configs[1]


def successors(old: keras.Layer, norm: Norm, swallows: bool, keep: bool) -> list[keras.Layer]:
    """The layers that take the place of a norm, which is the first of them, without weights yet.

    Args:
        old: The norm's layer, built.
        norm: What takes its place; none for `Norm(None)`.
        swallows: Boolean, whether the activation behind it is left out, where the norm replaces the activation.
        keep: Boolean, whether the function at inference stays the same.
    """
    made = [_successor(old, norm, swallows, keep)] if norm else []
    name = norms.name_of(old)
    if name in _ACTIVATIONS and old.apply_activation and not (norm.replaces_activation and made[0].apply_activation):
        made.append(keras.layers.Activation(_ACTIVATIONS[name], name=f"{old.name}_act", dtype=old.dtype_policy))
    return made


def _successor(old: keras.Layer, norm: Norm, swallows: bool, keep: bool) -> keras.Layer:
    config = old.get_config()
    carried = _carried_options(old, norm, keep) & set(config) & norm.arguments - set(norm.options)
    overrides = {option: config[option] for option in carried}
    if norm.replaces_activation:
        overrides["apply_activation"] = swallows or getattr(old, "apply_activation", False)
    overrides["axis"] = _axis(old)
    return norm.layer(input_shape(old), name=old.name, dtype=old.dtype_policy, trainable=old.trainable, **overrides)


def _carried_options(old: keras.Layer, norm: Norm, keep: bool) -> set[str]:
    before, after = norms.name_of(old), norm.name
    if keep and _needs_affine(old, norm):
        return set(_AFFINE_OPTIONS) - {"center", "scale"}
    if before == after:
        return set(old.get_config())
    if before in _OF_THE_BATCH and after in _OF_THE_BATCH:
        return {*_AFFINE_OPTIONS, "momentum", "epsilon"}
    return set(_AFFINE_OPTIONS)


def _needs_affine(old: keras.Layer, norm: Norm) -> bool:
    """Whether only another gamma and beta than the old ones give the same function."""
    names = {norms.name_of(old), norm.name}
    return names <= set(_FIXED) and (names > {"affine"} or "epsilon" in norm.options)


def _axis(norm: keras.Layer) -> int:
    axes = [norm.axis] if isinstance(norm.axis, int) else list(norm.axis)
    if len(axes) > 1:
        raise ValueError(f"`model` has a norm over several axes, which has no channels. Received: {norm.name}, {axes}")
    return axes[0]


def carry_weights(old: keras.Layer, new: keras.Layer, norm: Norm, keep: bool) -> None:
    """Gives the new layer the weights that have the same meaning in both, or those that keep the function."""
    before, after = norms.name_of(old), norm.name
    if before == after:
        copy_by_meaning(old, new)
    elif before in _OF_UNIT_SCALE and after in _OF_UNIT_SCALE:
        copy_by_meaning(old, new, {"gamma", "beta", "moving_mean", "moving_variance"})
    if keep and _needs_affine(old, norm):
        _start_as(new, *scale_and_shift(old))
    if after == "batch_renorm" and before in _OF_THE_BATCH and before != after:
        # a trained network: the correction starts from what is known
        new.renorm_mean.assign(new.moving_mean)
        new.renorm_stddev.assign(np.sqrt(np.asarray(new.moving_variance) + new.epsilon))


def copy_by_meaning(old: keras.Layer, new: keras.Layer, names: set[str] | None = None) -> None:
    """Assigns to the variables of a layer those of another that mean the same: of all, or of some names."""
    sources = {_meaning(variable): variable for variable in old.variables}
    for variable in new.variables:
        name = _meaning(variable)
        if name in sources and (names is None or name in names):
            variable.assign(sources[name])


def _meaning(variable: Any) -> str:
    return "gamma" if variable.name == "scale" else variable.name  # RMS norm calls it so


def _start_as(norm: keras.Layer, scale: np.ndarray, shift: np.ndarray) -> None:
    """Lets a norm be a scale and a shift at inference, with the moving statistics that it has."""
    if isinstance(norm, keras.layers.BatchNormalization):
        mean, variance = (np.asarray(v, np.float64) for v in (norm.moving_mean, norm.moving_variance))
        shift = shift + scale * mean
        scale = scale * np.sqrt(variance + norm.epsilon)
    norm.gamma.assign(np.broadcast_to(scale, norm.gamma.shape))
    norm.beta.assign(np.broadcast_to(shift, norm.beta.shape))
