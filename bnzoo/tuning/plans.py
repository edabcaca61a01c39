"""Which configuration comes next: the points of a grid in order, or what a sampler of Optuna makes of the past."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

import keras_tuner
import numpy as np
import optuna
from keras_tuner.engine import hyperparameters as kt
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bnzoo.errors import choice
from bnzoo.tuning.storage import create_quietly

# Optuna's own grid sampler runs points twice when it has two workers
SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, constant_liar=True),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
}
WORDS = ("grid", *SAMPLERS)
# how often a sampler may propose what has been proposed before the space counts as exhausted; Keras Tuner's figure
COLLISIONS = 20
# how many trials each worker makes before another architecture is compiled for the first time
TRIALS_OF_AN_ARCHITECTURE = 4


class Plan(ABC):
    """The configurations of a study, each with its place.

    Attributes:
        size: How many there are, or `None` if there is no end.
    """

    size: int | None = None

    @abstractmethod
    def configuration(self, place: int, past: Sequence[FrozenTrial]) -> FrozenTrial | None:
        """The configuration at a place, as a trial that waits, or `None` if there is none.

        Args:
            place: Integer.
            past: A trial for each configuration before this one, in their order, with the mean of its seeds.
        """


class Grid(Plan):
    """Every combination of the values that each hyperparameter can have; the last varies fastest.

    Args:
        hyperparameters: `keras_tuner.HyperParameters`. A Float without a step has ten values, as in Keras Tuner.
        start: Sequence of dicts: the points that have all values of one of them come first.

    Attributes:
        points: List of dicts, in order.
    """

    def __init__(self, hyperparameters: keras_tuner.HyperParameters, start: Sequence[dict[str, Any]] = ()) -> None:
        self._space = hyperparameters.space
        points = list(_points(hyperparameters.space, {}))
        first: list[dict[str, Any]] = []
        for wanted in start:
            first += [point for point in points if wanted.items() <= point.items() and point not in first]
        self.points = first + [point for point in points if point not in first]
        self.size = len(self.points)

    def configuration(self, place: int, past: Sequence[FrozenTrial]) -> FrozenTrial | None:
        """The point at this place; the past does not matter."""
        if place >= len(self.points):
            return None
        point = self.points[place]
        distributions: dict[str, BaseDistribution] = {
            hp.name: CategoricalDistribution(list(hp.values))
            for hp in self._space
            if hp.name in point and not isinstance(hp, kt.Fixed)
        }
        return _waiting({name: point[name] for name in distributions}, distributions)


class Sampled(Plan):
    """What a sampler proposes, seeing all configurations before.

    The sampler is made anew for each proposal, from a seed and the place: what it proposes depends on the past alone,
    so that a study that was stopped and goes on proposes what it would have proposed.

    A new architecture costs a worker more to compile than most trials cost to train: before the next one is proposed,
    some trials are made of it. Architectures that have been tried are proposed freely.

    Args:
        hyperparameters: `keras_tuner.HyperParameters`.
        sampler: One of `SAMPLERS`, or an `optuna.samplers.BaseSampler`.
        seed: Integer.
        direction: `optuna.study.StudyDirection`.
        start: Sequence of dicts, the first configurations; values that one leaves out are sampled.
        cheap: Set of strings, hyperparameters that need no other architecture. If there are none, nothing is known of
            architectures.
    """

    def __init__(
        self,
        hyperparameters: keras_tuner.HyperParameters,
        sampler: str | optuna.samplers.BaseSampler,
        seed: int,
        direction: StudyDirection,
        start: Sequence[dict[str, Any]] = (),
        cheap: Set[str] = frozenset(),
    ) -> None:
        self._space, self._sampler, self._seed = hyperparameters.space, sampler, seed
        self._direction, self._start, self._cheap = direction, start, cheap

    def configuration(self, place: int, past: Sequence[FrozenTrial]) -> FrozenTrial | None:
        """The proposal for this place, or `None` if nothing new is found in twenty attempts."""
        tried = [trial.params for trial in past]
        seen = [architecture(trial.params, self._cheap) for trial in past]
        for attempt in range(COLLISIONS):
            given = self._start[place] if place < len(self._start) else {}
            proposed = self._propose(place, attempt, past, given)
            new = architecture(proposed.params, self._cheap) not in seen
            # for half of the attempts: of some architectures everything has been tried
            if self._cheap and new and not given and attempt < COLLISIONS // 2 and _short(past, seen):
                proposed = self._propose(place, attempt, past, dict(seen[_newest(seen)]))
            if proposed.params not in tried:
                return proposed
        return None

    def _propose(self, place: int, attempt: int, past: Sequence[FrozenTrial], given: dict[str, Any]) -> FrozenTrial:
        """A proposal that has the given values."""
        sampler = self._sampler
        if isinstance(sampler, str):
            seed = np.random.SeedSequence([self._seed, place, attempt]).generate_state(1)[0]
            sampler = SAMPLERS[sampler](int(seed))
        with create_quietly():
            study = optuna.create_study(sampler=sampler, direction=self._direction)
        study.add_trials(past)
        if given:
            study.enqueue_trial(given)
        proposed = study.ask()
        _suggest(proposed, self._space)
        return _waiting(proposed.params, proposed.distributions)


def architecture(values: Mapping[str, Any], cheap: Set[str]) -> frozenset[tuple[str, Any]]:
    """What a worker compiles for a trial with these values: all of them but the cheap ones."""
    return frozenset((name, value) for name, value in values.items() if name not in cheap)


def _newest(seen: Sequence[frozenset]) -> int:
    """Where the architecture that came last came first."""
    return max(place for place, each in enumerate(seen) if each not in seen[:place])


def _short(past: Sequence[FrozenTrial], seen: Sequence[frozenset]) -> bool:
    """Whether too few trials were made since there was a new architecture, for the workers that there are."""
    if not past:
        return False
    workers = 1 + sum(trial.state == TrialState.RUNNING for trial in past)
    return len(past) - _newest(seen) < TRIALS_OF_AN_ARCHITECTURE * workers


def make_plan(
    sampler: str | optuna.samplers.BaseSampler,
    hyperparameters: keras_tuner.HyperParameters,
    seed: int,
    direction: StudyDirection,
    start: Sequence[dict[str, Any]],
    cheap: Set[str],
) -> Plan:
    """The plan for the name of a sampler, `"grid"` or one of `SAMPLERS`, or for a sampler of Optuna."""
    check_start(start, hyperparameters)
    if sampler == "grid":
        return Grid(hyperparameters, start)
    return Sampled(hyperparameters, sampler, seed, direction, start, cheap)


def check_start(start: Sequence[dict[str, Any]], hyperparameters: keras_tuner.HyperParameters) -> None:
    """Refuses values to start with that their hyperparameter cannot have."""
    ranges = {hp.name: hp for hp in hyperparameters.space if not isinstance(hp, kt.Fixed)}
    for values in start:
        for name, value in values.items():
            hp = ranges[choice("enqueue", name, ranges)]
            if isinstance(hp, kt.Choice | kt.Boolean):
                possible, known = value in hp.values, f"one of {', '.join(map(str, hp.values))}"
            else:
                number = isinstance(value, int | float) and hp.min_value <= value <= hp.max_value
                possible, known = number, f"between {hp.min_value:g} and {hp.max_value:g}"
            if not possible:
                raise ValueError(f"`enqueue`: {name} must be {known}. Received: {name}={value!r}")


def check_sampler(sampler: Any) -> Any:
    """The sampler, if there is one of this name and it can be used here."""
    if isinstance(sampler, optuna.samplers.BaseSampler):
        return sampler
    choice("sampler", sampler, WORDS)
    if sampler == "gp":
        try:
            import scipy  # noqa: F401
            import torch  # noqa: F401
        except ImportError as error:
            raise ImportError(f"sampler='gp' needs the extra `gp` ({error}): pip install 'bnzoo[gp]'") from error
    return sampler


def _waiting(params: dict[str, Any], distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    return optuna.create_trial(state=TrialState.WAITING, params=params, distributions=distributions)


def _points(space: Sequence[kt.HyperParameter], values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every combination, conditional hyperparameters where their condition holds."""
    if not space:
        yield values
        return
    hp, rest = space[0], space[1:]
    if not _active(hp, values):
        yield from _points(rest, values)
    elif isinstance(hp, kt.Fixed):
        yield from _points(rest, {**values, hp.name: hp.value})
    else:
        for value in hp.values:
            yield from _points(rest, {**values, hp.name: value})


