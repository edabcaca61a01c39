"""The header of an image file, which is read before any pixel is decoded."""

from typing import Any, NamedTuple

import tensorflow as tf


class Header(NamedTuple):
    """The header of an image file, as scalar tensors.

    Attributes:
        content: String, the part of the file to decode.
        height: int64, in pixels, before the image is turned upright.
        width: int64, in pixels, before the image is turned upright.
        channels: int64, 1 for grey, 3 or more for colours, 0 if only the pixels tell.
        bits: int64, the bits of each channel: 8 or 16.
        orientation: int64, the orientation in EXIF, 1 to 8.
        problem: String, the reason why the file is refused, else empty.
    """

    content: tf.Tensor
    height: tf.Tensor
    width: tf.Tensor
    channels: tf.Tensor
    bits: tf.Tensor
    orientation: tf.Tensor
    problem: tf.Tensor


def header(
    content: Any,
    height: Any,
    width: Any,
    channels: Any = 0,
    *,
    bits: Any = 8,
    orientation: Any = 1,
    problem: Any = "",
) -> Header:
    """Return a `Header` whose values are tensors. The arguments are the attributes of `Header`.

    Integers become int64: all branches of a `tf.switch_case` or `tf.cond` must return the same types.
    """
    numbers = (height, width, channels, bits, orientation)
    height, width, channels, bits, orientation = (tf.cast(value, tf.int64) for value in numbers)
    content, problem = tf.convert_to_tensor(content), tf.convert_to_tensor(problem)
    return Header(content, height, width, channels, bits, orientation, problem)
