"""The position of a training: the epoch and the step."""

import keras


class Position(keras.callbacks.Callback):
    """The position of a training, for the callbacks that come after it in the list.

    Args:
        epochs: Integer, the number of epochs of the training.
        steps: Integer, the number of steps of an epoch; `None` until Keras knows it.
        epoch: Integer, the number of finished epochs.
        step: Integer, the number of finished steps of the present epoch.

    Attributes:
        epochs: As above.
        steps: As above.
        epoch: As above.
        step: As above.
    """

    def __init__(self, epochs: int, steps: int | None = None, epoch: int = 0, step: int = 0) -> None:
        super().__init__()
        self.epochs, self.steps, self.epoch, self.step = epochs, steps, epoch, step
        self._skipped = step  # of the first epoch; Keras counts from 0 again

    @property
    def done(self) -> int:
        """The number of finished steps of the training."""
        return self.epoch * (self.steps or 0) + self.step

    @property
    def progress(self) -> float:
        """The finished share of the training."""
        return (self.epoch + self.step / (self.steps or 1)) / self.epochs

    @property
    def middle(self) -> float:
        """The share of the training at the middle of the present step. A warm-up from 0 would waste the first step."""
        return self.progress + 0.5 / ((self.steps or 1) * self.epochs)

    def go_to(self, epoch: int, step: int) -> None:
        """Set the numbers of finished epochs and steps."""
        self.epoch, self.step, self._skipped = epoch, step, step

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Note the number of steps, if Keras knows it."""
        if self.steps is None:
            self.steps = self.params.get("steps")

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Note the step that begins."""
        self.step = self._skipped + batch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Note the step that has ended."""
        self.step = self._skipped + batch + 1

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Begin the next epoch."""
        if self.steps is None or self.step >= self.steps:  # else it ended early
            self.go_to(epoch + 1, 0)
