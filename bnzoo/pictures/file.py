"""Any image file."""

from typing import NamedTuple

import tensorflow as tf

from bnzoo.pictures import MAX_SIDE, bmp, gif, jpeg, png
from bnzoo.pictures.exif import upright
from bnzoo.pictures.header import Header, header

FORMATS = {"JPEG": jpeg, "PNG": png, "GIF": gif, "BMP": bmp}
NAMES = "JPEG, PNG, GIF or BMP"
UNKNOWN = f"it is no {NAMES} file"
_MODULES = tuple(FORMATS.values())


class Decoded(NamedTuple):
    """An image, or why there is none.

    Attributes:
        image: Tensor `(height, width, channels)`, upright, uint8 or uint16: 1 channel if it is grey, 2 with opacity, 3
            of colour, 4 with opacity. One black pixel if it is refused.
        problem: Scalar string tensor, why it is refused, else empty.
        bits: Scalar int64 tensor, how many bits each channel has in the file: 8 or 16.
    """

    image: tf.Tensor
    problem: tf.Tensor
    bits: tf.Tensor


def decode(file: tf.Tensor, max_pixels: int, bits: int = 8) -> Decoded:
    """Decode an image file, unless its header stands against it. The first bytes tell what it is, not a name.

    Args:
        file: Scalar string tensor.
        max_pixels: Integer, how many pixels an image may have.
        bits: Integer, 8 or 16, how many bits each channel must have. Only PNG files have 16.

    Returns:
        A `Decoded`. Damage may be an error of TensorFlow instead of a problem.
    """
    head = _inspect(file)
    problem = _refusal(head, max_pixels, bits)
    dtype = tf.uint8 if bits == 8 else tf.uint16
    image = tf.cond(problem == "", lambda: _image(head, bits), lambda: tf.zeros((1, 1, 1), dtype))
    image.set_shape((None, None, None))
    return Decoded(image, problem, head.bits)


def _inspect(file: tf.Tensor) -> Header:
    branches = [lambda module=module: module.inspect(file) for module in _MODULES]
    return tf.switch_case(_kind(file), [*branches, lambda: header("", 0, 0, problem=UNKNOWN)])


def _refusal(head: Header, max_pixels: int, bits: int) -> tf.Tensor:
    height, width, depth = (tf.strings.as_string(value) for value in (head.height, head.width, head.bits))
    large = tf.cast(head.height, tf.float64) * tf.cast(head.width, tf.float64) > max_pixels
    too_large = tf.strings.join(["it has ", height, "x", width, f" pixels, more than the {max_pixels} allowed"])
    long = tf.maximum(head.height, head.width) > MAX_SIDE
    too_long = tf.strings.join(["it has ", height, "x", width, f" pixels, more than {MAX_SIDE} in a row or column"])
    deep = tf.strings.join(["it has ", depth, f" bits for each channel, not {bits}"])
    found = tf.where(large, too_large, tf.where(long, too_long, tf.where(head.bits != bits, deep, "")))
    return tf.where(head.problem == "", found, head.problem)


def _image(head: Header, bits: int) -> tf.Tensor:
    if bits == 16:
        image = png.decode(head.content, tf.uint16)
    else:
        branches = [lambda module=module: module.decode(head.content) for module in _MODULES]
        image = tf.switch_case(_kind(head.content), [*branches, lambda: tf.zeros((1, 1, 1), tf.uint8)])
    image.set_shape((None, None, None))
    return upright(image, head.orientation)


def _kind(file: tf.Tensor) -> tf.Tensor:
    """Return the number of the format, or how many there are for any other."""
    found = [tf.strings.substr(file, 0, len(module.MAGIC)) == module.MAGIC for module in _MODULES]
    return tf.argmax(tf.stack([*found, tf.constant(True)]), output_type=tf.int32)
