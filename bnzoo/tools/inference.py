"""The scale and shift of a norm at inference."""

import keras
import numpy as np


def scale_and_shift(norm: keras.Layer) -> tuple[np.ndarray, np.ndarray]:
    """Return `s` and `t` of `s * x + t`, the function of a norm at inference, for each channel in float64.

    Args:
        norm: A built batch norm of any kind, or an affine layer.

    Raises:
        ValueError: If a moving statistic is not finite, or a variance is negative.
    """
    scale = np.asarray(norm.gamma, np.float64) if norm.scale else np.array(1.0)
    shift = np.asarray(norm.beta, np.float64) if norm.center else np.array(0.0)
    if not isinstance(norm, keras.layers.BatchNormalization):
        return scale, shift
    mean, variance = (np.asarray(v, np.float64) for v in (norm.moving_mean, norm.moving_variance))
    if not (np.isfinite(mean).all() and np.isfinite(variance).all() and (variance >= 0).all()):
        raise ValueError("its moving statistics are not finite or a variance is negative")
    scale = scale / np.sqrt(variance + norm.epsilon)
    return scale, shift - mean * scale
