"""Image files of all formats that the graph of a server decodes."""

from typing import NamedTuple

import tensorflow as tf

from bnzoo.pictures import MAX_SIDE, bmp, gif, jpeg, png
from bnzoo.pictures.exif import upright
from bnzoo.pictures.header import Header, header

_FORMATS = {"JPEG": jpeg, "PNG": png, "GIF": gif, "BMP": bmp}
NAMES = " or ".join((", ".join([*_FORMATS][:-1]), [*_FORMATS][-1]))
UNKNOWN = f"it is no {NAMES} file"
_MODULES = tuple(_FORMATS.values())


class Decoded(NamedTuple):
    """A decoded image, or the reason why it is refused.

    Attributes:
        image: Tensor `(height, width, channels)`, upright, uint8 or uint16: 1 channel for grey, 3 for colours, one more
            with opacity. One black pixel if the image is refused.
        problem: Scalar string tensor, the reason why the image is refused, else empty.
        bits: Scalar int64 tensor, the bits of each channel in the file: 8 or 16.
    """

    image: tf.Tensor
    problem: tf.Tensor
    bits: tf.Tensor


def decode(file: tf.Tensor, max_pixels: int, bits: int = 8) -> Decoded:
    """Decode an image file, unless its header is refused. The first bytes decide which format it has.

    Args:
        file: Scalar string tensor.
        max_pixels: Integer, the largest number of pixels. More than 65,535 rows or columns are always refused.
        bits: Integer, 8 or 16, the bits that each channel must have. Only PNG files have 16.

    Returns:
        A `Decoded`. A damaged file may raise an error of TensorFlow instead.
    """
    head, problem = inspect(file, max_pixels, bits)
    dtype = tf.uint8 if bits == 8 else tf.uint16
    image = tf.cond(problem == "", lambda: _image(head, bits), lambda: tf.zeros((1, 1, 1), dtype))
    image.set_shape((None, None, None))
    return Decoded(image, problem, head.bits)


def inspect(file: tf.Tensor, max_pixels: int, bits: int = 8) -> tuple[Header, tf.Tensor]:
    """Read the header of an image file.

    The arguments are those of `decode`. A damaged file may raise an error of TensorFlow.

    Returns:
        The `Header`, and a scalar string tensor, the reason why `decode` refuses the file, else empty.
    """
    branches = [lambda module=module: module.inspect(file) for module in _MODULES]
    head = tf.switch_case(_kind(file), [*branches, lambda: header("", 0, 0, problem=UNKNOWN)])
    return head, _refusal(head, max_pixels, bits)


def _refusal(head: Header, max_pixels: int, bits: int) -> tf.Tensor:
    height, width, depth = (tf.strings.as_string(value) for value in (head.height, head.width, head.bits))
    large = tf.cast(head.height, tf.float64) * tf.cast(head.width, tf.float64) > max_pixels
    too_large = tf.strings.join(["it has ", height, "x", width, f" pixels. At most {max_pixels} are allowed"])
    long = tf.maximum(head.height, head.width) > MAX_SIDE
    too_long = tf.strings.join(
        ["it has ", height, "x", width, f" pixels. At most {MAX_SIDE} in a row or column are allowed"]
    )
    deep = tf.strings.join(["it has ", depth, f" bits for each channel. It must have {bits}"])
    reason = tf.where(large, too_large, tf.where(long, too_long, tf.where(head.bits != bits, deep, "")))
    return tf.where(head.problem == "", reason, head.problem)


def _image(head: Header, bits: int) -> tf.Tensor:
    if bits == 16:
        image = png.decode(head.content, tf.uint16)
    else:
        branches = [lambda module=module: module.decode(head.content) for module in _MODULES]
        image = tf.switch_case(_kind(head.content), [*branches, lambda: tf.zeros((1, 1, 1), tf.uint8)])
    image.set_shape((None, None, None))
    return upright(image, head.orientation)


def _kind(file: tf.Tensor) -> tf.Tensor:
    """Return the index of the format in `_FORMATS`, the number of formats for an unknown one."""
    matches = [tf.strings.substr(file, 0, len(module.MAGIC)) == module.MAGIC for module in _MODULES]
    return tf.argmax(tf.stack([*matches, tf.constant(True)]), output_type=tf.int32)
