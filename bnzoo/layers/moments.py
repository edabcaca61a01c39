"""Sums and moments in which masked positions have no part, and the dtype they are computed in."""

from collections.abc import Sequence
from typing import Any

import keras
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
    """The mean over some axes, which stay with size 1; 0 where everything is masked."""
    if mask is None:
        return ops.mean(x, axes, keepdims=True)
    return total(x, mask, axes) / ops.maximum(count(x, mask, axes), 1)


def moments(x: Any, mask: Any, axes: Sequence[int]) -> tuple[Any, Any]:
    """The mean and the variance over some axes, which stay with size 1; twice over the data, so nothing cancels."""
    centre = mean(x, mask, axes)
    return centre, mean(ops.square(x - centre), mask, axes)
