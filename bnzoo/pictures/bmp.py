"""BMP files without compression and with whole bytes for each pixel."""

import tensorflow as tf

from bnzoo.pictures.header import Header, header
from bnzoo.pictures.numbers import either, number, part

MAGIC = b"BM"
_GREYS = b"".join(bytes((level, level, level, 0)) for level in range(256))
_HEADERS = 14 + 40


def inspect(file: tf.Tensor) -> Header:
    """Return the `Header` of a BMP file."""
    width, height, bits = number(file, 18, 4, True), number(file, 22, 4, True), number(file, 28, 2, True)
    height = either(height >= 2**31, 2**32 - height, height)  # negative if the rows begin at the top
    start = number(file, 10, 4, True)
    # TensorFlow reads the indices of a palette as levels
    grey = (bits == 8) & (part(file, _HEADERS, len(_GREYS)) == _GREYS) & (start == _HEADERS + len(_GREYS))
    coloured = ((bits == 24) | (bits == 32)) & (start >= _HEADERS)
    plain = (number(file, 14, 4, True) == 40) & (number(file, 30, 4, True) == 0)
    problem = tf.where(plain & (grey | coloured), "", "it is a BMP file with a palette, masks or compression")
    return header(file, height, width, either(grey, 1, 3), problem=problem)


def decode(file: tf.Tensor) -> tf.Tensor:
    """Return the levels of a BMP file, uint8. A damaged file raises an error of TensorFlow."""
    return tf.io.decode_bmp(file)
