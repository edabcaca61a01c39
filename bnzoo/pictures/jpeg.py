"""JPEG files."""

import tensorflow as tf

from bnzoo.pictures.exif import orientation
from bnzoo.pictures.header import Header, header
from bnzoo.pictures.numbers import either, number, part

MAGIC = b"\xff\xd8\xff"
_EXIF = b"Exif\0\0"
_APP1, _SCAN, _END, _FILL = 0xE1, 0xDA, 0xD9, 0xFF
# markers without a length and content
_ALONE = [0x01, *range(0xD0, 0xD9)]
# the largest number of segments: cameras write a dozen, and a malicious file must not take minutes
_SEGMENTS = 1000


def inspect(file: tf.Tensor) -> Header:
    """Return the `Header` of a JPEG file. A damaged file raises an error of TensorFlow."""
    return header(file, *tf.unstack(tf.io.extract_jpeg_shape(file, tf.int64)), orientation=orientation(_exif(file)))


def decode(file: tf.Tensor) -> tf.Tensor:
    """Return the levels of a JPEG file, uint8. A damaged file raises an error of TensorFlow."""
    return tf.io.decode_jpeg(file, dct_method="INTEGER_ACCURATE")  # the fast method is wrong by up to 5 levels


def plain_shape(content: bytes, max_pixels: int) -> tuple[int, int, int] | None:
    """Return height, width and channels of a JPEG file without EXIF that is grey or has 3 channels, else `None`.

    If so, `decode` of this module reads it without a graph. It also returns `None` for more than `max_pixels` pixels.

    A damaged file raises an error of TensorFlow.
    """
    if not content.startswith(MAGIC) or _EXIF in content:
        return None
    height, width, channels = tf.io.extract_jpeg_shape(content, tf.int64).numpy().tolist()
    return (height, width, channels) if height * width <= max_pixels and channels in (1, 3) else None


def _exif(file: tf.Tensor) -> tf.Tensor:
    """Return the EXIF block, empty if there is none before the pixels."""

    def goes_on(at: tf.Tensor, is_exif: tf.Tensor) -> tf.Tensor:
        marker = number(file, at + 1, 1)
        return ~is_exif & (number(file, at, 1) == _FILL) & (marker != 0) & (marker != _SCAN) & (marker != _END)

    def step(at: tf.Tensor, is_exif: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        marker, length = number(file, at + 1, 1), number(file, at + 2, 2)
        exif = (marker == _APP1) & (part(file, at + 4, len(_EXIF)) == _EXIF)
        alone = tf.reduce_any(marker == _ALONE)
        # the length includes its own 2 bytes; a smaller one is damage, and must not lead backwards
        ahead = either(marker == _FILL, 1, either(alone, 2, 2 + tf.maximum(length, 2)))
        return either(exif, at, at + ahead), exif

    start = (tf.constant(2, tf.int64), tf.constant(False))
    at, is_exif = tf.while_loop(goes_on, step, start, maximum_iterations=_SEGMENTS)
    length = number(file, at + 2, 2) - 2 - len(_EXIF)
    return part(file, at + 4 + len(_EXIF), either(is_exif, length, 0))
