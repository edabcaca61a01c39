"""Files and folders that appear whole or not at all."""

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
# in each draft, locked by the process that writes it: a process that was killed holds no lock
_LOCK = ".bnzoo-draft.lock"
_DRAFTS = f"{_DRAFT}*/{_LOCK}"


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A path to write to; what was written takes the place of `path` when the block ends without an error.

    Drafts that processes left in the folder of the file when they were killed are removed.

    Args:
        path: The file to write. Its folder must exist.
    """
    path = Path(path)
    with _draft(path.parent) as folder:
        draft = folder / path.name  # the name is kept: some writers choose the format by the suffix
        yield draft
        with draft.open("rb+") as file:  # Windows flushes only files that are open for writing
            os.fsync(file.fileno())
        draft.replace(path)


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """Make a locked folder for a draft, and remove it when the block ends; remove dead drafts first."""
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
        with suppress(filelock.Timeout):  # another process takes it for a dead one in this moment
            lock.acquire(blocking=False)
            if (draft / _LOCK).exists():
                return draft, lock
            lock.release()


def _remove_dead(locks: Iterable[Path]) -> None:
    """Remove the drafts with these locks that no process writes. A folder without a lock is someone else's."""
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
        path: The folder that it becomes; known when the block has ended, as the last part may be the next free integer.
    """

    draft: Path
    path: Path


@contextmanager
def whole_version(path: str | Path) -> Iterator[Version]:
    """A version of something, a folder whose name is an integer: there when the block ends without an error, or never.

    Drafts that processes left in the folder of the versions when they were killed are removed.

    Args:
        path: The folder to make, `<folder>/<integer>`; or the folder of the versions, in which it gets the integer
            after the highest that is there. An empty folder is no version: it is filled.

    Raises:
        FileExistsError: If the version that was given exists, before or after the block. Nothing is overwritten.
        NotADirectoryError: If the folder of the versions is a file.
    """
    path = Path(path)
    given = path.name.isdecimal()
    versions = path.parent if given else path
    if given and _taken(path):
        raise FileExistsError(f"{path} exists already and is not overwritten: choose another path, or remove it")
    with _folder(versions), _draft(versions) as folder:
        draft = folder / (versions.resolve().name or "version")
        draft.mkdir()
        version = Version(draft, path)
        yield version
        draft.chmod(0o755)
        version.path = _rename(draft, path) if given else _rename_to_next(draft, versions)


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Make a folder for what is needed only while another folder is written.

    Beside a draft it is removed with the draft when its process is killed.

    Args:
        folder: The folder that is written, such as the draft of a version.

    Yields:
        The path of the temporary folder.
    """
    beside = folder.parent if (folder.parent / _LOCK).exists() else None
    with tempfile.TemporaryDirectory(dir=beside) as path:
        yield Path(path)


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Makes a folder and those above it; those that it made are removed if the block ends with an error."""
    made = [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]
    nearest = next(folder for folder in (path, *path.parents) if os.path.lexists(folder))
    if not nearest.is_dir():
        raise NotADirectoryError(f"{nearest} is a file, and a folder is needed there: choose another path")
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):  # someone else has put something there
                folder.rmdir()
        raise


def _taken(path: Path) -> bool:
    """Return whether a path exists and is not an empty folder, whose place a renamed folder may take."""
    return os.path.lexists(path) and (path.is_symlink() or not path.is_dir() or any(path.iterdir()))


def _rename(draft: Path, path: Path) -> Path:
    """Rename in one step: a process that is killed leaves either the draft or the version."""
    with suppress(OSError):  # an empty folder is in the way on Windows
        path.rmdir()
    try:
        return draft.rename(path)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise FileExistsError(f"{path} was made by someone else meanwhile and is not overwritten") from error


def _rename_to_next(draft: Path, versions: Path) -> Path:
    while True:
        highest = max((int(entry.name) for entry in versions.iterdir() if entry.name.isdecimal()), default=0)
        number = highest if highest and not _taken(versions / str(highest)) else highest + 1
        with suppress(FileExistsError):  # made by someone else meanwhile: the one after it
            return _rename(draft, versions / str(number))


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def remove_drafts(folder: str | Path) -> None:
    """Remove what processes that were killed had begun to write in a folder, at any depth."""
    _remove_dead(Path(folder).rglob(_DRAFTS))
