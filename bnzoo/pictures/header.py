"""The header of an image, read before any pixel is decoded."""

from typing import Any, NamedTuple

import tensorflow as tf


class Header(NamedTuple):
    """The header of an image file, as scalar tensors.

    Attributes:
        content: String, the part of the file that is to be decoded.
        height: int64, in pixels, before the image is turned upright.
        width: int64.
        bits: int64, of each channel: 8 or 16.
        orientation: int64, of EXIF, 1 to 8.
        problem: String, why it is not decoded; empty if it is.
    """

    content: tf.Tensor
    height: tf.Tensor
    width: tf.Tensor
    bits: tf.Tensor
    orientation: tf.Tensor
    problem: tf.Tensor


def header(content: Any, height: Any, width: Any, *, bits: Any = 8, orientation: Any = 1, problem: Any = "") -> Header:
    """Return a `Header` of tensors, for branches of one graph that must give the same types."""
    height, width, bits, orientation = (tf.cast(value, tf.int64) for value in (height, width, bits, orientation))
    return Header(tf.convert_to_tensor(content), height, width, bits, orientation, tf.convert_to_tensor(problem))