def _suggest(trial: optuna.Trial, space: Sequence[kt.HyperParameter]) -> None:
    values: dict[str, Any] = {}
    for hp in space:
        if not _active(hp, values):
            continue
        if isinstance(hp, kt.Fixed):
            values[hp.name] = hp.value
        else:
            values[hp.name] = _sample(trial, hp.name, distribution(hp))


def _sample(trial: optuna.Trial, name: str, asked: BaseDistribution) -> Any:
    if isinstance(asked, CategoricalDistribution):
        return trial.suggest_categorical(name, asked.choices)
    if isinstance(asked, IntDistribution):
        return trial.suggest_int(name, asked.low, asked.high, step=asked.step, log=asked.log)
    assert isinstance(asked, FloatDistribution)
    return trial.suggest_float(name, asked.low, asked.high, step=asked.step, log=asked.log)


def _active(hp: kt.HyperParameter, values: dict[str, Any]) -> bool:
    return all(condition.is_active(values) for condition in hp.conditions)


def distribution(hp: kt.HyperParameter) -> BaseDistribution:
    """What Optuna samples for a hyperparameter of Keras Tuner.

    Raises:
        ValueError: If Optuna has nothing of the kind.
    """
    if isinstance(hp, kt.Choice | kt.Boolean):
        return CategoricalDistribution(list(hp.values))
    if hp.sampling == "reverse_log":
        raise ValueError(
            f"Hyperparameter {hp.name!r}: sampling='reverse_log' is not known to Optuna; use linear or log"
        )
    log = hp.sampling == "log"
    if log and (hp.step is not None and not (isinstance(hp, kt.Int) and hp.step == 1)):
        return CategoricalDistribution(list(hp.values))  # steps are factors in Keras Tuner, and unknown to Optuna
    if isinstance(hp, kt.Int):
        return IntDistribution(hp.min_value, hp.max_value, log=log, step=1 if log else hp.step or 1)
    return FloatDistribution(hp.min_value, hp.max_value, log=log, step=None if log else hp.step)
