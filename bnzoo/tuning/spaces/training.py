"""The axes of the training of a trial: optimizer and momentum, weight decay, schedule and warm-up."""

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from bnzoo.errors import choice, number
from bnzoo.training.optimizers import DEFAULTS, WITH_MOMENTUM, Optimizer
from bnzoo.training.schedules import HALF_COSINE, SCHEDULES, Schedule, or_usual, schedule_named
from bnzoo.tuning.spaces.axes import POINTS, Axis


def optimizers(names: Any, momentum: Any) -> tuple[Axis, dict[str, Any]]:
    """Return the axis of optimizers with their momentum, and their arguments as JSON.

    Several momenta of one optimizer are the axis `momentum`. Several optimizers are the axis `optimizer`, in which each
    momentum of an optimizer is a value of its own, such as `sgd(momentum=0.9)`: some optimizers have none.

    Args:
        names: String or sequence of strings.
        momentum: Float, sequence of floats, or `None`.

    Raises:
        ValueError: If a value is unknown or out of range, or no optimizer has a momentum.
    """
    words = Axis.of("optimizer", names, lambda name, value: choice(name, value, DEFAULTS))
    momenta = Axis.of("momentum", momentum)
    config = {"optimizer": words.plain(), **({} if momentum is None else {"momentum": momenta.plain()})}
    if not words.searched:
        several = tuple(Optimizer(words.values[0], value) for value in momenta.values)
        if not momenta.searched:
            return Axis("optimizer", several, words.labels), several[0].get_config()
        return Axis("momentum", several, tuple(float(value) for value in momenta.values)), config
    if momentum is not None and not set(words.values) & set(WITH_MOMENTUM):
        Optimizer(words.values[0], momenta.values[0])  # raises the error
    made: dict[str, Optimizer] = {}
    for name in words.values:
        for value in momenta.values if name in WITH_MOMENTUM else (None,):
            label = f"{name}(momentum={value:g})" if momenta.searched and value is not None else name
            made[label] = Optimizer(name, value)
    return Axis("optimizer", tuple(made.values()), tuple(made)), config


def learning_rates(several: Sequence[Optimizer]) -> tuple[float, float, int]:
    """Return the default grid of the learning rates of some optimizers, from the lowest to the highest of their ranges.

    Its spacing is at most that of the grid of each optimizer.
    """
    ranges = [optimizer.defaults.learning_rates for optimizer in several]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    spacing = min(math.log(high / low) for low, high in ranges) / (POINTS - 1)
    return low, high, 1 + math.ceil(math.log(high / low) / spacing - 1e-9)


def weight_decays(values: Any, several: Sequence[Optimizer]) -> Axis:
    """Return the axis of weight decays. Its value is `None` if the defaults of the optimizers differ."""
    if values is None:
        usual = {optimizer.defaults.weight_decay for optimizer in several}
        return Axis.of("weight_decay", usual.pop() if len(usual) == 1 else None)
    return Axis.of("weight_decay", values, lambda name, value: number(name, value, at_least=0, below=1))


def schedules(values: Any, warmups: Any, several: Sequence[Optimizer]) -> tuple[Axis, Axis]:
    """Return the axes of schedules and warm-ups. A missing one is `None` if the optimizers have different defaults.

    Raises:
        ValueError: If a value is unknown or out of range, or a warm-up does not fit a schedule.
    """
    usual = {_or_usual(optimizer, None, None) for optimizer in several}
    if values is None and len(usual) == 1:
        values, warmup = usual.pop()
        warmups = warmup if warmups is None else warmups
    named = Axis.of("schedule", values, None if values is None else partial(choice, known=SCHEDULES))
    warm = Axis.of("warmup", warmups)
    for each in itertools.product(several, named.values, warm.values):
        schedule_of(*each)
    return named, warm


def schedule_of(optimizer: Optimizer, name: str | None, warmup: float | None) -> Schedule:
    """Return the schedule of a trial, by default the usual one of its optimizer."""
    return schedule_named(*_or_usual(optimizer, name, warmup))


def _or_usual(optimizer: Optimizer, name: str | None, warmup: float | None) -> tuple[str, float | None]:
    return or_usual(name, warmup, optimizer.defaults.schedule_free, HALF_COSINE)
