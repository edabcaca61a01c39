"""Whole numbers in the bytes of a file, as TensorFlow operations that never fail."""

import tensorflow as tf


def number(file: tf.Tensor, start: int | tf.Tensor, count: int, little: bool | tf.Tensor = False) -> tf.Tensor:
    """Return the unsigned number that some bytes of a file are.

    Args:
        file: Scalar string tensor.
        start: Integer, or a tensor of one, where the first byte is.
        count: Integer, how many bytes, at most 7.
        little: Boolean, or a tensor of one, whether the least byte comes first.

    Returns:
        Scalar int64 tensor. Bytes that the file does not have are zeros.
    """
    digits = tf.cast(tf.io.decode_raw(part(file, start, count), tf.uint8, fixed_length=count), tf.int64)
    return tf.reduce_sum(digits * powers(count, little))


def powers(count: int, little: bool | tf.Tensor) -> tf.Tensor:
    """Return what each byte of a number counts, as an int64 tensor `(count,)`."""
    rising = [256**power for power in range(count)]
    return tf.where(little, tf.constant(rising, tf.int64), tf.constant(rising[::-1], tf.int64))


def part(file: tf.Tensor, start: int | tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """Return some bytes of a file, fewer where it ends before.

    Args:
        file: Scalar string tensor.
        start: Integer, or a tensor of one, where the first byte is.
        count: Integer, or a tensor of one, how many bytes.
    """
    start, count = tf.cast(start, tf.int64), tf.cast(count, tf.int64)
    return tf.strings.substr(file, tf.clip_by_value(start, 0, size(file)), tf.maximum(count, 0))


def size(file: tf.Tensor) -> tf.Tensor:
    """Return how many bytes a file has, as a scalar int64 tensor."""
    return tf.cast(tf.strings.length(file), tf.int64)


def either(condition: tf.Tensor, first: int | tf.Tensor, second: int | tf.Tensor) -> tf.Tensor:
    """Return one of two numbers as an int64 tensor: `tf.where`, which takes no integers of Python beside int64."""
    return tf.where(condition, tf.cast(first, tf.int64), tf.cast(second, tf.int64))
