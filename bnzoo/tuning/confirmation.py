"""The confirmation of the best configurations, compared with the search that has chosen them."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from bnzoo.metrics import REGRESSION, metric_named
from bnzoo.tuning.ties import interval, ties, ties_of_shares

if TYPE_CHECKING:
    from bnzoo.tuning.results import Results


def winner(results: "Results") -> pd.Series | None:
    """Return the row of the best configuration: by the confirmation, or without one by the search.

    If no confirmed configuration is usable, it is the best of the search, whose model was kept.
    """
    usable, axes = results.usable, list(results.axes)
    if usable.empty or results.confirmation is None:
        return None if usable.empty else usable.iloc[0]
    confirmed = results.confirmation.configurations
    rows = {_key(row, axes): row for _, row in usable.iterrows()}
    for _, row in confirmed[confirmed["ok"]].iterrows():
        if (key := _key(row, axes)) in rows:
            return rows[key]
    return usable.iloc[0]


def ranked(results: "Results") -> pd.DataFrame:
    """Return the configurations among which the winner was chosen, best first: the confirmed ones, if any is usable."""
    found = results.confirmation
    return results.usable if found is None or found.usable.empty else found.usable


def table(results: "Results") -> pd.DataFrame:
    """Return a table with one row per confirmed configuration, best first: its scores in the search and with new seeds.

    `low` and `high` are the 95 % interval of the confirmed metric. `tie` is `True` for the best one and for those that
    cannot be told apart from it.
    """
    found, name = results.confirmation, results.metric
    rows: list[dict[str, Any]] = []
    if found is not None and len(found):
        axes, usable = list(results.axes), found.usable
        tied = {_key(row, axes) for _, row in pd.concat([usable.head(1), ties(usable)]).iterrows()}
        searched = {_key(row, axes): row for _, row in results.configurations.iterrows()}
        for _, row in found.configurations.sort_values("ok", ascending=False, kind="stable").iterrows():
            key = _key(row, axes)
            before = searched.get(key, {name: float("nan"), "score": float("nan")})
            low, high = _within(results, interval([trial.accuracy for trial in found.of(row)]))
            rows.append(
                {
                    **{axis: row[axis] for axis in axes},
                    f"searched_{name}": before[name],
                    f"confirmed_{name}": row[name],
                    "low": low,
                    "high": high,
                    "searched_score": before["score"],
                    "confirmed_score": row["score"],
                    "seeds": row["seeds"],
                    "ok": row["ok"],
                    "tie": key in tied,
                }
            )
    measures = [f"searched_{name}", f"confirmed_{name}", "low", "high", "searched_score", "confirmed_score"]
    return pd.DataFrame(rows, columns=[*results.axes, *measures, "seeds", "ok", "tie"])


def finding(results: "Results", guess: str = "") -> str:
    """Return the figure of the winner in the search and in its confirmation; empty if it was not confirmed.

    Args:
        results: The `Results`.
        guess: String, the same figure for guessing.
    """
    confirmed = results.confirmed
    if confirmed.empty or not confirmed.iloc[0]["ok"]:
        return ""
    best, metric = confirmed.iloc[0], metric_named(results.metric)
    reached = metric.text(best[f"confirmed_{metric.name}"])
    within = f"{metric.text(best['low'])} to {metric.text(best['high'])}, {best['seeds']} new seeds"
    objective, chosen = results.objective, ""
    if objective.metric is not None and objective.metric.name != metric.name:
        before, after = (objective.text(best[f"{stage}_score"]) for stage in ("searched", "confirmed"))
        chosen = f"; {before} in the search, {after} confirmed"
    return (
        f"{metric.label} {metric.text(best[f'searched_{metric.name}'])} in the search, confirmed {reached} "
        f"({'; '.join(filter(None, (within, guess)))}): the search was {_optimism(results, best)}{chosen}"
    )


def _optimism(results: "Results", row: Any) -> str:
    """Return the difference between the searched and the confirmed metric in words, percentages in points."""
    metric = metric_named(results.metric)
    searched, confirmed = (metric.badness(row[f"{stage}_{metric.name}"]) for stage in ("searched", "confirmed"))
    if confirmed <= searched:
        return "not optimistic"
    by = confirmed - searched
    return f"optimistic by {f'{100 * by:.1f} points' if metric.form.endswith('%') else metric.text(by)}"


def doubts(results: "Results") -> list[str]:
    """Return warnings about configurations that cannot be told apart, and about an incomplete confirmation."""
    return [*_incomplete(results), *_replaced(results), *_tied(results, ranked(results))]


def _replaced(results: "Results") -> list[str]:
    """Return a warning if the best configuration of the search is not the best one with new seeds."""
    confirmed, axes = results.confirmed, list(results.axes)
    first = _key(results.usable.iloc[0], axes)
    for place, (_, row) in enumerate(confirmed.iterrows()):
        if place and row["ok"] and _key(row, axes) == first:
            metric = metric_named(results.metric)
            reached = f"{metric.label} {metric.text(row[f'confirmed_{metric.name}'])}"
            words = f"the best of the search, {results.words(row)}, reached {reached} with new seeds"
            return [f"{words}: the search was {_optimism(results, row)} about it"]
    return []


def alike(results: "Results") -> pd.DataFrame:
    """Return the configurations that cannot be told apart from the best one.

    With several seeds their scores decide. With one seed it is the metric on the validation examples; there are none if
    it is not a share of the examples.
    """
    if results.definition["seeds"] > 1 or results.confirmation is not None:
        return ties(ranked(results))
    metric, usable = metric_named(results.metric), results.usable
    if not metric.share or results.examples is None:
        return usable.iloc[:0]
    return usable.loc[ties_of_shares(usable[metric.name], results.examples).index]


def alike_on_examples(results: "Results") -> str:
    """Return the number of configurations that are `alike` with one seed, in words; empty if there are none."""
    count = len(alike(results))
    if not count:
        return ""
    subject = "1 configuration has" if count == 1 else f"{count} configurations have"
    within = f"within two standard errors of that of the best on {results.examples:,} validation examples"
    return f"{subject} a validation {metric_named(results.metric).label} {within}"


def _tied(results: "Results", configurations: pd.DataFrame) -> list[str]:
    others = ties(configurations)
    if others.empty:
        return []
    count, seeds = len(others), configurations["seeds"].iloc[0]
    subject = "1 configuration" if count == 1 else f"{count} configurations"
    best = configurations.iloc[0]
    named = "; ".join(
        results.words(row) + " (shallower)" * bool(row["depth"] < best["depth"])
        for _, row in others.head(_NAMED).iterrows()
    )
    more = f"; and {count - _NAMED} more" if count > _NAMED else ""
    return [f"{subject} cannot be told apart from the best with {seeds} seeds: {named}{more}"]


def _incomplete(results: "Results") -> list[str]:
    """Return warnings about finalists without a confirmed score."""
    found = results.confirmation
    if found is None:
        return []
    warnings, complete = [], found.configurations
    if found.not_tried:
        count = found.size // found.definition["seeds"]
        warnings.append(
            f"{len(complete)} of {count} configurations were confirmed (limit of time): run the same command again"
        )
    for _, row in complete[~complete["ok"]].iterrows():
        outcomes = ", ".join(sorted({trial.outcome for trial in found.of(row) if trial.outcome != "ok"}))
        warnings.append(f"{results.words(row)} is not usable with new seeds ({outcomes})")
    return warnings


# the configurations that a warning names
_NAMED = 3


def _key(row: Any, axes: list[str]) -> tuple[Any, ...]:
    return tuple(row[axis] for axis in axes)


def _within(results: "Results", ends: tuple[float, float]) -> tuple[float, float]:
    """Return an interval within the values that the metric can have: at most 1, and of shares at least 0."""
    low, high = ends
    lowest = float("-inf") if REGRESSION in metric_named(results.metric).tasks else 0.0
    return max(low, lowest), min(high, 1.0)
