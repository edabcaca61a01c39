"""Callbacks of a trial that look at it before its last epoch: they end it if it is pruned, lost or out of time."""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import keras

from bnzoo.training.endings import Deadline

# a function of a score and the number of epochs that returns whether the trial is pruned
Report = Callable[[float, int], bool]
# a loss above this share of the loss of guessing shows that nothing was learned
STALLED = 0.98
# a training has this many steps before it may count as lost: with a low learning rate it begins slowly
PATIENCE = 100
# batches of each evaluation and of the recalibration after a deadline
LATE_BATCHES = 8


class Values(NamedTuple):
    """A score, a loss and an accuracy on the validation data, with recalibrated statistics."""

    score: float
    loss: float
    accuracy: float


class Evaluated(Protocol):
    """A model in training that can be evaluated with recalibrated statistics without a change of its state."""

    def recalibrated(self, keep: bool) -> tuple[float, float, float]:
        """Return score, loss and accuracy."""


class Looks(keras.callbacks.Callback):
    """A callback that looks at a trial after 1, 3, 9, ... epochs, and ends it if it is pruned or lost.

    A trial is lost if both its training loss and its validation loss are not below that of guessing. The score uses
    recalibrated statistics. The moving statistics are restored before the training continues, so that a look does not
    change the training.

    Args:
        trial: The trained model, as `Evaluated`.
        epochs: Integer, the epochs of the trial.
        guessing: Float, the loss of guessing.
        cap: Float, the loss from which a training counts as diverged.
        report: Function of a score and the number of epochs that returns whether the trial is pruned.

    Attributes:
        ended: The outcome, the reason and the `Values` of a trial that was ended; else `None`.
    """

    def __init__(
        self, trial: Evaluated, epochs: int, guessing: float, cap: float, report: Report | None = None
    ) -> None:
        super().__init__()
        self._trial, self._epochs, self._report = trial, epochs, report
        self._guessing, self._cap, self._steps = guessing, cap, 0
        self._after = {3**i for i in range(epochs.bit_length()) if 3**i < epochs}
        self.ended: tuple[str, str, Values] | None = None

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Count the steps."""
        self._steps += 1

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Look at the trial, unless its training has ended within the epoch."""
        training = (logs or {}).get("loss", math.nan)
        if epoch + 1 not in self._after or self.model.stop_training or not math.isfinite(training):
            return
        nothing = STALLED * self._guessing
        doubtful = self._steps >= PATIENCE and training >= nothing
        if not (doubtful or self._report):
            return
        values = Values(*self._trial.recalibrated(keep=False))
        after = f"after {epoch + 1} of {self._epochs} epochs"
        if self._report and self._report(values.score, epoch + 1):
            self.ended = "pruned", f"pruned {after} with the validation loss {values.loss:.3g}", values
        elif doubtful and not values.loss < nothing:
            outcome = "stalled" if values.loss < self._cap else "diverged"
            losses = f"the training loss {training:.3g} and the validation loss {values.loss:.3g}"
            self.ended = outcome, f"given up {after}: {losses} are not below guessing ({self._guessing:.3g})", values
        if self.ended:
            self.model.stop_training = True


class TrialDeadline(Deadline):
    """A callback that ends a trial after the step in which a moment has passed, and shortens its evaluation.

    Args:
        moment: Float, as `time.monotonic()`; `None` for no deadline.

    Attributes:
        steps: Integer, the number of steps.
    """

    def __init__(self, moment: float | None) -> None:
        super().__init__(math.inf if moment is None else moment)
        self.steps = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """End the training if the moment has passed."""
        self.steps += 1
        super().on_train_batch_end(batch, logs)

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """End the evaluation if the training was ended."""
        if self.stopped and batch + 1 >= LATE_BATCHES:
            self.model.stop_evaluating = True
