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

DEFINITION, CHECKPOINT, LOG, DIVERGENCE = "training.json", "checkpoint.npz", "history.csv", "diverged.txt"
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
        self._stored_plan()

    def _stored_plan(self) -> TrainingPlan | None:
        """Return the stored plan, or `None` if there is none yet.

        Raises:
            ValueError: If the folder has another training, or other files, or its definition is damaged.
        """
        if not self._path.exists():
            if _has_files(self.folder):
                raise ValueError(f"{self.folder} is not empty and has no training. Choose another folder.")
            return None
        stored, plan = _read(self._path)
        names = [*dict.fromkeys([*stored, *self._definition])]
        differences = [
            f"{name}: {reprlib.repr(stored.get(name))} there, {reprlib.repr(self._definition.get(name))} here"
            for name in names
            if stored.get(name) != self._definition.get(name)
        ]
        if differences:
            raise ValueError(
                f"{self.folder} has another training ({'; '.join(differences)}). Choose another folder, or remove it."
            )
        return plan

    @property
    def _path(self) -> Path:
        return self.folder / DEFINITION

    @property
    def checkpoint(self) -> Path:
        """The path of the checkpoint, which may not exist."""
        return self.folder / CHECKPOINT

    @property
    def log(self) -> Path:
        """The path of the log of the epochs."""
        return self.folder / LOG

    @property
    def divergence(self) -> str:
        """The message of the error if the training has diverged, else empty."""
        path = self.folder / DIVERGENCE
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def record_divergence(self, message: str) -> None:
        """Record that the training of a trial has diverged: it is not run again, here or in another process."""
        write_text(self.folder / DIVERGENCE, message)

    def plan(self, make: Callable[[], TrainingPlan], budget: bool) -> TrainingPlan:
        """Return the stored plan, or make and store it. Only the process that holds the folder may call it.

        Args:
            make: Function without arguments that returns a new plan.
            budget: Boolean, whether there is a budget, with which the plan may change before the first checkpoint.

        Raises:
            ValueError: If another process has begun another training in the folder meanwhile.
        """
        plan = self._stored_plan()
        if plan is None or (budget and not self.checkpoint.exists()):
            plan = make()
            _write(self._path, self._definition, plan)
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
    """Return the folder of a training among numbered ones: that with the same definition, an empty one, or the next.

    The definition of a new training is stored at once: other processes must find it before its plan is made.
    """
    definition = json_ready(definition)
    parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(parent / _LOCK):
        numbers = sorted(int(path.name) for path in parent.glob("*") if path.name.isdecimal())
        chosen = None
        for folder in (parent / str(number) for number in numbers):
            stored = stored_definition(folder)
            if stored == definition:
                return folder
            if chosen is None and stored is None and folder.is_dir() and not _has_files(folder):
                chosen = folder  # a process that was killed has left it
        if chosen is None:
            chosen = parent / str(max(numbers, default=0) + 1)
            chosen.mkdir()
        _write(chosen / DEFINITION, definition, None)
        return chosen


def _has_files(folder: Path) -> bool:
    return any(not path.name.startswith(".") for path in folder.iterdir())


def _write(path: Path, definition: dict[str, Any], plan: TrainingPlan | None) -> None:
    """Write the definition of a training, with its plan if it has been made."""
    write_text(path, json_text({"definition": definition, "plan": None if plan is None else plan.get_config()}))


def _read(path: Path) -> tuple[dict[str, Any], TrainingPlan | None]:
    def check(content: Any) -> tuple[dict[str, Any], TrainingPlan | None]:
        if not isinstance(content, dict) or not isinstance(content.get("definition"), dict) or "plan" not in content:
            raise ValueError("it must be an object with the fields 'definition' and 'plan'")
        plan = content["plan"]
        return content["definition"], None if plan is None else TrainingPlan.from_config(plan)

    with advised(f"Remove {path.parent} to start the training again."):
        return read_json(path, "the definition of a training", check)
