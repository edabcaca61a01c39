"""Examples that are read when they are used, in the form of an array."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np


class ReadError(ValueError):
    """An error for an example that cannot be read when it is used, such as a damaged image file."""


class Source(Protocol):
    """Examples that `Rows` read.

    Attributes:
        shape: Tuple of integers, the shape of the array of all examples.
        dtype: NumPy's dtype, one of `kept_type`.
        sample: Integer, the number of examples from which constants such as the scale are computed, or `None` for all.
        error: The `ReadError` of the first example that could not be read, else `None`.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    sample: int | None
    error: ReadError | None

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return examples by their indices. Raise `ReadError` if one cannot be read."""

    def contents(self, rows: np.ndarray) -> Iterator[Any]:
        """Yield bytes that identify examples, for a fingerprint."""


class Rows:
    """Rows of a source, in the form of an array: `shape`, `dtype`, `len(x)`, `x[3]`, `x[2:9]`, `x[[4, 7]]`.

    A part of it is a NumPy array. `np.asarray` reads all rows into memory.

    Args:
        source: The `Source`.
        rows: Integer array, the indices of the rows in the source.
    """

    def __init__(self, source: Source, rows: np.ndarray) -> None:
        self.source, self._rows = source, rows
        self.shape, self.dtype, self.ndim = (len(rows), *source.shape[1:]), source.dtype, len(source.shape)
        self.size = int(np.prod(self.shape, dtype=object))
        self.nbytes = self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: Any) -> np.ndarray:
        rows = self._rows[key]
        return self.source.take(rows) if np.ndim(rows) else self.source.take(rows[None])[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("the rows are not in memory: they cannot be an array without a copy")
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def between(self, start: int, stop: int) -> "Rows":
        """Return consecutive rows without reading them."""
        return Rows(self.source, self._rows[start:stop])

    def sample(self) -> "Rows":
        """Return the first rows, from which constants such as the scale are computed, without reading them."""
        return self if self.source.sample is None else self.between(0, self.source.sample)

    def contents(self) -> Iterator[Any]:
        """Yield bytes that identify the rows, for a fingerprint."""
        return self.source.contents(self._rows)


def between(x: "np.ndarray | Rows", start: int, stop: int) -> "np.ndarray | Rows":
    """Return consecutive rows as a view. Rows of a file have a mapping of their own, which knows its offset."""
    if isinstance(x, Rows):
        return x.between(start, stop)
    if not isinstance(x, np.memmap):
        return x[start:stop]
    assert x.filename is not None
    return np.memmap(x.filename, x.dtype, "r", x.offset + start * x.strides[0], (stop - start, *x.shape[1:]))


def read_error(*arrays: Any) -> ReadError | None:
    """Return the error of the first example that could not be read, if there is one, and forget it.

    TensorFlow replaces errors in its pipelines by errors of its own, so that they are kept here.
    """
    for source in (array.source for array in arrays if isinstance(array, Rows)):
        if (error := source.error) is not None:
            source.error = None
            return error
    return None
