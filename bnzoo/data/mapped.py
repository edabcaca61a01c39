"""Arrays in `.npy` files as sources of rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bnzoo.data import store
from bnzoo.data.dataset import chunks, kept_type
from bnzoo.data.rows import ReadError, Rows

# rows that are copied at a time
_ROWS = 256


class Mapped:
    """An array that is mapped into memory, as a source of rows in one of the types that are kept.

    Args:
        array: The array, from `store.mapped`, perhaps with further sides of length 1.
    """

    # all examples count for constants, and all were checked when they were loaded
    sample: int | None = None
    error: ReadError | None = None

    def __init__(self, array: np.ndarray) -> None:
        assert isinstance(array, np.memmap)
        self._array = array
        self.shape, self.dtype = array.shape, kept_type(array.dtype)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return examples by their indices."""
        return np.asarray(self._array[rows], self.dtype)

    def contents(self, rows: np.ndarray) -> Iterator[Any]:
        """Yield the values as float32."""
        return (np.asarray(part, np.float32).data for part in chunks(Rows(self, rows)))

    def __reduce__(self) -> tuple[Any, ...]:
        return _mapped, (Path(str(self._array.filename)), self.shape)


def _mapped(path: Path, shape: tuple[int, ...]) -> Mapped:
    return Mapped(store.mapped(path).reshape(shape))


def gathered(array: np.ndarray, order: np.ndarray, max_memory: int | None) -> np.ndarray | Rows:
    """Return rows of an array that is mapped into memory: a copy if it fits into memory, else `Rows`.

    Args:
        array: The array, from `store.mapped`.
        order: Integer array, the rows of the result.
        max_memory: Integer, the limit in bytes, as in `store.memory_limit`.
    """
    rows = Rows(Mapped(array), order)
    if not store.fits(rows.shape, rows.dtype, max_memory):
        return rows
    copy = store.in_memory(rows.shape, rows.dtype)
    for start in range(0, len(rows), _ROWS):
        copy[start : start + _ROWS] = rows[start : start + _ROWS]
    return copy
