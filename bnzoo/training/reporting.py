"""Reports on a running training: its history, a log of its epochs, and its progress."""

import csv
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import keras

from bnzoo.files import whole_file
from bnzoo.training.position import Position


class Moment(NamedTuple):
    """A moment in a training, for its progress.

    Attributes:
        epoch: Integer, the number of finished epochs.
        epochs: Integer, the number of epochs.
        step: Integer, the number of finished steps of the present epoch.
        steps: Integer, the number of steps of an epoch.
        logs: Dict of floats, the loss and the metrics in the present epoch; after an epoch those of validation too.
        epoch_ended: Boolean, whether an epoch has just ended.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    logs: dict[str, float]
    epoch_ended: bool = False


Progress = Callable[[Moment], None]


class Recording(keras.callbacks.Callback):
    """A callback that keeps the values of each epoch, and reports the progress.

    Args:
        position: The `Position` of the training.
        history: Dict of lists, the values of each epoch. It changes.
        progress: Function of a `Moment`, which is called after each step and each epoch; or `None`.
        log: The path of a CSV file with a row for each epoch, or `None`.
    """

    def __init__(
        self, position: Position, history: dict[str, list[float]], progress: Progress | None, log: Path | None
    ) -> None:
        super().__init__()
        self._position, self._history, self._progress, self._log = position, history, progress, log

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Report the step."""
        self._report(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keep the values of the epoch, and report it."""
        for name, value in (logs or {}).items():
            self._history.setdefault(name, []).append(float(value))
        if self._log is not None:
            write_log(self._log, self._history)
        self._report(logs, epoch_ended=True)

    def _report(self, logs: dict[str, Any] | None, epoch_ended: bool = False) -> None:
        if self._progress is None:
            return
        at = self._position
        values = {name: float(value) for name, value in (logs or {}).items()}
        self._progress(Moment(at.epoch, at.epochs, at.step, at.steps or 0, values, epoch_ended))


def write_log(path: Path, history: dict[str, list[float]]) -> None:
    """Write a history as a CSV file with a row for each epoch, completely or not at all."""
    with whole_file(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("epoch", *history))
        writer.writerows((epoch, *row) for epoch, row in enumerate(zip_longest(*history.values(), fillvalue=""), 1))
