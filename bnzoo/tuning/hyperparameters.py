"""The hyperparameters of Keras Tuner for Optuna: their combinations, and their values from a sampler."""

from collections.abc import Iterator, Sequence
from typing import Any

import optuna
from keras_tuner.engine import hyperparameters as kt
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution


def points(space: Sequence[kt.HyperParameter], values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every combination. A conditional hyperparameter is left out if its condition is false."""
    if not space:
        yield values
        return
    hp, rest = space[0], space[1:]
    if not _active(hp, values):
        yield from points(rest, values)
    elif isinstance(hp, kt.Fixed):
        yield from points(rest, {**values, hp.name: hp.value})
    else:
        for value in hp.values:
            yield from points(rest, {**values, hp.name: value})


def suggest(trial: optuna.Trial, space: Sequence[kt.HyperParameter]) -> None:
    """Let an Optuna trial choose a value for each active hyperparameter."""
    values: dict[str, Any] = {}
    for hp in space:
        if not _active(hp, values):
            continue
        if isinstance(hp, kt.Fixed):
            values[hp.name] = hp.value
        else:
            values[hp.name] = _sample(trial, hp.name, _distribution(hp))


def _sample(trial: optuna.Trial, name: str, among: BaseDistribution) -> Any:
    if isinstance(among, CategoricalDistribution):
        return trial.suggest_categorical(name, among.choices)
    if isinstance(among, IntDistribution):
        return trial.suggest_int(name, among.low, among.high, step=among.step, log=among.log)
    assert isinstance(among, FloatDistribution)
    return trial.suggest_float(name, among.low, among.high, step=among.step, log=among.log)


def _active(hp: kt.HyperParameter, values: dict[str, Any]) -> bool:
    return all(condition.is_active(values) for condition in hp.conditions)


def _distribution(hp: kt.HyperParameter) -> BaseDistribution:
    """Return the Optuna distribution of a Keras Tuner hyperparameter.

    Raises:
        ValueError: If Optuna has no such distribution.
    """
    if isinstance(hp, kt.Choice | kt.Boolean):
        return CategoricalDistribution(list(hp.values))
    if hp.sampling == "reverse_log":
        raise ValueError(
            f"Hyperparameter {hp.name!r}: Optuna does not support sampling='reverse_log'. Use 'linear' or 'log'."
        )
    log = hp.sampling == "log"
    if log and (hp.step is not None and not (isinstance(hp, kt.Int) and hp.step == 1)):
        # the step is a factor in Keras Tuner, which Optuna does not support
        return CategoricalDistribution(list(hp.values))
    if isinstance(hp, kt.Int):
        return IntDistribution(hp.min_value, hp.max_value, log=log, step=1 if log else hp.step or 1)
    return FloatDistribution(hp.min_value, hp.max_value, log=log, step=None if log else hp.step)
