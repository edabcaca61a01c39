"""A step of a moving average."""

from typing import Any

from keras import ops


def move(average: Any, value: Any, momentum: float, seen: Any) -> None:
    """Move an average towards a value, unless nothing was seen: an empty batch, or one that is masked as a whole.

    Args:
        average: Variable with a value for each channel.
        value: Tensor of as many values.
        momentum: Float from 0 to 1, what the average keeps of itself.
        seen: Tensor of one value or of as many values, how many values the new ones were taken from.
    """
    value = ops.reshape(value, average.shape)
    kept = ops.cast(average, value.dtype)
    moved = momentum * kept + (1 - momentum) * value
    average.assign(ops.where(ops.reshape(seen, (-1,)) > 0, moved, kept))
