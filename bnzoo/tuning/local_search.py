"""Local search in a grid: each category once, then the neighbours of the best configurations."""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import keras_tuner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from bnzoo.tuning.plans import GridPlan, Plan, searched_values, starting_points


class LocalPlan(Plan):
    """The points of a grid, those first that are next to the best ones.

    The first points are those of `start`, one for each entry. The next ones have the middle of the range of learning
    rates, and together every value of every other hyperparameter. Then come the neighbours of the best point: those
    with the next learning rates first, whose architecture is compiled already, then those that differ in one other
    hyperparameter. If the best point has no untried neighbours, those of the second best follow, and so on.

    Each proposal depends on the results of the points before it alone, so that a study that was stopped continues in
    the same way.

    Args:
        hyperparameters: `keras_tuner.HyperParameters`.
        direction: `optuna.study.StudyDirection`.
        start: Sequence of dicts, the first points. A missing learning rate is that in the middle of the range, any
            other missing value the first one of its hyperparameter.
        cheap: As in `GridPlan`.
    """

    def __init__(
        self,
        hyperparameters: keras_tuner.HyperParameters,
        direction: StudyDirection,
        start: Sequence[dict[str, Any]] = (),
        cheap: Set[str] = frozenset(),
    ) -> None:
        self._grid = GridPlan(hyperparameters, cheap=cheap)
        self._sign = 1 if direction == StudyDirection.MINIMIZE else -1
        self._values = searched_values(hyperparameters.space)
        self._names = sorted(self._values, key=lambda name: name not in cheap)
        self._others = [name for name in self._names if name not in cheap]
        self._points = self._grid.parameters
        self._by_rank = [self._points[i] for i in sorted(range(len(self._points)), key=self._grid.rank)]
        self._first = starting_points(start, self._points, self._values, cheap)

    def configuration(self, position: int, history: Sequence[FrozenTrial]) -> FrozenTrial | None:
        """Return the next untried point, or `None` if all were tried."""
        tried = [trial.params for trial in history]
        scored = [(trial.value, trial.params) for trial in history if trial.value is not None]
        scored.sort(key=lambda pair: self._sign * pair[0])
        for point in self._candidates([params for _, params in scored]):
            if point not in tried and point in self._points:
                return self._grid.configuration(self._points.index(point), history)
        return None

    def _candidates(self, best_first: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        yield from self._first
        seen: dict[str, set[Any]] = {name: set() for name in self._values}
        for point in self._by_rank:
            # the first point of each architecture has the middle of the learning rates
            if any(point[name] not in seen[name] for name in self._others if name in point):
                yield point
                for name, value in point.items():
                    seen[name].add(value)
        for best in best_first:
            yield from self._neighbours(dict(best))
        yield from self._by_rank

    def _neighbours(self, point: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for name in (name for name in self._names if name in point):
            values = self._values[name]
            place = values.index(point[name])
            ordered = all(isinstance(value, int | float) for value in values)
            near = (place + 1, place - 1) if ordered else [i for i in range(len(values)) if i != place]
            yield from ({**point, name: values[i]} for i in near if 0 <= i < len(values))
