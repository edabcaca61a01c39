"""Sums and moments without masked positions, and their dtype."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def at_least_float32(x: Any) -> Any:
    """Return the tensor in the dtype of its statistics: float64 for float64, else float32."""
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))


def along_channels(mask: Any, inputs: Any, axis: int) -> Any:
    """Return the mask as booleans, with an axis for the channels; `None` for `None`.

    Args:
        mask: Tensor of the shape of the inputs without their channels, `False` for masked positions; or `None`.
        inputs: Tensor.
        axis: Integer, the axis of the channels.

    Raises:
        ValueError: If the mask has another rank.
    """
    if mask is None:
        return None
    if len(mask.shape) != len(inputs.shape) - 1:
        raise ValueError(
            "`mask` must have the shape of the inputs without the axis of the channels. "
            f"Received: mask of shape {tuple(mask.shape)} for inputs of shape {tuple(inputs.shape)}"
        )
    return ops.expand_dims(ops.cast(mask, "bool"), axis % len(inputs.shape))


def total(x: Any, mask: Any, axes: Sequence[int]) -> Any:
    """Return the sum of unmasked values over some axes, which are kept with size 1."""
    return ops.sum(x if mask is None else ops.where(mask, x, ops.zeros_like(x)), axes, keepdims=True)


def count(x: Any, mask: Any, axes: Sequence[int]) -> Any:
    """Return the number of unmasked values over some axes, broadcastable with `total`."""
    if mask is not None:
        return total(ops.ones_like(x), mask, axes)
    size: Any = 1
    for axis in axes:
        size = size * ops.shape(x)[axis]
    return ops.cast(size, x.dtype)


def mean(x: Any, mask: Any, axes: Sequence[int]) -> Any:
    """Return the mean of unmasked values over some axes, which are kept with size 1; 0 where there is none."""
    return total(x, mask, axes) / ops.maximum(count(x, mask, axes), 1)


def representative(x: Any, mask: Any, axes: Sequence[int]) -> Any:
    """Return one of the values of each `mean`; 0 where there is none.

    No gradient flows through it. A tensor minus its representative has the same variance, and its mean is close to 0 on
    the scale of the variance, so that float32 loses nothing of either in a sum of many values.
    """
    x = ops.stop_gradient(x)
    if mask is not None:
        largest = ops.max(ops.where(mask, x, -np.inf), axes, keepdims=True, initial=-np.inf)
        return ops.where(ops.isfinite(largest), largest, ops.zeros_like(largest))
    first = x[tuple(slice(1) if axis in axes else slice(None) for axis in range(len(x.shape)))]
    return ops.sum(first, axes, keepdims=True)  # of a single value, or of none


def moments(x: Any, mask: Any, axes: Sequence[int]) -> tuple[Any, Any]:
    """Return the mean and the variance over some axes, which are kept with size 1.

    They are computed from the distances to one of the values: the mean of equal values is this value and their variance
    is 0, whatever their size and number. A variance is exact to float32 as long as float32 can tell the values apart:
    for a mean of 1e7, if the standard deviation is above 1.

    Args:
        x: Tensor in float32 or float64.
        mask: Tensor of booleans that broadcasts with it, `False` for masked values; or `None`.
        axes: Sequence of integers, the axes to reduce.
    """
    shift = representative(x, mask, axes)
    distance = x - shift
    centre = mean(distance, mask, axes)
    return shift + centre, mean(ops.square(distance - centre), mask, axes)
