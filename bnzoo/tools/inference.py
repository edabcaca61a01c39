"""The scale and shift of a norm at inference."""

import keras
import numpy as np

from bnzoo.norms.records import RECORDS

_KNOWN = {keras.layers.BatchNormalization, *(each.layer for each in RECORDS.values() if each.affine_at_inference)}


def is_known(norm: keras.Layer) -> bool:
    """Return whether a norm is an affine layer or a batch norm of Keras or bnzoo. A subclass may compute anything."""
    return type(norm) in _KNOWN


def scale_and_shift(norm: keras.Layer) -> tuple[np.ndarray, np.ndarray]:
    """Return `s` and `t` of `s * x + t`, the function of a norm at inference, for each channel in float64.

    Args:
        norm: A built batch norm of any kind, or an affine layer.

    Raises:
        ValueError: If the layer is of another class, a moving statistic is not finite, or a variance is negative.
    """
    if not is_known(norm):
        raise ValueError(f"it is a {type(norm).__name__}, a subclass that may compute something else")
    scale = np.asarray(norm.gamma, np.float64) if norm.scale else np.array(1.0)
    shift = np.asarray(norm.beta, np.float64) if norm.center else np.array(0.0)
    if not isinstance(norm, keras.layers.BatchNormalization):
        return scale, shift
    mean, variance = (np.asarray(v, np.float64) for v in (norm.moving_mean, norm.moving_variance))
    if not (np.isfinite(mean).all() and np.isfinite(variance).all() and (variance >= 0).all()):
        raise ValueError("its moving statistics are not finite or a variance is negative")
    scale = scale / np.sqrt(variance + norm.epsilon)
    return scale, shift - mean * scale
