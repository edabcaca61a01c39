"""The folder of a training: its definition and plan, its checkpoint and its log."""

import reprlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from bnzoo.errors import advised
from bnzoo.files import write_text
from bnzoo.json_text import json_ready, json_text
from bnzoo.reading import read_json
from bnzoo.training.planning import TrainingPlan

DEFINITION, CHECKPOINT, LOG = "training.json", "checkpoint.npz", "history.csv"
_LOCK = ".training.lock"


class Store:
    """The folder of a training.

    Args:
        folder: The folder. It is made.
        definition: Dict, everything that determines the training, as JSON.

    Raises:
        ValueError: If the folder has another training, or other files, or its definition is damaged.
    """

    def __init__(self, folder: Path, definition: dict[str, Any]) -> None:
        self.folder, self._definition = folder, json_ready(definition)
        folder.mkdir(parents=True, exist_ok=True)
        stored = stored_definition(folder)
        if stored is None:
            others = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
            if others:
                raise ValueError(f"{folder} is not empty and has no training. Choose another folder.")
            return
        names = [*dict.fromkeys([*stored, *self._definition])]
        differences = [
            f"{name}: {reprlib.repr(stored.get(name))} there, {reprlib.repr(self._definition.get(name))} here"
            for name in names
            if stored.get(name) != self._definition.get(name)
        ]
        if differences:
            raise ValueError(
                f"{folder} has another training ({'; '.join(differences)}). Choose another folder, or remove it."
            )

    @property
    def checkpoint(self) -> Path:
        """The path of the checkpoint, which may not exist."""
        return self.folder / CHECKPOINT

    @property
    def log(self) -> Path:
        """The path of the log of the epochs."""
        return self.folder / LOG

    def plan(self, make: Callable[[], TrainingPlan], budget: bool) -> TrainingPlan:
        """Return the stored plan, or make and store it.

        Args:
            make: Function without arguments that returns a new plan.
            budget: Boolean, whether there is a budget, with which the plan may change before the first checkpoint.
        """
        path = self.folder / DEFINITION
        if path.exists() and (self.checkpoint.exists() or not budget):
            return _read(path)[1]
        plan = make()
        write_text(path, json_text({"definition": self._definition, "plan": plan.get_config()}))
        return plan

    @contextmanager
    def alone(self, seconds: float) -> Iterator[None]:
        """Hold the folder for this process.

        Args:
            seconds: Float, the time to wait until no other process trains there.

        Raises:
            ValueError: If another process trains there.
        """
        try:
            with filelock.FileLock(self.folder / _LOCK, timeout=seconds):
                yield
        except filelock.Timeout as error:
            raise ValueError(f"{self.folder}: another process trains here. Wait for it, or stop it.") from error


def stored_definition(folder: Path) -> dict[str, Any] | None:
    """Return the definition of the training in a folder, or `None` if there is none.

    Raises:
        ValueError: If its file is damaged.
    """
    path = folder / DEFINITION
    return _read(path)[0] if path.exists() else None


def folder_for(definition: dict[str, Any], parent: Path) -> Path:
    """Return the folder of a training among numbered ones: the one with the same definition, or the next number."""
    numbers = [int(path.name) for path in parent.glob("*") if path.name.isdecimal()]
    for number in sorted(numbers):
        if stored_definition(parent / str(number)) == json_ready(definition):
            return parent / str(number)
    return parent / str(max(numbers, default=0) + 1)


def _read(path: Path) -> tuple[dict[str, Any], TrainingPlan]:
    def check(content: Any) -> tuple[dict[str, Any], TrainingPlan]:
        if not isinstance(content, dict) or not isinstance(content.get("definition"), dict):
            raise ValueError("it must be an object with the fields 'definition' and 'plan'")
        return content["definition"], TrainingPlan.from_config(content.get("plan"))

    with advised(f"Remove {path.parent} to start the training again."):
        return read_json(path, "the definition of a training", check)
