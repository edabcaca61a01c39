"""The first frame of GIF files."""

import tensorflow as tf

from bnzoo.pictures.header import Header, header
from bnzoo.pictures.numbers import either, number, part, size

MAGIC = b"GIF8"
_SCREEN = 13  # the bytes before the palette that all frames share
_FRAME, _EXTENSION = 0x2C, 0x21
# the largest number of blocks, of at most 255 bytes each, 16 MB together: a malicious file must not take minutes
_BLOCKS = 2**16
_BETWEEN, _IN_EXTENSION, _IN_FRAME, _WHOLE, _BROKEN = range(5)


def inspect(file: tf.Tensor) -> Header:
    """Return the `Header` of a GIF file.

    Its content is the first frame only, as TensorFlow would decode all frames, and those of a small file can fill the
    memory. Extensions are left out too, so that a transparent pixel keeps its colour, as in PNG files.
    """
    at, frame, state = _walk(file)
    height, width = number(file, 8, 2, True), number(file, 6, 2, True)
    covers = part(file, frame + 1, 8) == tf.strings.join([b"\0\0\0\0", part(file, 6, 4)])
    content = tf.strings.join([part(file, 0, _before(file)), part(file, frame, at - frame), b";"])
    whole = (state == _WHOLE) & (at <= size(file))
    problem = tf.where(covers, "", "its first frame does not cover the whole image")
    return header(content, height, width, problem=tf.where(whole, problem, "its first frame is incomplete"))


def decode(file: tf.Tensor) -> tf.Tensor:
    """Return the levels of a GIF file of one frame, uint8, in one channel if all colours are grey."""
    image = tf.io.decode_gif(file)[0]
    grey = tf.reduce_all(image == image[..., :1])
    return tf.cond(grey, lambda: image[..., :1], lambda: image)


def _before(file: tf.Tensor) -> tf.Tensor:
    """Return the number of bytes before the first block."""
    return _SCREEN + _colours(number(file, 10, 1))


def _colours(flags: tf.Tensor) -> tf.Tensor:
    """Return the number of bytes of a palette, 0 if the flags declare none."""
    return either(flags >= 128, 3 * tf.bitwise.left_shift(tf.constant(2, tf.int64), flags % 8), 0)


def _walk(file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the end of the first frame, its beginning, and the last state."""

    def goes_on(at: tf.Tensor, frame: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        return (state < _WHOLE) & (at < size(file))

    def step(at: tf.Tensor, frame: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        byte = number(file, at, 1)
        between, begins, extends = state == _BETWEEN, byte == _FRAME, byte == _EXTENSION
        block = either(begins, _IN_FRAME, either(extends, _IN_EXTENSION, _BROKEN))
        # before its blocks a frame has a descriptor, perhaps a palette, and the smallest size of a code
        ahead = either(begins, 11 + _colours(number(file, at + 9, 1)), 2)
        after = either(byte > 0, state, either(state == _IN_FRAME, _WHOLE, _BETWEEN))
        return (
            at + either(between, ahead, byte + 1),
            either(between & begins, at, frame),
            either(between, block, after),
        )

    start = (_before(file), tf.constant(0, tf.int64), tf.constant(_BETWEEN, tf.int64))
    at, frame, state = tf.while_loop(goes_on, step, start, maximum_iterations=_BLOCKS)
    return at, frame, state
