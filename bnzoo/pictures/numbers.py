"""Integers in the bytes of a file, as TensorFlow operations that never fail."""

import tensorflow as tf


def number(file: tf.Tensor, start: int | tf.Tensor, count: int, little: bool | tf.Tensor = False) -> tf.Tensor:
    """Return the unsigned integer in some bytes of a file.

    Args:
        file: Scalar string tensor.
        start: Integer or scalar tensor, the offset of the first byte.
        count: Integer, the number of bytes, at most 7.
        little: Boolean or scalar tensor, whether the bytes are in little-endian order.

    Returns:
        Scalar int64 tensor. Bytes beyond the end of the file are zeros.
    """
    digits = tf.cast(tf.io.decode_raw(part(file, start, count), tf.uint8, fixed_length=count), tf.int64)
    return tf.reduce_sum(digits * powers(count, little))


def powers(count: int, little: bool | tf.Tensor) -> tf.Tensor:
    """Return the weight of each byte of an integer, as an int64 tensor `(count,)`."""
    rising = [256**power for power in range(count)]
    return tf.where(little, tf.constant(rising, tf.int64), tf.constant(rising[::-1], tf.int64))


def part(file: tf.Tensor, start: int | tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """Return some bytes of a file, fewer at its end.

    Args:
        file: Scalar string tensor.
        start: Integer or scalar tensor, the offset of the first byte.
        count: Integer or scalar tensor, the number of bytes.
    """
    start, count = tf.cast(start, tf.int64), tf.cast(count, tf.int64)
    return tf.strings.substr(file, tf.clip_by_value(start, 0, size(file)), tf.maximum(count, 0))


def size(file: tf.Tensor) -> tf.Tensor:
    """Return the number of bytes of a file, as a scalar int64 tensor."""
    return tf.cast(tf.strings.length(file), tf.int64)


def either(condition: tf.Tensor, first: int | tf.Tensor, second: int | tf.Tensor) -> tf.Tensor:
    """Return one of two numbers as an int64 tensor: `tf.where` does not combine Python integers with int64."""
    return tf.where(condition, tf.cast(first, tf.int64), tf.cast(second, tf.int64))
