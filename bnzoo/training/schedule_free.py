"""The average at which a model with a schedule-free optimizer is evaluated."""

from typing import Any

import keras

from bnzoo.keras_internals import schedule_free_points
from bnzoo.training.precision import unscaled
from bnzoo.training.variables import assign, values_of


def is_schedule_free(optimizer: Any) -> bool:
    """Return whether an optimizer, which may scale the loss, is schedule-free."""
    return isinstance(unscaled(optimizer), keras.optimizers.ScheduleFreeAdamW)


def evaluation_weights(model: keras.Model) -> list[Any]:
    """Return the values of the trainable weights at which a model in training is evaluated.

    They are the average x of a schedule-free optimizer, with any other optimizer the weights themselves.
    """
    weights = model.trainable_variables
    optimizer = unscaled(model.optimizer)
    if not is_schedule_free(optimizer) or not values_of([optimizer.iterations])[0]:
        return values_of(weights)
    beta, points = optimizer.beta_1, values_of(schedule_free_points(optimizer))
    return [(y - (1 - beta) * z) / beta for y, z in zip(values_of(weights), points, strict=True)]


def end_at_the_average(model: keras.Model) -> None:
    """Give a trained model its `evaluation_weights`. A schedule-free optimizer would go on from there."""
    if is_schedule_free(model.optimizer):
        assign(model.trainable_variables, evaluation_weights(model))
        assign(schedule_free_points(unscaled(model.optimizer)), model.trainable_variables)


class AtTheAverage(keras.callbacks.Callback):
    """A callback that gives a model its `evaluation_weights` from each validation to the end of the epoch.

    The callbacks before it in the list see these weights in `on_epoch_end`, those after it the weights of the training.
    """

    def __init__(self) -> None:
        super().__init__()
        self._weights: list[Any] = []

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Take the average."""
        if not self._weights and is_schedule_free(self.model.optimizer):
            average, self._weights = evaluation_weights(self.model), values_of(self.model.trainable_variables)
            assign(self.model.trainable_variables, average)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Take the weights of the training again."""
        if self._weights:
            assign(self.model.trainable_variables, self._weights)
            self._weights = []
