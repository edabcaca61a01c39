"""The axes of the training of a trial: optimizer and momentum, weight decay, schedule and warm-up."""

import math
from collections.abc import Sequence
from typing import Any

from bnzoo.errors import choice, number
from bnzoo.training.optimizers import DEFAULTS, WITH_MOMENTUM, Optimizer
from bnzoo.training.schedules import HALF_COSINE, SCHEDULES, schedule_named
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
    """Return the axes of schedules and warm-ups. A schedule is `None` if the usual ones of the optimizers differ.

    Raises:
        ValueError: If a value is unknown or out of range, or a warm-up does not fit a schedule.
    """
    usual = list(dict.fromkeys(usual_schedule(optimizer) for optimizer in several))
    named = Axis.of("schedule", values or usual, lambda name, value: choice(name, value, SCHEDULES))
    warm = Axis.of("warmup", warmups)
    for name in named.values:
        for warmup in warm.values:
            schedule_named(name, warmup)
    return (named if values or len(usual) == 1 else Axis.of("schedule", None)), warm


def usual_schedule(optimizer: Optimizer) -> str:
    """Return the schedule of the trials of an optimizer, if the space has no other one."""
    return optimizer.defaults.schedule or HALF_COSINE
