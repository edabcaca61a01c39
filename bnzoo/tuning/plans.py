"""Plans: the order in which a study tries configurations, a grid or the proposals of an Optuna sampler."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import keras_tuner
import numpy as np
import optuna
from keras_tuner.engine import hyperparameters as kt
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bnzoo.errors import choice
from bnzoo.tuning.hyperparameters import points, suggest
from bnzoo.tuning.shared import create_quietly

# without a grid: Optuna's own grid sampler runs points twice if there are two workers
SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, constant_liar=True),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
}
GRID, LOCAL, LAW = "grid", "local", "law"
# those that try points of a grid, and those of them that end by themselves
OF_A_GRID, ENDING = (GRID, LOCAL, LAW), (GRID, LAW)
SAMPLER_NAMES = (*OF_A_GRID, *SAMPLERS)
# the space counts as exhausted after this many proposals that are known already, as in Keras Tuner
COLLISIONS = 20
# the trials of each worker before a new architecture is compiled
TRIALS_OF_AN_ARCHITECTURE = 4
# a hyperparameter with more values is not tried with each of them first
CATEGORIES = 12
# the points of a range from which a sampler starts, from the middle outwards
MIDDLE = 7


class Plan(ABC):
    """The configurations of a study, in order.

    Attributes:
        size: The number of configurations, or `None` if it is unlimited.
    """

    size: int | None = None

    def rank(self, position: int) -> int:
        """Return the place of a configuration in the order in which waiting ones are run."""
        return position

    @abstractmethod
    def configuration(self, position: int, history: Sequence[FrozenTrial]) -> FrozenTrial | None:
        """Return a configuration as a waiting trial, or `None` if there are no more.

        Args:
            position: Integer, the index of the configuration.
            history: A trial for each configuration before this one, in their order, with the mean of its seeds.
        """


class GridPlan(Plan):
    """Every combination of the values of the hyperparameters. The last hyperparameter varies fastest.

    The points are run in another order than that of their indices: one architecture after the other, those first that
    together have every value of every hyperparameter; in each of them the values in the middle first. This is also the
    order of the points of one entry of `start`.

    Args:
        hyperparameters: `keras_tuner.HyperParameters`. A Float without a step has ten values, as in Keras Tuner.
        start: Sequence of dicts. The points with all values of the first one come first, then those of the second one.
        cheap: As in `SampledPlan`. If it is empty, the points are run in the order of their indices.

    Attributes:
        points: List of dicts, by index.
        parameters: List of dicts, the points without fixed values, as in a trial.
    """

    def __init__(
        self,
        hyperparameters: keras_tuner.HyperParameters,
        start: Sequence[dict[str, Any]] = (),
        cheap: Set[str] = frozenset(),
    ) -> None:
        self._space = hyperparameters.space
        every = list(points(hyperparameters.space, {}))
        self.points: list[dict[str, Any]] = []
        self._ranks: list[int] = []
        for wanted in (*start, {}):
            group = [point for point in every if wanted.items() <= point.items() and point not in self.points]
            self._ranks += [len(self.points) + rank for rank in _ranks(self._space, group, cheap)]
            self.points += group
        self.size = len(self.points)
        searched = [hp.name for hp in self._space if not isinstance(hp, kt.Fixed)]
        self.parameters = [{name: point[name] for name in searched if name in point} for point in self.points]

    def rank(self, position: int) -> int:
        """Return the place of a point in the order in which waiting ones are run."""
        return self._ranks[position]

    def configuration(self, position: int, history: Sequence[FrozenTrial]) -> FrozenTrial | None:
        """Return the point at this position. The history does not matter."""
        if position >= len(self.points):
            return None
        point = self.parameters[position]
        distributions: dict[str, BaseDistribution] = {
            hp.name: CategoricalDistribution(list(hp.values)) for hp in self._space if hp.name in point
        }
        return _waiting(point, distributions)


class SampledPlan(Plan):
    """The proposals of a sampler, which sees all configurations before.

    Each proposal is made by a new sampler, seeded by the seed and the position. It depends on the history alone: a
    study that was stopped and continues gets the proposals of an uninterrupted study.

    Compiling a new architecture often costs a worker more than training a trial. So some trials of each new
    architecture are made before the next one is proposed. Architectures that have been tried are proposed freely.

    Args:
        hyperparameters: `keras_tuner.HyperParameters`.
        sampler: One of `SAMPLERS`, or an `optuna.samplers.BaseSampler`.
        seed: Integer.
        direction: `optuna.study.StudyDirection`.
        start: Sequence of dicts, the first configurations. Missing values are sampled.
        cheap: Set of strings, the hyperparameters that do not change the architecture. If it is empty, architectures
            are not considered.
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

    def configuration(self, position: int, history: Sequence[FrozenTrial]) -> FrozenTrial | None:
        """Return the proposal for this position, or `None` if no new one comes in twenty attempts."""
        tried = [trial.params for trial in history]
        seen = [architecture(trial.params, self._cheap) for trial in history]
        for attempt in range(COLLISIONS):
            fixed = self._start[position] if position < len(self._start) else self._untried(tried)
            proposed = self._propose(position, attempt, history, fixed)
            new = architecture(proposed.params, self._cheap) not in seen
            # in half of the attempts only: all trials of the newest architecture may have been tried
            if self._cheap and new and not fixed and attempt < COLLISIONS // 2 and _has_too_few_trials(history, seen):
                proposed = self._propose(position, attempt, history, dict(seen[_first_of_newest(seen)]))
            if proposed.params not in tried:
                return proposed
        return None

    def _untried(self, tried: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return a value of each categorical hyperparameter that has untried ones, with rates near the middle.

        It returns nothing if every value was tried, or if architectures are not considered.
        """
        fixed: dict[str, Any] = {}
        for hp in self._space if self._cheap else ():
            if isinstance(hp, kt.Choice) and hp.name not in self._cheap and len(hp.values) <= CATEGORIES:
                known = {values.get(hp.name) for values in tried}
                fixed.update((hp.name, value) for value in [v for v in hp.values if v not in known][:1])
        if not fixed:
            return {}
        place = middle_first(MIDDLE)[len(tried) % MIDDLE] / (MIDDLE - 1)
        for hp in self._space:
            if hp.name in self._cheap and isinstance(hp, kt.Float) and hp.sampling == "log":
                fixed[hp.name] = float(f"{hp.min_value * (hp.max_value / hp.min_value) ** place:.4g}")
        return fixed

    def _propose(
        self, position: int, attempt: int, history: Sequence[FrozenTrial], fixed: dict[str, Any]
    ) -> FrozenTrial:
        """Return a proposal that has the fixed values."""
        sampler = self._sampler
        if isinstance(sampler, str):
            seed = np.random.SeedSequence([self._seed, position, attempt]).generate_state(1)[0]
            sampler = SAMPLERS[sampler](int(seed))
        with create_quietly():
            study = optuna.create_study(sampler=sampler, direction=self._direction)
        study.add_trials(history)
        if fixed:
            study.enqueue_trial(fixed)
        proposed = study.ask()
        suggest(proposed, self._space)
        return _waiting(proposed.params, proposed.distributions)


def architecture(values: Mapping[str, Any], cheap: Set[str]) -> frozenset[tuple[str, Any]]:
    """Return the part of a trial's values that decides the compiled model: all but the cheap ones."""
    return frozenset((name, value) for name, value in values.items() if name not in cheap)


def middle_first(count: int) -> list[int]:
    """Return the numbers below a count, those in the middle first.

    Examples:
    >>> middle_first(5)
    [2, 3, 1, 4, 0]
    """
    middle = (count - 1) / 2
    return sorted(range(count), key=lambda number: (abs(number - middle), -number if count % 2 else number))


def searched_values(space: Sequence[kt.HyperParameter]) -> dict[str, list[Any]]:
    """Return the values of each hyperparameter that is searched, those of a range in rising order."""
    searched = [hp for hp in space if not isinstance(hp, kt.Fixed)]
    return {hp.name: sorted(hp.values) if isinstance(hp, kt.Float | kt.Int) else list(hp.values) for hp in searched}


def starting_points(
    start: Sequence[Mapping[str, Any]],
    points: Sequence[dict[str, Any]],
    values: Mapping[str, list[Any]],
    cheap: Set[str],
) -> list[dict[str, Any]]:
    """Return one point of a grid for each entry of `start`: missing cheap values are in the middle, others the first.

    Args:
        start: Sequence of dicts.
        points: List of dicts, the points of the grid.
        values: Dict of lists, the `searched_values`.
        cheap: As in `SampledPlan`.
    """
    places = _from_the_middle(values, cheap)

    def place(point: Mapping[str, Any]) -> tuple[int, ...]:
        return tuple(places[name][point[name]] for name in places if name in point)

    matching = ([point for point in points if each.items() <= point.items()] for each in start)
    return [min(each, key=place) for each in matching if each]


def _from_the_middle(values: Mapping[str, list[Any]], cheap: Set[str]) -> dict[str, dict[Any, int]]:
    """Return the place of each value of the cheap hyperparameters, those in the middle first."""
    return {
        name: {entries[i]: place for place, i in enumerate(middle_first(len(entries)))}
        for name, entries in values.items()
        if name in cheap
    }


def _ranks(space: Sequence[kt.HyperParameter], points: Sequence[Mapping[str, Any]], cheap: Set[str]) -> Sequence[int]:
    """Return the place of each point of a grid in the order in which they are run: as listed if none is cheap."""
    if not cheap:
        return range(len(points))
    values = searched_values(space)
    order = _from_the_middle(values, cheap)
    others = {name: entries for name, entries in values.items() if name not in cheap}
    most = max(map(len, others.values()), default=0)
    covering = [
        architecture({name: entries[i % len(entries)] for name, entries in others.items()}, cheap) for i in range(most)
    ]
    seen: dict[frozenset, int] = {key: number for number, key in enumerate(dict.fromkeys(covering))}

    def place(number: int) -> tuple[int, ...]:
        point = points[number]
        key = architecture({name: point[name] for name in values if name in point}, cheap)
        return (seen.setdefault(key, len(seen)), *(order[name][point[name]] for name in order if name in point))

    places = [place(number) for number in range(len(points))]
    by_place = sorted(range(len(points)), key=lambda number: (places[number], number))
    ranks = [0] * len(points)
    for rank, number in enumerate(by_place):
        ranks[number] = rank
    return ranks


def _first_of_newest(seen: Sequence[frozenset]) -> int:
    """Return the index of the first trial of the newest architecture."""
    return max(number for number, each in enumerate(seen) if each not in seen[:number])


def _has_too_few_trials(history: Sequence[FrozenTrial], seen: Sequence[frozenset]) -> bool:
    """Return whether the newest architecture has too few trials yet for the number of workers."""
    if not history:
        return False
    workers = 1 + sum(trial.state == TrialState.RUNNING for trial in history)
    return len(history) - _first_of_newest(seen) < TRIALS_OF_AN_ARCHITECTURE * workers


def make_plan(
    sampler: str | optuna.samplers.BaseSampler | Plan,
    hyperparameters: keras_tuner.HyperParameters,
    seed: int,
    direction: StudyDirection,
    start: Sequence[dict[str, Any]],
    cheap: Set[str],
) -> Plan:
    """Return the plan for a sampler: one of `SAMPLER_NAMES`, an `optuna.samplers.BaseSampler`, or the `Plan` itself."""
    check_start(start, hyperparameters)
    if isinstance(sampler, Plan):
        return sampler
    if sampler == GRID:
        return GridPlan(hyperparameters, start, cheap)
    if sampler == LOCAL:
        from bnzoo.tuning.local_search import LocalPlan

        return LocalPlan(hyperparameters, direction, start, cheap)
    if sampler == LAW:
        from bnzoo.tuning.law import LawPlan

        return LawPlan(hyperparameters, direction, start)
    return SampledPlan(hyperparameters, sampler, seed, direction, start, cheap)


def check_start(start: Sequence[dict[str, Any]], hyperparameters: keras_tuner.HyperParameters) -> None:
    """Raise `ValueError` if a value in `enqueue` is outside the range of its hyperparameter."""
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
    """Return the sampler.

    Raises:
        ValueError: If it is not a known name.
        ImportError: If a package that it needs is not installed.
    """
    if isinstance(sampler, optuna.samplers.BaseSampler | Plan):
        return sampler
    choice("sampler", sampler, SAMPLER_NAMES)
    if sampler == "gp":
        try:
            import scipy  # noqa: F401
            import torch  # noqa: F401
        except ImportError as error:
            raise ImportError(f"sampler='gp' needs the extra `gp` ({error}): pip install 'bnzoo[gp]'") from error
    return sampler


def _waiting(params: dict[str, Any], distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    return optuna.create_trial(state=TrialState.WAITING, params=params, distributions=distributions)
