"""The files of a study beside its storage, read with care."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from bnzoo.reading import read_json, reading
from bnzoo.tuning.definition import read_definition
from bnzoo.tuning.journal import NAME as JOURNAL

DEFINITION, RESULTS, BEST, NOTE = "study.json", "results.json", "best.keras", "export.json"


def stored_definition(folder: Path) -> dict[str, Any] | None:
    """Return the definition of the study whose folder it is, or `None` if the folder has none.

    Raises:
        ValueError: If the file with it is damaged, or the folder has other things in it.
    """
    # listed first: another process, which begins the same study at this moment, writes the definition before the rest
    others = [path.name for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
    path = folder / DEFINITION
    if path.exists():
        try:
            return read_definition(path)
        except ValueError as error:
            raise ValueError(
                f"{error}. Restore it from a copy; or remove it, and the study goes on with what {JOURNAL} has"
            ) from error
    if others and JOURNAL not in others:
        raise ValueError(f"{folder} is not empty and holds no study: choose another folder")
    return None


def recorded(folder: Path) -> int | None:
    """Return the number of trials in the file of results, or `None` if there is none.

    Raises:
        ValueError: If the file is damaged.
    """
    path = folder / RESULTS
    if not path.exists():
        return None
    with removable():
        return read_json(path, "the results of a study", _count)


def _count(results: Any) -> int:
    if not isinstance(results, dict) or not isinstance(results.get("trials"), list):
        raise ValueError("it must be an object with a list of 'trials'")
    return len(results["trials"])


def check_model(path: Path) -> None:
    """Raise `ValueError` if parts of the file of a model are not what their checksums say."""
    with removable(), reading(path, "a Keras model") as file, zipfile.ZipFile(file) as archive:
        if (name := archive.testzip()) is not None:
            raise ValueError(f"{name} in it is damaged")


@contextmanager
def removable() -> Iterator[None]:
    """Say of a damaged file, in the error about it, that the study writes it anew."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{error}. Remove it, and the same study, run again, writes it anew") from error


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Let one process at a time write what a study ships: results, best model, report, artefact."""
    if not folder.is_dir():  # nothing to take turns with
        yield
        return
    with filelock.FileLock(folder / ".finish.lock"):
        yield
