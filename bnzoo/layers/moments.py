"""Sums and moments in which masked positions have no part, and the dtype they are computed in."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def at_least_float32(x: Any) -> Any:
    """The tensor in the dtype of its statistics: float32, or float64 where it is that already."""
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))


def along_channels(mask: Any, inputs: Any, axis: int) -> Any:
    """The mask with an axis for the channels, as booleans; `None` stays `None`.

    Args:
        mask: Tensor of the shape of the inputs without their channels, `True` where a position counts; or `None`.
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
    """The sum over some axes, which stay with size 1, of what the mask leaves."""
    return ops.sum(x if mask is None else ops.where(mask, x, ops.zeros_like(x)), axes, keepdims=True)


def count(x: Any, mask: Any, axes: Sequence[int]) -> Any:
    """How many values `total` adds up for each of its results, at least 0; it broadcasts with them."""
    if mask is not None:
        return total(ops.ones_like(x), mask, axes)
    size: Any = 1
    for axis in axes:
        size = size * ops.shape(x)[axis]
    return ops.cast(size, x.dtype)


def mean(x: Any, mask: Any, axes: Sequence[int]) -> Any:
    """Return the mean over some axes, which stay with size 1; 0 where there is no value, or all are masked."""
    return total(x, mask, axes) / ops.maximum(count(x, mask, axes), 1)


def representative(x: Any, mask: Any, axes: Sequence[int]) -> Any:
    """Return one of the values that `mean` is taken over, for each of its results; 0 where there is none.

    No gradient goes through it. A tensor minus its representative has the same variance, and its mean is close to 0 on
    the scale of the variance, so that float32 loses nothing of either in a sum of many values.
    """
    x = ops.stop_gradient(x)
    if mask is not None:
        largest = ops.max(ops.where(mask, x, -np.inf), axes, keepdims=True, initial=-np.inf)
        return ops.where(ops.isfinite(largest), largest, ops.zeros_like(largest))
    first = x[tuple(slice(1) if axis in axes else slice(None) for axis in range(len(x.shape)))]
    return ops.sum(first, axes, keepdims=True)  # of a single value, or of none


def moments(x: Any, mask: Any, axes: Sequence[int]) -> tuple[Any, Any]:
    """Return the mean and the variance over some axes, which stay with size 1.

    They are taken of the distances from one of the values: the mean of equal values is this value and their variance is
    0, whatever their size and number. A variance is exact to float32 as long as float32 can tell the values apart: for
    a mean of 1e7 that is a standard deviation above 1.

    Args:
        x: Tensor in float32 or float64.
        mask: Tensor of booleans that broadcasts with it, `True` where a value counts; or `None`.
        axes: Sequence of integers, the axes to reduce.
    """
    shift = representative(x, mask, axes)
    distance = x - shift
    centre = mean(distance, mask, axes)
    return shift + centre, mean(ops.square(distance - centre), mask, axes)
