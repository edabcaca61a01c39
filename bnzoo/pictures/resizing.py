"""Resizing of 8-bit images with TensorFlow operations, to the same levels as Pillow."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

# the bits of the fraction of a weight, as in Pillow: sums of 8-bit levels fit into 32 bits
_BITS = 22


class _Kernel(NamedTuple):
    reach: float
    weight: Callable[[tf.Tensor], tf.Tensor]  # of the distance from the centre


def _bilinear(distance: tf.Tensor) -> tf.Tensor:
    return tf.maximum(1 - distance, 0)


def _bicubic(distance: tf.Tensor) -> tf.Tensor:
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * -0.5
    return tf.where(distance < 1, near, tf.where(distance < 2, far, 0))


_KERNELS = {"bicubic": _Kernel(2, _bicubic), "bilinear": _Kernel(1, _bilinear)}


def resize(images: tf.Tensor, size: tf.Tensor, interpolation: str = "bicubic") -> tf.Tensor:
    """Resize the columns, then the rows, and round after each step, as Pillow does.

    `tf.image.resize` has other weights near the border and rounds only once, so a level of it may differ.

    Args:
        images: uint8 tensor `(batch, rows, columns, channels)`.
        size: int32 tensor, the new rows and columns.
        interpolation: String, `"bicubic"` or `"bilinear"`, both antialiased.

    Returns:
        uint8 tensor.
    """
    wide = _along(images, 2, size[1], interpolation)
    return _along(wide, 1, size[0], interpolation)


def _along(images: tf.Tensor, axis: int, length: tf.Tensor, interpolation: str) -> tf.Tensor:
    unchanged = tf.shape(images)[axis] == length
    return tf.cond(unchanged, lambda: images, lambda: _resampled(images, axis, length, interpolation))


def _resampled(images: tf.Tensor, axis: int, length: tf.Tensor, interpolation: str) -> tf.Tensor:
    before = tf.shape(images)[axis]
    first, weights = _weights(before, length, interpolation)
    shape = [-1 if number == axis else 1 for number in range(4)]
    sums = tf.tensor_scatter_nd_update(tf.shape(images), [[axis]], [length])

    def add(tap: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        levels = tf.gather(images, tf.minimum(first + tap, before - 1), axis=axis)
        return tap + 1, total + tf.cast(levels, tf.int32) * tf.reshape(weights[tap], shape)

    start = (0, tf.fill(sums, 2 ** (_BITS - 1)))  # one half, to round
    invariants = (tf.TensorShape(()), tf.TensorShape((None, None, None, images.shape[-1])))
    count = tf.shape(weights)[0]
    # one at a time: the memory is that of one tap
    _, total = tf.while_loop(lambda tap, _: tap < count, add, start, invariants, parallel_iterations=1)
    return tf.cast(tf.clip_by_value(tf.bitwise.right_shift(total, _BITS), 0, 255), tf.uint8)


def _weights(before: tf.Tensor, after: tf.Tensor, interpolation: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the first pixel that each new pixel is made of, and the weights of its pixels, `(taps, new pixels)`."""
    kernel = _KERNELS[interpolation]
    scale = tf.cast(before, tf.float64) / tf.cast(after, tf.float64)
    stretch = tf.maximum(scale, 1)
    reach = kernel.reach * stretch
    centre = (tf.cast(tf.range(after), tf.float64) + 0.5) * scale
    first = tf.cast(tf.maximum(centre - reach + 0.5, 0), tf.int32)
    end = tf.minimum(tf.cast(centre + reach + 0.5, tf.int32), before)
    pixels = first + tf.range(2 * tf.cast(tf.math.ceil(reach), tf.int32) + 1)[:, None]
    distance = tf.abs((tf.cast(pixels, tf.float64) - centre + 0.5) * (1 / stretch))
    weights = tf.where(pixels < end, kernel.weight(distance), 0)
    scaled = weights / tf.reduce_sum(weights, 0) * 2**_BITS
    return first, tf.cast(scaled + 0.5 * tf.sign(scaled), tf.int32)
