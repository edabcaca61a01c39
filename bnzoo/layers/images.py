"""Checks of the arguments of layers for images."""

from typing import Any

import keras


def data_format(value: str | None) -> str:
    """Return the data format of images.

    Args:
        value: String, `"channels_last"` or `"channels_first"`, or `None` for `keras.config.image_data_format()`.

    Raises:
        ValueError: If it is neither.
    """
    if value is None:
        return keras.config.image_data_format()
    if value not in ("channels_last", "channels_first"):
        raise ValueError(
            "`data_format` must be 'channels_last', 'channels_first', or `None` for "
            f"`keras.config.image_data_format()`. Received: data_format={value!r}"
        )
    return value


def pair(name: str, value: Any, least: int = 1) -> tuple[int, int]:
    """Return a pair of integers for height and width.

    Args:
        name: String, the argument.
        value: Integer for both, or a list or tuple of two.
        least: Integer, the lowest value allowed.

    Raises:
        ValueError: If the value is anything else; the message names the argument.
    """
    both = tuple(value) if isinstance(value, (list, tuple)) else (value, value)
    integers = all(isinstance(size, int) and not isinstance(size, bool) for size in both)
    if len(both) != 2 or not integers or min(both) < least:
        raise ValueError(f"`{name}` must be an integer of at least {least}, or two of them. Received: {name}={value!r}")
    return both
