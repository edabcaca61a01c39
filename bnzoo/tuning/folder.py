"""The files in the folder of a study, which are checked when they are read."""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from bnzoo.errors import advised
from bnzoo.reading import read_json, reading
from bnzoo.training.files import replaceable
from bnzoo.tuning.definition import read_definition
from bnzoo.tuning.storage import JOURNAL

DEFINITION, RESULTS, TABLE = "study.json", "results.json", "results.csv"


def stored_definition(folder: Path) -> dict[str, Any] | None:
    """Return the definition of the study in a folder, or `None` if there is none.

    Raises:
        ValueError: If its file is damaged, or the folder has only other files.
    """
    # listed first: another process that starts the same study now writes the definition before other files
    others = [path.name for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
    path = folder / DEFINITION
    if path.exists():
        with advised(f"Restore it from a copy, or remove it: the study then continues from {JOURNAL}."):
            return read_definition(path)
    if others and JOURNAL not in others:
        raise ValueError(f"{folder} is not empty and has no study. Choose another folder.")
    return None


def count_results(folder: Path) -> int | None:
    """Return the number of trials in the results file, or `None` if there is no such file.

    Those of a confirmation are included.

    Raises:
        ValueError: If the file is damaged.
    """
    return _in_results(folder, _count)


def stored_command(folder: Path) -> str | None:
    """Return the command line in the results file, or `None` if there is no such file.

    Raises:
        ValueError: If the file is damaged.
    """
    return _in_results(folder, _command)


def _in_results(folder: Path, read: Callable[[Any], Any]) -> Any:
    """Return what a function reads from the results file, or `None` if there is no such file."""
    path = folder / RESULTS
    if not path.exists():
        return None
    with replaceable():
        return read_json(path, "the results of a study", read)


def _count(results: Any) -> int:
    if not isinstance(results, dict) or not isinstance(results.get("trials"), list):
        raise ValueError("it must be an object with a list of 'trials'")
    confirmation = results.get("confirmation", {"trials": []})
    if not isinstance(confirmation, dict) or not isinstance(confirmation.get("trials"), list):
        raise ValueError("its field 'confirmation' must be an object with a list of 'trials'")
    return len(results["trials"]) + len(confirmation["trials"])


def _command(results: Any) -> str | None:
    _count(results)
    return results.get("command")


def check_model(path: Path) -> None:
    """Raise `ValueError` if the file of a model does not match its checksums."""
    with replaceable(), reading(path, "a Keras model") as file, zipfile.ZipFile(file) as archive:
        if (name := archive.testzip()) is not None:
            raise ValueError(f"its part {name} is damaged")


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Wait until no other process writes the results, the best model, the report or the artefact of a study."""
    if not folder.is_dir():  # another process can have written nothing
        yield
        return
    with filelock.FileLock(folder / ".finish.lock"):
        yield
