"""Files and folders that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """A folder to write in; it is renamed to `path` when the block ends without an error, else removed.

    Args:
        path: The folder to make.

    Raises:
        FileExistsError: If `path` exists, before or after the block.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists already and is not overwritten: choose another path, or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=path.parent))
    try:
        yield draft
        draft.chmod(0o755)
        draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def remove_drafts(folder: str | Path) -> None:
    """Removes what processes that were killed had begun to write in a folder, at any depth."""
    for draft in list(Path(folder).rglob(f"{_DRAFT}*")):
        shutil.rmtree(draft, ignore_errors=True)
