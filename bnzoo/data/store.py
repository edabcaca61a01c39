"""Arrays in memory up to a limit, else in files of a cache that are mapped into memory."""

import hashlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterable
from numbers import Real
from pathlib import Path

import numpy as np

from bnzoo import machine
from bnzoo.data import cache
from bnzoo.files import whole_file
from bnzoo.reading import reading

# the share of the machine's memory that the examples may take by default
_SHARE = 0.25


class NoRoomError(ValueError):
    """An error for an array that fits neither into memory nor on the disk."""


Fill = Callable[[np.ndarray], None]


def memory_limit(max_memory: int | None) -> float:
    """Return the bytes up to which examples are held in memory: the argument, or a quarter of the machine's memory.

    Raises:
        ValueError: If the argument is no number of bytes.
    """
    if max_memory is None:
        return machine.memory() * _SHARE
    if not isinstance(max_memory, Real) or not max_memory >= 0:
        raise ValueError(
            f"`max_memory` must be a number of bytes, such as 2 * 2**30, or None. Received: max_memory={max_memory!r}"
        )
    return max_memory


def find(key: str) -> np.ndarray | None:
    """Return the array that was stored under a key, mapped into memory, or `None`."""
    path = _path(key)
    try:
        return mapped(path) if cache.use(path) else None
    except ValueError:  # a damaged file is no error: it is written again
        return None


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
    if fits(shape, dtype, max_memory):
        array = in_memory(shape, dtype)
        fill(array)
        return array
    with whole_file(path := file_for(key, shape, dtype)) as draft:
        fill(in_file(draft, shape, dtype))
    cache.use(path)
    return mapped(path)


def fits(shape: tuple[int, ...], dtype: np.dtype, max_memory: int | None) -> bool:
    """Return whether an array may be held in memory. The arguments are those of `filled`."""
    return bytes_of(shape, dtype) <= memory_limit(max_memory)


def in_memory(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an array without content. Raise `NoRoomError` if the process may not use so much memory."""
    try:
        return np.empty(shape, dtype)
    except MemoryError as error:
        size = bytes_of(shape, dtype)
        raise NoRoomError(f"need {size:,} bytes, more than this process may use") from error


def file_for(key: str, shape: tuple[int, ...], dtype: np.dtype) -> Path:
    """Return the path of the file for an array that does not fit into memory, in a folder without old files.

    Raises:
        NoRoomError: If it does not fit on the disk either, or the folder cannot be written.
    """
    folder, size = _writable_folder(), bytes_of(shape, dtype)
    if size > (free := shutil.disk_usage(folder).free):
        raise NoRoomError(
            f"need {size:,} bytes, more than may be held in memory, and more than the {free:,} bytes that are free in "
            f"{folder}"
        )
    return _path(key)


def _writable_folder() -> Path:
    """Return the folder of the files, without old ones. Raise `NoRoomError` if it cannot be written."""
    folder = cache.folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        cache.remove_unused(folder)
    except OSError as error:
        raise NoRoomError(
            f"need more memory than `max_memory`, and their folder on the disk, {folder}, cannot be written "
            f"({error.strerror}): set KERAS_HOME to another folder"
        ) from error
    return folder


def in_file(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an array without content in a new file, mapped into memory.

    Raises:
        NoRoomError: If the file may not become so large.
    """
    array = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), shape)
    try:
        machine.reserve(path)
    except OSError as error:
        size = bytes_of(shape, dtype)
        raise NoRoomError(f"need {size:,} bytes, more than may be written to {cache.folder()}") from error
    return array


def bytes_of(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Return the number of bytes of an array."""
    return int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize


def collected(parts: Iterable[np.ndarray], max_memory: float) -> np.ndarray | None:
    """Return the rows of arrays in one array: in memory if they fit, else in a file named by the content.

    Args:
        parts: Arrays, which differ in their first side only.
        max_memory: Float, the limit in bytes.

    Returns:
        The array, or `None` if there is no row.

    Raises:
        NoRoomError: If the folder of the file cannot be written.
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
    folder = _writable_folder()
    draft_path = folder / f"{os.getpid()}.bin"
    digest, rows = hashlib.sha256(), 0
    with whole_file(draft_path) as draft, draft.open("wb") as file:
        for part in parts:
            content = np.ascontiguousarray(part)
            file.write(content.data)
            digest.update(content.data)
            rows += len(part)
    path = draft_path.replace(folder / f"{digest.hexdigest()}.bin")
    cache.use(path)
    return np.memmap(path, part.dtype, "r", 0, (rows, *part.shape[1:]))


def mapped(path: Path) -> np.ndarray:
    """Return the array in an `.npy` file, mapped into memory, read-only.

    Raises:
        ValueError: If it is no `.npy` file of numbers. The message names the file.
    """
    with reading(path, "an .npy file") as file:
        return np.load(file, mmap_mode="r", allow_pickle=False)


def _path(key: str) -> Path:
    return cache.folder() / f"{key}.npy"
