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


def check_axis(shape: tuple, axis: int) -> None:
    """Raise `ValueError` unless an input of a shape has an axis."""
    if not -len(shape) <= axis < len(shape):
        raise ValueError(
            f"`axis` must be an axis of the input, which has {len(shape)}. "
            f"Received: axis={axis} for an input of shape {tuple(shape)}"
        )


def known_channels(shape: tuple, axis: int) -> int:
    """Return the number of channels in the shape of an input.

    Raises:
        ValueError: If the input has no such axis, or an unknown number of channels.
    """
    check_axis(shape, axis)
    if shape[axis] is None:
        raise ValueError(
            "The number of channels must be known, since each has a weight: give the input a shape, or set `axis` to "
            f"the axis of the channels. Received: axis={axis} for an input of shape {tuple(shape)}"
        )
    return shape[axis]


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
