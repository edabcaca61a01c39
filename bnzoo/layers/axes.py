"""The axes of channels and of positions."""

from typing import Any

import keras
from keras import ops


def channel_axis(rank: int) -> int:
    """Return the axis of the channels: 1 for images with `channels_first`, else the last.

    Args:
        rank: Integer, the number of axes, the batch included.
    """
    return 1 if rank > 3 and keras.config.image_data_format() == "channels_first" else -1


def position_axes(rank: int, axis: int) -> list[int]:
    """Return the axes of the positions: all but those of the batch and the channels.

    Args:
        rank: Integer, the number of axes, the batch included.
        axis: Integer, the axis of the channels.
    """
    return [position for position in range(1, rank) if position != axis % rank]


def batch_axes(rank: int, axis: int) -> list[int]:
    """Return the axes of the statistics of batch norm: all but that of the channels.

    Args:
        rank: Integer, the number of axes, the batch included.
        axis: Integer, the axis of the channels.
    """
    return [0, *position_axes(rank, axis)]


def per_channel(weight: Any, x: Any, axis: int) -> Any:
    """Return a weight with one value for each channel, in the dtype and with the rank of a tensor.

    Args:
        weight: Tensor with a value for each channel.
        x: Tensor, whose channels are along `axis`.
        axis: Integer.
    """
    shape = [1] * len(x.shape)
    shape[axis] = -1
    return ops.reshape(ops.cast(weight, x.dtype), shape)
