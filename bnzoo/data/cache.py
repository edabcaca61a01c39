"""Files in the cache: marked while a process uses them, removed when they were not used for 30 days."""

import os
import time
import warnings
from contextlib import suppress
from pathlib import Path

import filelock

DAYS = 30
_SUFFIXES = (".npy", ".bin")
# for all files, while one is marked or removed
_LOCK = ".lock"
# of the files that this process uses; the system releases them when the process ends
_held: dict[Path, filelock.BaseFileLock] = {}


def folder() -> Path:
    """Return the folder of the files: `bnzoo` in the folder in which Keras keeps its downloads."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "bnzoo"


def use(path: Path) -> bool:
    """Mark a file as used now, and by this process until it ends.

    Args:
        path: The file.

    Returns:
        Whether the file exists.
    """
    if not os.path.exists(path):  # unlike a Path, False where it may not be looked for
        return False
    with suppress(OSError), filelock.FileLock(path.parent / _LOCK):  # the folder may be read-only
        if path.exists() and path not in _held:
            lock = filelock.FileLock(path.with_name(f".{path.name}.{os.getpid()}.lock"), thread_local=False)
            lock.acquire(blocking=False)
            _held[path] = lock
        os.utime(path)
    return path.exists()


def remove_unused(path: Path) -> None:
    """Remove the files that no process uses, and none has used for 30 days, with a warning that counts them.

    Args:
        path: The folder.
    """
    oldest, count, size = time.time() - DAYS * 24 * 3600, 0, 0
    with filelock.FileLock(path / _LOCK):
        used = _used(path)
        for file in path.iterdir():
            if file.suffix not in _SUFFIXES or file.name in used:
                continue
            with suppress(FileNotFoundError):  # another process has renamed it
                state = file.stat()
                if state.st_mtime < oldest:
                    file.unlink()
                    count, size = count + 1, size + state.st_size
    if count:
        warnings.warn(
            f"{count} file{'s' * (count > 1)} of {path}, {size:,} bytes, not used for {DAYS} days, "
            f"{'were' if count > 1 else 'was'} removed.",
            stacklevel=2,
        )


def _used(path: Path) -> set[str]:
    """Return the names of the files that processes use. Remove the marks of processes that have ended."""
    names = set()
    for mark in path.glob(".*.lock"):
        try:
            with filelock.FileLock(mark, blocking=False):
                mark.unlink(missing_ok=True)
        except (filelock.Timeout, OSError):
            names.add(mark.name.removeprefix(".").rsplit(".", 2)[0])
    return names
