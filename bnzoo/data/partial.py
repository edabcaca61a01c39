"""Arrays whose rows are written one at a time."""

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from weakref import finalize

import numpy as np

from bnzoo.data import store
from bnzoo.files import whole_file


class PartialArray:
    """An array whose rows are written one at a time: in memory if it fits, else in a file.

    The file gets its name in the cache when all rows are written. An incomplete one is removed at the end of the
    process. A copy in another process on the same machine uses the same file; rows in memory are not copied.

    Args:
        shape: Tuple of integers.
        dtype: The type of the numbers.
        max_memory: Integer, the limit in bytes, as in `store.memory_limit`.
        key: String, the name of the file.

    Attributes:
        array: The array. Only the rows that are written have content.
        written: Boolean array, whether each row is written. Set it after the row.

    Raises:
        store.NoRoomError: If the array fits neither into memory nor on the disk.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, max_memory: int | None, key: str) -> None:
        self._arguments = shape, dtype, max_memory, key
        self._draft = ExitStack()
        self._files: tuple[Path, ...] = ()
        stored = store.find(key)
        if stored is not None:
            self.array, self.written = stored, np.ones(len(stored), bool)
        elif store.fits(shape, dtype, max_memory):
            self.array, self.written = store.in_memory(shape, dtype), np.zeros(shape[0], bool)
        else:
            path = self._draft.enter_context(whole_file(store.file_for(key, shape, dtype)))
            finalize(self, _discard, self._draft)
            self._files = path, path.with_suffix(".written")
            self.array = store.in_file(self._files[0], shape, dtype)
            self.written = store.in_file(self._files[1], shape[:1], np.dtype(bool))

    def publish(self) -> None:
        """Give the file its name if all rows are written."""
        if self._files and self.written.all():
            self._files = ()
            with suppress(OSError):  # Windows does not rename a file that is mapped
                self._draft.close()
                store.find(self._arguments[-1])  # marks the file as used

    def __reduce__(self) -> tuple[Any, ...]:
        return _attached, (self._arguments, self._files)


def _discard(draft: ExitStack) -> None:
    with suppress(_IncompleteError), draft:
        raise _IncompleteError


class _IncompleteError(Exception):
    """An error that ends the block of a draft, so that the draft is removed."""


def _attached(arguments: tuple[Any, ...], files: tuple[Path, ...]) -> PartialArray:
    """Return the array of another process, or a new one if that has ended or holds the rows in memory."""
    if not files or not all(file.exists() for file in files):
        return PartialArray(*arguments)
    attached = PartialArray.__new__(PartialArray)
    vars(attached).update(_arguments=arguments, _draft=ExitStack(), _files=())
    attached.array, attached.written = (np.load(file, mmap_mode="r+") for file in files)
    return attached
