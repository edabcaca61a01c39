"""Arrays in memory up to a limit, else in files of a cache that are mapped into memory."""

import hashlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from bnzoo import machine
from bnzoo.data.dataset import kept_type
from bnzoo.files import whole_file
from bnzoo.reading import reading

# the share of the machine's memory that the examples may take by default
_SHARE = 0.25
# rows that are copied at a time
_ROWS = 256


class NoRoomError(ValueError):
    """An error for an array that fits neither into memory nor on the disk."""


Fill = Callable[[np.ndarray], None]


def memory_limit(max_memory: int | None) -> float:
    """Return the bytes up to which examples are held in memory: the argument, or a quarter of the machine's memory."""
    return machine.memory() * _SHARE if max_memory is None else max_memory


def folder() -> Path:
    """Return the folder of the files: `bnzoo` in the folder in which Keras keeps its downloads."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "bnzoo"


def find(key: str) -> np.ndarray | None:
    """Return the array that was stored under a key, mapped into memory, or `None`."""
    path = _path(key)
    return mapped(path) if path.exists() else None


def filled(shape: tuple[int, ...], dtype: np.dtype, fill: Fill, max_memory: int | None, key: str) -> np.ndarray:
    """Make an array, in memory if it fits, else in a file that appears when it is complete.

    Args:
        shape: Tuple of integers.
        dtype: The type of the numbers.
        fill: Function that writes the content into the array.
        max_memory: Integer, the limit in bytes, as in `memory_limit`.
        key: String, the name of the file.

    Raises:
        NoRoomError: If the array fits neither into memory nor on the disk.
    """
    size = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    if size <= memory_limit(max_memory):
        try:
            array = np.empty(shape, dtype)
        except MemoryError as error:
            raise NoRoomError(f"need {size:,} bytes, more than this process may use") from error
        fill(array)
        return array
    path = _path(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    if size > (free := shutil.disk_usage(path.parent).free):
        raise NoRoomError(
            f"need {size:,} bytes, more than may be held in memory, and more than the {free:,} bytes that are free in "
            f"{path.parent}"
        )
    with whole_file(path) as draft:
        fill(np.lib.format.open_memmap(draft, "w+", dtype, shape))
    return mapped(path)


def collected(parts: Iterable[np.ndarray], max_memory: float) -> np.ndarray | None:
    """Return the rows of arrays in one array: in memory if they fit, else in a file named by the content.

    Args:
        parts: Arrays, which differ in their first side only.
        max_memory: Float, the limit in bytes.

    Returns:
        The array, or `None` if there is no row.
    """
    held: list[np.ndarray] = []
    parts = iter(parts)
    for part in parts:
        held.append(part)
        if 2 * sum(part.nbytes for part in held) > max_memory:  # twice: one array is made of all parts
            return _written(itertools.chain(held, parts))
    rows = sum(map(len, held))
    return np.concatenate(held) if rows else None


def _written(parts: Iterable[np.ndarray]) -> np.ndarray:
    folder().mkdir(parents=True, exist_ok=True)
    draft_path = folder() / f"{os.getpid()}.bin"
    digest, rows = hashlib.sha256(), 0
    with whole_file(draft_path) as draft, draft.open("wb") as file:
        for part in parts:
            content = np.ascontiguousarray(part)
            file.write(content.data)
            digest.update(content.data)
            rows += len(part)
    path = draft_path.replace(folder() / f"{digest.hexdigest()}.bin")
    return np.memmap(path, part.dtype, "r", 0, (rows, *part.shape[1:]))


def gathered(array: np.ndarray, order: np.ndarray, max_memory: int | None) -> np.ndarray:
    """Return rows of an array that is mapped into memory, as `filled` makes them.

    Args:
        array: The array, from `mapped`.
        order: Integer array, the rows of the result.
        max_memory: Integer, the limit in bytes, as in `memory_limit`.

    Raises:
        ValueError: If the rows fit neither into memory nor on the disk. The message names the file.
    """
    assert isinstance(array, np.memmap)
    path = Path(str(array.filename))
    state = path.stat()
    digest = hashlib.sha256(repr((str(path.resolve()), state.st_size, state.st_mtime_ns)).encode())
    digest.update(np.ascontiguousarray(order, np.int64).data)
    if (stored := find(digest.hexdigest())) is not None:
        return stored

    def fill(target: np.ndarray) -> None:
        for start in range(0, len(order), _ROWS):
            target[start : start + _ROWS] = array[order[start : start + _ROWS]]

    shape = (len(order), *array.shape[1:])
    try:
        return filled(shape, kept_type(array.dtype), fill, max_memory, digest.hexdigest())
    except NoRoomError as error:
        raise ValueError(f"{path}: its {len(order)} examples {error}") from error


def mapped(path: Path) -> np.ndarray:
    """Return the array in an `.npy` file, mapped into memory, read-only.

    Raises:
        ValueError: If it is no `.npy` file of numbers. The message names the file.
    """
    with reading(path, "an .npy file") as file:
        return np.load(file, mmap_mode="r", allow_pickle=False)


def rows(array: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return consecutive rows as a view. Rows of a file have a mapping of their own, which knows its offset."""
    if not isinstance(array, np.memmap):
        return array[start:stop]
    assert array.filename is not None
    offset = array.offset + start * array.strides[0]
    return np.memmap(array.filename, array.dtype, "r", offset, (stop - start, *array.shape[1:]))


def _path(key: str) -> Path:
    return folder() / f"{key}.npy"
