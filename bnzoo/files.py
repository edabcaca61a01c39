"""Files and folders that appear complete or not at all."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import filelock

_DRAFT = ".draft-"
# a file in each draft, locked by the process that writes the draft; a process that was killed holds no lock
_LOCK = ".bnzoo-draft.lock"
_DRAFTS = f"{_DRAFT}*/{_LOCK}"
# the errors of a full disk or quota, and of a limit of the size of files
_FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)}


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield the path of a draft, which replaces a file when the block ends without an error.

    Drafts of killed processes in the folder of the file are removed.

    Args:
        path: The path of the file. Its folder must exist.

    Yields:
        The path of the draft, in another folder, with the same name.

    Raises:
        FileExistsError: If the path is a folder, a device or a pipe, which root could replace.
    """
    path = Path(path)
    check_replaceable(path)
    with _draft(path.parent) as folder:
        draft = folder / path.name  # the same name, as some writers choose the format by the suffix
        try:
            yield draft
            with draft.open("rb+") as file:  # Windows flushes only files that are open for writing
                os.fsync(file.fileno())
        except OSError as error:
            if error.errno in _FULL and error.filename is None:  # a failed write does not name its file
                error.filename = str(path)
            raise
        draft.replace(path)


def check_replaceable(path: Path) -> None:
    """Raise `FileExistsError` if the path is that of a folder, a device or a pipe."""
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path} is no file, and is not overwritten. Choose another path")


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """Make a locked folder for a draft, and remove it when the block ends. Remove drafts of killed processes first."""
    _remove_dead(folder.glob(_DRAFTS))
    draft, lock = _locked(folder)
    try:
        yield draft
    finally:
        lock.release()
        shutil.rmtree(draft, ignore_errors=True)


def _locked(folder: Path) -> tuple[Path, filelock.BaseFileLock]:
    while True:
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=folder))
        lock = filelock.FileLock(draft / _LOCK)
        with suppress(filelock.Timeout):  # another process may remove the draft before it is locked
            lock.acquire(blocking=False)
            if (draft / _LOCK).exists():
                return draft, lock
            lock.release()


def _remove_dead(locks: Iterable[Path]) -> None:
    """Remove the drafts with these locks that no process writes. Folders without a lock are no drafts."""
    for path in list(locks):
        with suppress(filelock.Timeout, OSError):
            with filelock.FileLock(path, blocking=False):
                shutil.rmtree(path.parent, ignore_errors=True)
            # Windows cannot remove the file of a lock that is held
            shutil.rmtree(path.parent, ignore_errors=True)


@dataclass
class Version:
    """A version that is being written.

    Attributes:
        draft: The folder to write in.
        path: The folder of the version. It is final when the block has ended, as its name may be the next free integer.
    """

    draft: Path
    path: Path


@contextmanager
def whole_version(path: str | Path) -> Iterator[Version]:
    """Yield a draft, which becomes a folder with an integer as its name when the block ends without an error.

    Drafts of killed processes in the folder of the versions are removed.

    Args:
        path: The folder to make, `<folder>/<integer>`, or the folder of the versions, where the next integer after the
            highest is used. An empty folder is no version, and is filled.

    Yields:
        A `Version`.

    Raises:
        FileExistsError: If the version exists, before or after the block. Nothing is overwritten.
        NotADirectoryError: If the folder of the versions is a file.
    """
    path = Path(path)
    has_number = path.name.isdecimal()
    versions = path.parent if has_number else path
    if has_number and _taken(path):
        raise FileExistsError(f"{path} exists and is not overwritten. Choose another path, or remove the folder")
    with _folder(versions), _draft(versions) as folder:
        draft = folder / (versions.resolve().name or "version")
        draft.mkdir()
        version = Version(draft, path)
        yield version
        draft.chmod(0o755)
        version.path = _rename(draft, path) if has_number else _rename_to_next(draft, versions)


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Make a temporary folder for the time in which another folder is written.

    It is in the folder of the draft, if there is one, so that it is removed with the draft of a killed process.

    Args:
        folder: The folder that is written, such as the draft of a version.

    Yields:
        The path of the temporary folder.
    """
    parent = folder.parent if (folder.parent / _LOCK).exists() else None
    with tempfile.TemporaryDirectory(dir=parent) as path:
        yield Path(path)


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Make a folder and its parents, and remove the new ones if the block ends with an error."""
    made = [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]
    nearest = next(folder for folder in (path, *path.parents) if os.path.lexists(folder))
    if not nearest.is_dir():
        raise NotADirectoryError(f"{nearest} is a file. It must be a folder. Choose another path")
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):  # another process has written into the folder
                folder.rmdir()
        raise


def _taken(path: Path) -> bool:
    """Return whether a path exists and is no empty folder, which a renamed folder may replace."""
    return os.path.lexists(path) and (path.is_symlink() or not path.is_dir() or any(path.iterdir()))


def _rename(draft: Path, path: Path) -> Path:
    """Rename in one step, so that a killed process leaves either the draft or the version."""
    with suppress(OSError):  # Windows does not replace an empty folder
        path.rmdir()
    try:
        return draft.rename(path)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise FileExistsError(
            f"{path} was made by another process meanwhile and is not overwritten. Choose another path"
        ) from error


def version_numbers(versions: Path) -> list[int]:
    """Return the numbers of the versions in a folder, in no order. A folder that does not exist has none."""
    return [int(entry.name) for entry in versions.glob("*") if entry.name.isdecimal()]


def _rename_to_next(draft: Path, versions: Path) -> Path:
    while True:
        highest = max(version_numbers(versions), default=0)
        number = highest if highest and not _taken(versions / str(highest)) else highest + 1
        with suppress(FileExistsError):  # another process has made it: try the next one
            return _rename(draft, versions / str(number))


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, completely or not at all."""
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def remove_drafts(folder: str | Path) -> None:
    """Remove the drafts of killed processes in a folder, at any depth."""
    _remove_dead(Path(folder).rglob(_DRAFTS))
