"""The orientation of an image in EXIF."""

import tensorflow as tf

from bnzoo.pictures.numbers import either, number, part, powers, size

_ORIENTATION, _SHORT, _LONG = 0x0112, 3, 4
_ENTRY = 12


def orientation(exif: tf.Tensor) -> tf.Tensor:
    """Return the orientation in an EXIF block.

    Args:
        exif: Scalar string tensor, the block from its byte order mark on; empty if a file has none.

    Returns:
        Scalar int64 tensor, 1 to 8; 1, upright, if the block is damaged or has no orientation.
    """
    little = part(exif, 0, 2) == b"II"
    known = (number(exif, 2, 2, little) == 42) & (little | (part(exif, 0, 2) == b"MM"))
    first = number(exif, 4, 4, little)
    # no more entries than there are bytes
    count = tf.minimum(number(exif, first, 2, little), tf.maximum(size(exif) - first - 2, 0) // _ENTRY)
    entries = tf.reshape(tf.io.decode_raw(part(exif, first + 2, count * _ENTRY), tf.uint8), (-1, _ENTRY))
    digits = tf.cast(entries, tf.int64)

    def column(start: int, count: int) -> tf.Tensor:
        return tf.reduce_sum(digits[:, start : start + count] * powers(count, little), -1)

    kind = column(2, 2)
    value = either(kind == _SHORT, column(8, 2), column(8, 4))
    right = (column(0, 2) == _ORIENTATION) & ((kind == _SHORT) | (kind == _LONG)) & (column(4, 4) == 1)
    turn = tf.reduce_max(either(right & (value <= 8), value, 0))  # the smallest int64 if there are no entries
    return either(known & (turn >= 1), turn, 1)


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turn an image upright.

    Args:
        image: Tensor `(height, width, channels)`.
        orientation: Scalar int64 tensor, 1 to 8.
    """
    from_right = tf.reduce_any(orientation == [2, 3, 6, 7])
    from_below = tf.reduce_any(orientation == [3, 4, 7, 8])

    def turned() -> tf.Tensor:
        laid = tf.cond(orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
        return tf.reverse(laid, tf.boolean_mask([0, 1], [from_below, from_right]))

    return tf.cond(orientation == 1, lambda: image, turned)
