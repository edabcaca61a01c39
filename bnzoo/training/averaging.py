"""The average of the weights over the last part of a training."""

from typing import Any

import keras

from bnzoo.training.position import Position

# the share of the training after which the average begins, and the share over which it extends
_BEGIN, _EXTENT = 0.75, 0.05


class Averaging(keras.callbacks.Callback):
    """A callback that keeps an exponential moving average of the trainable weights (Polyak & Juditsky 1992).

    Args:
        position: The `Position` of the training.

    Attributes:
        averages: List of `keras.Variable`, one for each trainable weight; empty before the average begins.
    """

    def __init__(self, position: Position) -> None:
        super().__init__()
        self._position = position
        self.averages: list[keras.Variable] = []
        self._update: Any = None

    def begin(self) -> None:
        """Begin with the present weights."""
        self.averages = [
            keras.Variable(weight, trainable=False, dtype=weight.dtype, name="average")
            for weight in self.model.trainable_variables
        ]

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Add the weights to the average."""
        if self._position.progress < _BEGIN:
            return
        if not self.averages:
            self.begin()
            return
        if self._update is None:
            self._update = self._compiled()
        self._update()

    def _compiled(self) -> Any:
        steps = self._position.epochs * (self._position.steps or 1)
        share = 1 / max(1.0, _EXTENT * steps)
        pairs = list(zip(self.averages, self.model.trainable_variables, strict=True))

        def update() -> None:
            for average, weight in pairs:
                average.assign_add(share * (keras.ops.convert_to_tensor(weight) - average))

        if keras.backend.backend() != "tensorflow":
            return update
        import tensorflow as tf

        return tf.function(update)
