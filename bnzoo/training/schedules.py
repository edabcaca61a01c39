"""Schedules: the learning rate in the course of a training, as a share of its highest value."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras

from bnzoo.errors import choice
from bnzoo.training.position import Position

# the share of a training in which the learning rate rises
_WARM_UP = 0.05


@dataclass(frozen=True)
class Schedule:
    """A schedule.

    Attributes:
        name: String.
        factor: Function of the progress of the training, from 0 to below 1, that returns the factor of the highest
            learning rate.
        each_step: Boolean, whether the learning rate changes with each step, or with each epoch.
    """

    name: str
    factor: Callable[[float], float]
    each_step: bool = True

    def callback(self, learning_rate: float, epochs: int, position: Position) -> keras.callbacks.Callback:
        """Return a callback that sets the learning rate of the optimizer.

        Args:
            learning_rate: Float, the highest learning rate.
            epochs: Integer, the number of epochs of the training.
            position: The `Position` of the training.
        """
        if self.each_step:
            return _EachStep(lambda: learning_rate * self.factor(position.middle), position)
        return keras.callbacks.LearningRateScheduler(lambda epoch, _: learning_rate * self.factor(epoch / epochs))


class _EachStep(keras.callbacks.Callback):
    """A callback that sets the learning rate before each step."""

    def __init__(self, rate: Callable[[], float], position: Position) -> None:
        super().__init__()
        self._rate, self._position = rate, position

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.model.optimizer.learning_rate = self._rate()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))


def half_cosine(progress: float) -> float:
    """Return the factor of half a cosine (Loshchilov & Hutter 2017, eq. 5, without restarts)."""
    return (1 + math.cos(math.pi * progress)) / 2


def warmup_cosine(progress: float) -> float:
    """Return the factor of a linear rise over the first 5 % of the training, then of half a cosine."""
    if progress < _WARM_UP:
        return progress / _WARM_UP
    return half_cosine((progress - _WARM_UP) / (1 - _WARM_UP))


def constant(progress: float) -> float:
    """Return 1."""
    return 1.0


SCHEDULES = {
    schedule.name: schedule
    for schedule in (
        Schedule("half_cosine", half_cosine, each_step=False),
        Schedule("warmup_cosine", warmup_cosine),
        Schedule("constant", constant),
    )
}


def schedule_named(name: str) -> Schedule:
    """Return the schedule with a name.

    Raises:
        ValueError: If the name is unknown.
    """
    return SCHEDULES[choice("schedule", name, SCHEDULES)]
