"""Callbacks that end a training before its last epoch."""

import math
import time
from typing import Any

import keras

from bnzoo.keras_internals import flatten_layers
from bnzoo.training.position import Position
from bnzoo.training.variables import values_of

# the share of the initial moving statistics that is left when the validation losses count
_LEFT = 0.05
# the first steps of an epoch, which wait for the data, and the steps that count as long as expected at the start
_FIRST, _KNOWN = 2, 20.0


class DivergedError(RuntimeError):
    """The error of a training whose loss is NaN or infinite."""


class StopWhenNotFinite(keras.callbacks.Callback):
    """A callback that ends the training at a loss that is NaN or infinite.

    `keras.callbacks.TerminateOnNaN` prints into the progress bar.

    Attributes:
        stopped: Boolean, whether it has ended the training.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stopped = False

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """End the training if the loss is not finite."""
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            self.stopped = self.model.stop_training = True


class Deadline(keras.callbacks.Callback):
    """A callback that ends the training after the step in which a moment has passed.

    Args:
        moment: Float, as `time.monotonic()`.

    Attributes:
        stopped: Boolean, whether it has ended the training.
    """

    def __init__(self, moment: float) -> None:
        super().__init__()
        self.moment, self.stopped = moment, False

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """End the training if the moment has passed."""
        if time.monotonic() >= self.moment:
            self.stopped = self.model.stop_training = True


class Reserve(Deadline):
    """A `Deadline` before the end of a budget. If the steps become slower, the work after them will take longer too.

    Args:
        end: Float, the end of the budget as `time.monotonic()`.
        kept: Float, the seconds that are kept for the work after the last step.
        step: Float, the seconds of a step with which they were estimated.
    """

    def __init__(self, end: float, kept: float, step: float) -> None:
        super().__init__(end - kept)
        self._end, self._kept, self._step = end, kept, step
        self._steps, self._seconds, self._begun = _KNOWN, _KNOWN * step, 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Halve the weight of the steps before: other processes may have come or gone."""
        if self._steps > 1:  # in epochs of a step or two none is added, and the weight must not become 0
            self._steps, self._seconds = self._steps / 2, self._seconds / 2

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Note the moment."""
        self._begun = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """End the training if the seconds that are left are needed for the work after it."""
        if batch >= _FIRST:
            self._steps, self._seconds = self._steps + 1, self._seconds + time.monotonic() - self._begun
        self.moment = self._end - self._kept * max(1.0, self._seconds / (self._steps * self._step))
        super().on_train_batch_end(batch, logs)


class Patience(keras.callbacks.Callback):
    """A callback that ends the training if the validation loss has not improved for some epochs.

    `keras.callbacks.EarlyStopping` cannot be resumed.

    Args:
        epochs: Integer.
        position: The `Position` of the training.
        start: Integer, the steps after which epochs count: the moving statistics of batch norm lag behind before.

    Attributes:
        best: Float, the lowest validation loss.
        waited: Integer, the number of epochs since then.
        weights: List of arrays, the variables of the model with the lowest validation loss.
    """

    def __init__(self, epochs: int, position: Position, start: int = 0) -> None:
        super().__init__()
        self._position, self._start = position, start
        self.epochs, self.best, self.waited = epochs, math.inf, 0
        self.weights: list[Any] = []

    @property
    def stopped(self) -> bool:
        """`True` if it has ended the training, in this process or in one before."""
        return self.waited >= self.epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Compare the validation loss with the lowest one."""
        loss = (logs or {}).get("val_loss", math.nan)
        if loss < self.best:
            self.best, self.waited = loss, 0
            self.weights = values_of(self.model.variables)
            return
        self.waited += self._position.done > self._start
        if self.stopped:
            self.model.stop_training = True


def steps_of_lag(model: keras.Model) -> int:
    """Return the steps until the moving statistics of batch norm hold little of their initial values."""
    norms = [layer for layer in flatten_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    momentum = max((norm.momentum for norm in norms if norm.trainable), default=0.0)
    return math.ceil(math.log(_LEFT) / math.log(momentum)) if 0 < momentum < 1 else 0
