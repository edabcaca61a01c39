"""PNG files."""

import tensorflow as tf

from bnzoo.pictures.exif import orientation
from bnzoo.pictures.header import Header, header
from bnzoo.pictures.numbers import either, number, part, size

MAGIC = b"\x89PNG\r\n\x1a\n"
_EXIF = b"eXIf"
# the bit of colours in the type of colour; palettes have it too
_COLOUR = 2
# the bytes of the length, the name and the checksum of a chunk
_AROUND = 12
# the largest number of chunks, 64 MB in the usual chunks of 8 kB: a malicious file must not take minutes
_CHUNKS = 2**13


def inspect(file: tf.Tensor) -> Header:
    """Return the `Header` of a PNG file."""
    height, width = number(file, 20, 4), number(file, 16, 4)
    bits = tf.maximum(number(file, 24, 1), 8)  # fewer are scaled to 8
    channels = either(tf.bitwise.bitwise_and(number(file, 25, 1), _COLOUR) > 0, 3, 1)
    return header(file, height, width, channels, bits=bits, orientation=orientation(_exif(file)))


def decode(file: tf.Tensor, dtype: tf.DType = tf.uint8) -> tf.Tensor:
    """Return the levels of a PNG file, uint8 or uint16. A damaged file raises an error of TensorFlow."""
    return tf.io.decode_png(file, dtype=dtype)


def _exif(file: tf.Tensor) -> tf.Tensor:
    """Return the EXIF block, empty if there is none."""

    def goes_on(at: tf.Tensor) -> tf.Tensor:
        return (part(file, at + 4, 4) != _EXIF) & (at < size(file))

    def step(at: tf.Tensor) -> tuple[tf.Tensor]:
        return (at + _AROUND + number(file, at, 4),)

    (at,) = tf.while_loop(goes_on, step, (tf.constant(len(MAGIC), tf.int64),), maximum_iterations=_CHUNKS)
    return part(file, at + 8, either(part(file, at + 4, 4) == _EXIF, number(file, at, 4), 0))
