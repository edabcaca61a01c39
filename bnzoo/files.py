"""Files and folders that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_DRAFT = ".draft-"


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A path to write to; what was written takes the place of `path` when the block ends without an error.

    Args:
        path: The file to write. Its folder must exist.
    """
    path = Path(path)
    with tempfile.TemporaryDirectory(prefix=_DRAFT, dir=path.parent) as folder:
        draft = Path(folder) / path.name  # the name is kept: some writers choose the format by the suffix
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)


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

    Args:
        path: The folder to make, `<folder>/<integer>`; or the folder of the versions, in which it gets the integer
            after the highest that is there.

    Raises:
        FileExistsError: If the version that was given exists, before or after the block. Nothing is overwritten.
        NotADirectoryError: If the folder of the versions is a file.
    """
    path = Path(path)
    given = path.name.isdecimal()
    versions = path.parent if given else path
    if given and os.path.lexists(path):
        raise FileExistsError(f"{path} exists already and is not overwritten: choose another path, or remove it")
    with _folder(versions):
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=versions))
        version = Version(draft, path)
        try:
            yield version
            draft.chmod(0o755)
            version.path = _rename(draft, path) if given else _rename_to_next(draft, versions)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


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


def _rename(draft: Path, path: Path) -> Path:
    try:
        path.mkdir()  # a folder may be renamed to an empty one, so that the name is ours from here on
    except FileExistsError as error:
        raise FileExistsError(f"{path} was made by someone else meanwhile and is not overwritten") from error
    return draft.rename(path)


def _rename_to_next(draft: Path, versions: Path) -> Path:
    while True:
        taken = [int(entry.name) for entry in versions.iterdir() if entry.name.isdecimal()]
        with suppress(FileExistsError):  # made by someone else meanwhile: the one after it
            return _rename(draft, versions / str(max(taken, default=0) + 1))


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def remove_drafts(folder: str | Path) -> None:
    """Removes what processes that were killed had begun to write in a folder, at any depth."""
    for draft in list(Path(folder).rglob(f"{_DRAFT}*")):
        shutil.rmtree(draft, ignore_errors=True)
