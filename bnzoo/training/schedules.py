"""Schedules: the learning rate in the course of a training, as a share of its highest value."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import keras

from bnzoo.errors import choice, number
from bnzoo.training.position import Position

HALF_COSINE, WARMUP_COSINE, CONSTANT = "half_cosine", "warmup_cosine", "constant"
# the share of a training in which the learning rate rises
_WARM_UP = 0.05


@dataclass(frozen=True)
class Schedule:
    """A schedule.

    Attributes:
        name: String.
        decay: Function of the progress after the warm-up, from 0 to below 1, that returns the share of the highest
            learning rate.
        warmup: Float, the share of the training in which the learning rate rises linearly from 0; `None` if the
            schedule cannot have one.
        each_step: Boolean, whether the learning rate changes with each step, or with each epoch.
    """

    name: str
    decay: Callable[[float], float]
    warmup: float | None = None
    each_step: bool = True

    def factor(self, progress: float) -> float:
        """Return the share of the highest learning rate at a progress of the training, from 0 to below 1."""
        warmup = self.warmup or 0.0
        if progress < warmup:
            return progress / warmup
        return self.decay((progress - warmup) / (1 - warmup))

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


def linear(progress: float) -> float:
    """Return the factor of a line to 0 (Bergsma et al. 2025, arXiv:2502.15938)."""
    return 1 - progress


def constant(progress: float) -> float:
    """Return 1."""
    return 1.0


SCHEDULES = {
    schedule.name: schedule
    for schedule in (
        Schedule(HALF_COSINE, half_cosine, each_step=False),
        Schedule(WARMUP_COSINE, half_cosine, _WARM_UP),
        Schedule("linear", linear, _WARM_UP),
        Schedule(CONSTANT, constant, 0.0),
    )
}


def schedule_named(name: str, warmup: float | None = None) -> Schedule:
    """Return the schedule with a name.

    Args:
        name: String.
        warmup: Float, the share of the training in which the learning rate rises, by default that of the schedule.

    Raises:
        ValueError: If the name is unknown, or the warm-up is out of range, or the schedule has none.
    """
    schedule = SCHEDULES[choice("schedule", name, SCHEDULES)]
    if warmup is None:
        return schedule
    number("warmup", warmup, at_least=0, below=1)
    if schedule.warmup is None:
        with_warmup = ", ".join(each.name for each in SCHEDULES.values() if each.warmup is not None)
        raise ValueError(
            f"`warmup` needs a schedule with a warm-up: {with_warmup}. Received: warmup={warmup!r}, schedule={name!r}"
        )
    return replace(schedule, warmup=warmup)


def or_usual(name: str | None, warmup: float | None, schedule_free: bool, usual: str) -> tuple[str, float | None]:
    """Return the name and the warm-up of a schedule, by default the usual ones of the optimizer.

    Args:
        name: String, or `None` for the usual schedule.
        warmup: Float, or `None` for the usual warm-up.
        schedule_free: Boolean, whether the optimizer is schedule-free: its usual schedule is constant after a warm-up.
        usual: String, the usual schedule of the other optimizers.
    """
    if name is not None:
        return name, warmup
    if schedule_free:
        return CONSTANT, _WARM_UP if warmup is None else warmup
    return usual, warmup
