"""Callbacks that end a training before its last epoch."""

import math
import time
from typing import Any

import keras


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


class Patience(keras.callbacks.Callback):
    """A callback that ends the training if the validation loss has not improved for some epochs.

    `keras.callbacks.EarlyStopping` cannot be resumed.

    Args:
        epochs: Integer.

    Attributes:
        best: Float, the lowest validation loss.
        waited: Integer, the number of epochs since then.
        weights: List of arrays, the variables of the model with the lowest validation loss.
        stopped: Boolean, whether it has ended the training.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.epochs, self.best, self.waited, self.stopped = epochs, math.inf, 0, False
        self.weights: list[Any] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Compare the validation loss with the lowest one."""
        loss = (logs or {}).get("val_loss", math.nan)
        if loss < self.best:
            self.best, self.waited = loss, 0
            self.weights = [keras.ops.convert_to_numpy(variable) for variable in self.model.variables]
            return
        self.waited += 1
        if self.waited >= self.epochs:
            self.stopped = self.model.stop_training = True
