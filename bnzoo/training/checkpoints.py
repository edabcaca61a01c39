"""Checkpoints of a training, from which it goes on bit for bit."""

import json
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bnzoo.errors import advised
from bnzoo.files import whole_file
from bnzoo.json_text import json_text
from bnzoo.reading import read_npz
from bnzoo.training.averaging import Averaging
from bnzoo.training.endings import Patience
from bnzoo.training.position import Position
from bnzoo.training.variables import assign

# seconds between two checkpoints
INTERVAL = 30.0
_NOTES = "notes"
_REMEDY = "Remove it to start the training again."


class Checkpoints(keras.callbacks.Callback):
    """A callback that writes the whole state of a training into a file, after steps and epochs.

    No checkpoint is written during a validation. One is therefore written before the last step of an epoch, if the next
    one would be late by the time that the end of the previous epoch took.

    The state is all variables of the model, the optimizer, the metrics and the averages, with random states and the
    scale of the loss, the position in the data, and the history.

    Args:
        path: The file, whose folder exists.
        position: The `Position` of the training.
        history: Dict of lists, the values of each epoch. It changes.
        averaging: The `Averaging`, or `None`.
        patience: The `Patience`, or `None`.
    """

    def __init__(
        self,
        path: Path,
        position: Position,
        history: dict[str, list[float]],
        averaging: Averaging | None,
        patience: Patience | None,
    ) -> None:
        super().__init__()
        self._path, self._position, self._history = path, position, history
        self._averaging, self._patience = averaging, patience
        self._last = time.monotonic()
        # the start and the seconds of the end of an epoch: its last step and its validation
        self._end_begun, self._end_seconds = self._last, INTERVAL
        self._metrics: list[np.ndarray] = []  # of the epoch that goes on

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Restore the metrics of an epoch that goes on: Keras has reset them."""
        if self._metrics:
            _assign_all("metrics", self.model.metrics_variables, self._metrics)
        self._metrics = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Write a checkpoint if the next one would be late, or the training ends here."""
        left = (self._position.steps or 0) - self._position.step
        if left:  # after the last step the end of the epoch follows, from which a training can go on
            ahead = math.inf if self.model.stop_training else self._end_seconds if left == 1 else 0.0
            self._save_if_due(logs, ahead)
        if left == 1:
            self._end_begun = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write a checkpoint if the last one is old."""
        if not self._position.step:  # validation has changed the metrics of an epoch that ended early
            self._end_seconds = time.monotonic() - self._end_begun
            self._save_if_due(logs)

    def _save_if_due(self, logs: dict[str, float] | None, ahead: float = 0.0) -> None:
        """Write a checkpoint if the last one is old, or will be after some seconds. Write none of a loss of NaN."""
        if math.isfinite((logs or {}).get("loss", 0.0)) and time.monotonic() + ahead - self._last >= INTERVAL:
            self.save()

    def save(self) -> None:
        """Write a checkpoint."""
        position, patience = self._position, self._patience
        notes: dict[str, Any] = {"epoch": position.epoch, "step": position.step, "history": self._history}
        if patience is not None:
            notes["patience"] = {"best": patience.best, "waited": patience.waited}
        groups = {name: list(values) for name, values in self._groups().items()}
        groups["best"] = list(patience.weights) if patience else []
        arrays = {
            f"{name}/{i}": keras.ops.convert_to_numpy(value)
            for name, group in groups.items()
            for i, value in enumerate(group)
        }
        with whole_file(self._path) as draft, draft.open("wb") as file:
            np.savez(file, allow_pickle=False, **{_NOTES: np.array(json_text(notes)), **arrays})  # type: ignore[arg-type]
        self._last = time.monotonic()

    def restore(self, model: keras.Model) -> None:
        """Set the state of a training to that in the file.

        Raises:
            ValueError: If the file is damaged, or of another training.
        """
        self.set_model(model)
        with advised(_REMEDY):
            arrays = read_npz(self._path, max_bytes=2 * self._path.stat().st_size)
        try:
            notes = json.loads(str(arrays.pop(_NOTES)))
            self._assign(arrays, notes)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{self._path} cannot be read as the checkpoint of this training: {error}. {_REMEDY}"
            ) from error

    def _assign(self, arrays: dict[str, np.ndarray], notes: dict[str, Any]) -> None:
        position, groups = self._position, _grouped(arrays)
        epoch, step = int(notes["epoch"]), int(notes["step"])
        if not (0 <= epoch <= position.epochs and 0 <= step < (position.steps or 1)):
            raise ValueError(f"its position is epoch {epoch}, step {step}")
        history = {str(name): [float(value) for value in values] for name, values in notes["history"].items()}
        if groups.get("averages") and self._averaging is not None:
            self._averaging.set_model(self.model)
            self._averaging.begin()
        for name, variables in self._groups().items():
            _assign_all(name, variables, groups.get(name, []))
        self._metrics = groups.get("metrics", []) if step else []
        if self._patience is not None:
            self._patience.best, self._patience.waited = float(notes["patience"]["best"]), notes["patience"]["waited"]
            self._patience.weights = groups.get("best", [])
        self._history.clear()
        self._history.update(history)
        position.go_to(epoch, step)

    def _groups(self) -> dict[str, list[Any]]:
        return {
            "model": self.model.variables,
            "optimizer": self.model.optimizer.variables,
            "averages": self._averaging.averages if self._averaging else [],
            "metrics": self.model.metrics_variables,
        }


def _grouped(arrays: dict[str, np.ndarray]) -> dict[str, list[np.ndarray]]:
    groups: dict[str, dict[int, np.ndarray]] = {}
    for name, value in arrays.items():
        group, _, number = name.partition("/")
        groups.setdefault(group, {})[int(number)] = value
    return {group: [values[number] for number in sorted(values)] for group, values in groups.items()}


def _assign_all(name: str, variables: Iterable[Any], values: list[np.ndarray]) -> None:
    variables = list(variables)
    shapes = [tuple(variable.shape) for variable in variables], [value.shape for value in values]
    if shapes[0] != shapes[1]:
        raise ValueError(f"its variables of the {name} have other shapes")
    assign(variables, values)
