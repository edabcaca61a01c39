"""The update of a moving average."""

from typing import Any

from keras import ops


def move(average: Any, value: Any, momentum: float, count: Any) -> None:
    """Update a moving average by a new value, unless the batch is empty or masked as a whole.

    Args:
        average: Variable with a value for each channel.
        value: Tensor of as many values.
        momentum: Float from 0 to 1, the weight of the former average.
        count: Tensor of one value or of as many values, the number of values behind each new value.
    """
    value = ops.reshape(value, average.shape)
    former = ops.cast(average, value.dtype)
    moved = momentum * former + (1 - momentum) * value
    average.assign(ops.where(ops.reshape(count, (-1,)) > 0, moved, former))
