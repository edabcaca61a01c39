"""The search along the law over depth: the best learning rate over depth is a line on log scales."""

import math
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bnzoo.tuning.plans import GridPlan, Plan, middle_first, searched_values, starting_points

DEPTH, RATE, NORM = "depth", "learning_rate", "norm"
# Without a norm the best rate of SGD falls as depth^-3/2 (arXiv 2510.04327, 2602.07494). With a norm no slope is
# published: the search starts from the same rate at each depth, and the results decide.
SLOPES = {"none": -1.5}
# the standard deviation of a slope that is not measured yet, and of a best rate in steps of the grid
SLOPE_ERROR, RATE_ERROR = 1.0, 0.5
# the rates that are tried on each side of the best: those of the grid divided by this number, at least one
RATES = 8
# As shares of the range of all scores. A depth has not learned if its best score is behind that of the study by more
# than the first, and its two best scores differ by less than the second: guessing scores alike at every rate.
LEARNED, EQUAL = 0.4, 0.02
# a depth is left if its scores, as they improve now, do not reach the best one of the study in so many steps
AHEAD = 2

Network = tuple[tuple[str, Any], ...]  # the other hyperparameters
Scores = dict[int, float | None]  # by the number of a rate; lower is better, `None` while a trial is running


class LawPlan(Plan):
    """The points of a grid near a line: the best learning rate over depth on log scales.

    The smallest depth is searched widely: every second rate, from the middle outwards, then those beside the best. Each
    next depth starts at the rate on the line through the best rates of the smaller depths. It goes on in the direction
    in which the scores improve until the rates on both sides of the best are worse, so that a depth takes three trials
    if the line is right. A depth is left earlier if the scores fall too slowly for it to have the best one of all.

    Each combination of the other hyperparameters has a line of its own. It starts at the best rate of the most similar
    combination with the same norm, and with the slope of all combinations with the same norm.

    The plan ends by itself. Each proposal depends on the results of the points before it alone, so that a study that
    was stopped continues in the same way.

    Args:
        hyperparameters: `keras_tuner.HyperParameters` with the names `depth` and `learning_rate`.
        direction: `optuna.study.StudyDirection`.
        start: As in `LocalPlan`.

    Raises:
        ValueError: If there are fewer than two depths or three learning rates, or one of them is not positive.
    """

    def __init__(
        self,
        hyperparameters: keras_tuner.HyperParameters,
        direction: StudyDirection,
        start: Sequence[dict[str, Any]] = (),
    ) -> None:
        check_law(hyperparameters)
        self._grid = GridPlan(hyperparameters)
        self._points = self._grid.parameters
        self._sign = 1 if direction == StudyDirection.MINIMIZE else -1
        self._depths, self._rates = _values(hyperparameters)
        self._first = starting_points(start, self._points, searched_values(hyperparameters.space), {RATE})
        self._networks = list(dict.fromkeys(map(_network, self._points)))
        self._width = max(1, len(self._rates) // RATES)

    def configuration(self, position: int, history: Sequence[FrozenTrial]) -> FrozenTrial | None:
        """Return the next point. It is `None` at the end, or if the next one depends on trials that are running."""
        tried = [trial.params for trial in history]
        point = next((point for point in self._first if point not in tried), None)
        if point is None:
            point = self._next(_Measured(history, self._rates, self._sign))
        return None if point is None else self._grid.configuration(self._points.index(point), history)

    def _next(self, measured: "_Measured") -> dict[str, Any] | None:
        waiting = set()  # the deeper networks of a combination wait for the results of the others
        for depth in self._depths:
            for network in self._networks:
                if network in waiting:
                    continue
                scores = measured.scores(network, depth)
                rate = self._rate(network, depth, scores, measured)
                point = None if rate is None else {**dict(network), DEPTH: depth, RATE: self._rates[rate]}
                if point in self._points:
                    return point
                if None in scores.values():
                    waiting.add(network)
        return None

    def _rate(self, network: Network, depth: int, scores: Scores, measured: "_Measured") -> int | None:
        """Return the number of the next rate for a depth, or `None` if there is none now."""
        count, smallest = len(self._rates), depth == self._depths[0]
        expected = self._expected(network, depth, measured)
        wide = expected is None
        centre = (count - 1) / 2 if expected is None else expected
        first = self._every_second() if wide else self._pair(centre)
        if any(rate not in scores for rate in first):
            return next(rate for rate in first if rate not in scores)
        if None in scores.values():
            return None
        lost = not measured.learned(network, depth)
        if not smallest and lost and not all(measured.learned(network, d) for d in self._depths if d < depth):
            return None  # a smaller network has not learned with any rate either
        best_of_all = math.inf if smallest else measured.best_of_all
        rate = _beside_the_best(scores, count, self._width, centre, best_of_all)
        if rate is None and lost:
            others = [rate for rate in middle_first(count) if rate not in scores]
            lower = [rate for rate in others if rate < min(scores)]
            rate = next(iter(others), None) if smallest else max(lower, default=None)
        return rate

    def _every_second(self) -> list[int]:
        """Return every second rate, from the middle outwards."""
        middle, *others = middle_first(len(self._rates))
        return [middle, *(rate for rate in others if (rate - middle) % (2 * self._width) == 0)]

    def _pair(self, centre: float) -> list[int]:
        """Return the rate that is the nearest to a place, and the one on the other side of the place."""
        last = len(self._rates) - 1
        nearest = round(centre)
        side = self._width if centre > nearest else -self._width
        return [nearest, nearest + side if 0 <= nearest + side <= last else nearest - side]

    def _expected(self, network: Network, depth: int, measured: "_Measured") -> float | None:
        """Return the expected place of the best rate among the rates, or `None` if nothing is known of it."""
        logs = np.log(self._rates)
        norm = str(dict(network).get(NORM))
        alike = [other for other in self._networks if str(dict(other).get(NORM)) == norm]
        if depth == self._depths[0]:
            similar = sorted(alike[: alike.index(network)], key=lambda other: -len(set(other) & set(network)))
            known = (measured.best(other, depth) for other in similar if measured.learned(other, depth))
            return next(known, None)

        def bests(other: Network) -> list[tuple[float, float]]:
            known = [d for d in self._depths if d < depth and measured.learned(other, d)]
            return [(math.log(d), logs[measured.best(other, d)]) for d in known]

        own = bests(network)
        if not own:
            return None
        error = RATE_ERROR * (logs[-1] - logs[0]) / (len(logs) - 1)
        usual = _slope(map(bests, alike), SLOPES.get(norm, 0.0), error)
        slope = _slope([own], usual, error)
        x, y = np.mean(own, axis=0)
        return float(np.interp(y + slope * (math.log(depth) - x), logs, np.arange(len(logs))))


class _Measured:
    """The scores of the trials of a study, of which lower ones are better."""

    def __init__(self, history: Sequence[FrozenTrial], rates: Sequence[float], sign: int) -> None:
        self._by_network: dict[tuple[Network, int], Scores] = {}
        self._rates = rates
        for trial in (trial for trial in history if trial.params.keys() >= {DEPTH, RATE}):
            key = _network(trial.params), trial.params[DEPTH]
            self._by_network.setdefault(key, {})[rates.index(trial.params[RATE])] = _score(trial, sign)
        every = [score for scores in self._by_network.values() for score in scores.values()]
        finite = [score for score in every if score is not None and math.isfinite(score)]
        self.best_of_all = min(finite, default=math.inf)
        self._range = max(finite, default=math.inf) - self.best_of_all

    def scores(self, network: Network, depth: int) -> Scores:
        """Return the scores of a depth."""
        return self._by_network.get((network, depth), {})

    def best(self, network: Network, depth: int) -> int:
        """Return the number of the best rate of a depth that has learned."""
        known = {rate: score for rate, score in self.scores(network, depth).items() if score is not None}
        return min(known, key=lambda rate: (known[rate], rate))

    def learned(self, network: Network, depth: int) -> bool:
        """Return whether a network of a depth has learned with any rate so far."""
        known = sorted(score for score in self.scores(network, depth).values() if score is not None)
        if not known or math.isinf(known[0]):
            return False
        best, second = known[0], known[min(1, len(known) - 1)]
        return best - self.best_of_all <= LEARNED * self._range or second - best >= EQUAL * self._range


def check_law(hyperparameters: keras_tuner.HyperParameters) -> None:
    """Raise `ValueError` if the hyperparameters have too few depths or learning rates for a line."""
    depths, rates = _values(hyperparameters)
    numbers = all(isinstance(value, int | float) and value > 0 for value in (*depths, *rates))
    if len(depths) < 2 or len(rates) < 3 or not numbers:
        raise ValueError(
            "sampler='law' needs at least two values of `depth` and three of `learning_rate`, all of them positive. "
            f"Received: depth={reprlib.repr(depths)}, learning_rate={reprlib.repr(rates)}. Pass more values, or use "
            "sampler='grid'."
        )


def _values(hyperparameters: keras_tuner.HyperParameters) -> tuple[list[int], list[float]]:
    """Return the depths and the learning rates, both rising; none if a hyperparameter is missing."""
    values = {hp.name: sorted(hp.values) for hp in hyperparameters.space if hp.name in (DEPTH, RATE)}
    return values.get(DEPTH, []), values.get(RATE, [])


def _network(point: Mapping[str, Any]) -> Network:
    return tuple((name, value) for name, value in sorted(point.items()) if name not in (DEPTH, RATE))


def _score(trial: FrozenTrial, sign: int) -> float | None:
    """Return the score of a trial, the last one of a pruned trial. One without a score is as bad as can be."""
    if not trial.state.is_finished():
        return None
    if trial.state == TrialState.PRUNED and trial.intermediate_values:
        return sign * trial.intermediate_values[max(trial.intermediate_values)]
    return math.inf if trial.value is None else sign * trial.value


def _beside_the_best(scores: Scores, count: int, width: int, centre: float, best_of_all: float) -> int | None:
    """Return a rate beside the best one, or `None` if those on both of its sides are known, or cannot be the best.

    Args:
        scores: Dict, the scores of a depth.
        count: Integer, the number of rates.
        width: Integer, the number of rates on each side.
        centre: Float, the place where the best rate is expected. Near ones come first.
        best_of_all: Float, the best score of the study, which a depth has to reach.
    """
    known = {rate: score for rate, score in scores.items() if score is not None}
    best = min(known, key=lambda rate: (known[rate], abs(rate - centre)))
    beside = []
    for side in (-1, 1):
        rates = [rate for n in range(1, width + 1) if 0 <= (rate := best + side * n) < count]
        opposite = [rate for rate in known if (rate - best) * side < 0]
        if opposite and not any((rate - best) * side > 0 for rate in known):
            # how much a step has improved the scores up to here, which is more than the next steps on a convex curve
            near = min(opposite, key=lambda rate: abs(rate - best))
            gain = (known[near] - known[best]) / abs(near - best)
            if known[best] - AHEAD * width * gain > best_of_all:
                continue
        beside += [rate for rate in rates if rate not in known]
    return min(beside, key=lambda rate: (abs(rate - centre), rate), default=None)


def _slope(lines: Iterable[list[tuple[float, float]]], usual: float, error: float) -> float:
    """Return the slope that several lines share: least squares, with the usual slope as a prior.

    Args:
        lines: Iterable of the points of each line, pairs of the logarithms of the depth and of the best rate.
        usual: Float, the mean of the prior, whose standard deviation is `SLOPE_ERROR`.
        error: Float, the standard deviation of a point.
    """
    weight = (error / SLOPE_ERROR) ** 2
    products, squares = weight * usual, weight
    for points in lines:
        if points:
            x, y = (np.array(points) - np.mean(points, axis=0)).T
            products, squares = products + float(x @ y), squares + float(x @ x)
    return products / squares
