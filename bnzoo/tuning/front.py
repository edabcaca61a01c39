"""The configurations that are worth their cost: the Pareto front, and the smallest network that is almost the best."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bnzoo.errors import choice
from bnzoo.metrics import REGRESSION, Metric, metric_named
from bnzoo.metrics.pareto import on_front
from bnzoo.tuning.costs import COUNTS, cost_words

if TYPE_CHECKING:
    from bnzoo.tuning.results import Results

LATENCY = "latency"
# the difference to the best that does not count: of a metric that is a share, and of another one relative to the best
_POINTS, _RELATIVE = 0.005, 0.01


def front(results: "Results", against: str) -> pd.DataFrame:
    """Return the configurations that no other one beats in both the score and the cost. See `Study.front`."""
    cost = cost_column(results, against)
    table = best_of_networks(results, cost)
    kept = table[on_front(table[cost].to_numpy(float), table["score"].to_numpy(float))]
    return kept.sort_values(cost, ignore_index=True, kind="stable")


def cost_column(results: "Results", against: str) -> str:
    """Return the column of results with a cost.

    Raises:
        ValueError: If the cost is unknown, or there is no such column.
    """
    measured = results.latencies.columns
    choice("against", against, (LATENCY, *COUNTS, *measured))
    if against == LATENCY:
        if not measured:
            raise ValueError("No latency has been measured. Call `study.measure_latency()` first")
        return measured[-1]
    if against not in results.costs:
        raise ValueError(
            f"The {against} of the networks are not known: no trial has run, or all of them ran in an earlier version "
            "of bnzoo. Run the study in another folder"
        )
    return against


def best_of_networks(results: "Results", cost: str) -> pd.DataFrame:
    """Return the best usable configuration of each combination of the axes without the learning rate, best first.

    Args:
        results: The `Results`.
        cost: String, the column with the cost. Configurations whose cost is not known are left out.
    """
    others = [axis for axis in results.axes if axis != "learning_rate"]
    usable = results.usable.dropna(subset=[cost]).drop_duplicates(others, ignore_index=True)
    rows = [[row[name] for name in (*results.axes, cost)] + _over_seeds(results, row) for _, row in usable.iterrows()]
    ends = [name + end for name in ("score", results.metric) for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=[*results.axes, cost, *ends])


def smallest(results: "Results") -> str:
    """Return a sentence about the network with the fewest multiplications that is almost as good as the best one.

    The difference may be half a point (0.005) of the objective, or of the first metric if the objective is the loss.
    For the RMSE and the MAE, which have a unit, it may be 1 % of that of the best. The figures are those of the search;
    a confirmed network must be as close with new seeds too.
    """
    cost = "multiplications"
    usable, best, found = results.usable, results.winner, results.confirmation
    if best is None or cost not in results.costs or usable[cost].dropna().nunique() < 2:
        return ""
    metric = results.objective.metric or metric_named(results.metric)
    has_unit = REGRESSION in metric.tasks and not metric.higher_is_better
    margin = "1 %" if has_unit else "half a point"

    def badness(rows: pd.DataFrame) -> pd.Series:
        return rows["score"] if results.objective.metric else rows[metric.name].map(metric.badness)

    def near(rows: pd.DataFrame, reached: float) -> pd.Series:
        return badness(rows) <= reached + (_RELATIVE * reached if has_unit else _POINTS) + 1e-12

    values = badness(usable)
    kept = usable.assign(badness=values)[near(usable, values[best.name])]
    if found is not None and not found.usable.empty:
        again = found.configurations
        lost = again[~again["ok"] | ~near(again, badness(found.usable).iloc[0])]
        kept = kept[~_keys(results, kept).isin(_keys(results, lost))]
    if best[cost] == usable[cost].min():
        return "No network has fewer multiplications than the best."
    chosen = kept.sort_values([cost, "badness"], kind="stable").iloc[0]
    if pd.isna(best[cost]) or not chosen[cost] < best[cost]:
        return f"No network with fewer multiplications is within {margin} of the best."
    of_search = "" if found is None else " (figures of the search)"
    return (
        f"The smallest network within {margin} of the best: {results.words(chosen)}: "
        f"{_value(metric, chosen['badness'])} with {_costs(results, chosen)}, instead of "
        f"{_value(metric, values[best.name])} with {_costs(results, best)}{of_search}."
    )


def _keys(results: "Results", rows: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(rows[list(results.axes)])


def _over_seeds(results: "Results", row: Mapping[str, Any] | pd.Series) -> list[float]:
    """Return the mean, the lowest and the highest score and metric of the seeds of a configuration."""
    trials = results.of(row)
    values = np.array([[trial.score for trial in trials], [trial.accuracy for trial in trials]])
    return np.stack([values.mean(1), values.min(1), values.max(1)], axis=1).ravel().tolist()


def _value(metric: Metric, badness: float) -> str:
    return f"{metric.label} {metric.text(metric.badness(badness))}"


def _costs(results: "Results", row: pd.Series) -> str:
    """Return the costs of a configuration as text."""
    costs = {name: results.cost_text(name, row[name]) for name in reversed(results.costs)}
    return ", ".join(f"{cost} {cost_words(name)}" for name, cost in costs.items() if cost)
