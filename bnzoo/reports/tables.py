"""The tables of a report, as text."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bnzoo.metrics import metric_named

if TYPE_CHECKING:
    from bnzoo.tuning.results import Results


@dataclass(frozen=True)
class Row:
    """A row of a table: its cells, the outcome of its trial, and whether this is the best trial."""

    cells: list[str]
    outcome: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table: its head, its rows, and the columns with prose."""

    head: list[str]
    rows: list[Row]
    prose: list[str] = field(default_factory=list)


def rates(results: "Results") -> Table:
    """Return the table of the best and the largest usable learning rates."""
    table = results.table()
    metric = metric_named(results.metric)
    columns = [axis for axis in results.axes if axis != "learning_rate"]
    head = [
        *map(_words, columns),
        "best learning rate",
        "largest usable",
        metric.label,
        results.objective.label,
        "usable rates",
        *map(_words, results.costs),
    ]
    rows = []
    for row in table.to_dict("records"):
        values = [_rate(row["best learning rate"]), _rate(row["largest usable"])]
        values += [_number(row[metric.name], metric.form), _number(row[results.objective.label], ".4f"), row["usable"]]
        values += [results.cost_text(column, row[column]) for column in results.costs]
        rows.append(Row([*(results.text(row[axis]) for axis in columns), *values]))
    return Table(head, rows)


def confirmed(results: "Results") -> Table:
    """Return the table of the confirmed configurations: their figures in the search and with new seeds."""
    metric, score = metric_named(results.metric), results.objective.label
    head = [
        *map(_words, results.axes),
        *(f"{metric.label} {stage}" for stage in ("searched", "confirmed")),
        "95 % interval",
        *(f"{score} {stage}" for stage in ("searched", "confirmed")),
        "differs from the best",
    ]
    rows = []
    for number, row in enumerate(results.confirmed.to_dict("records")):
        interval = f"{metric.text(row['low'])} to {metric.text(row['high'])}" if row["ok"] else ""
        figures = [_number(row[f"{stage}_{metric.name}"], metric.form) for stage in ("searched", "confirmed")]
        scores = [_number(row[f"{stage}_score"], ".4f") for stage in ("searched", "confirmed")]
        differs = "" if number == 0 and row["ok"] else "not usable" if not row["ok"] else "tie" if row["tie"] else "yes"
        cells = [*(results.text(row[axis]) for axis in results.axes), *figures, interval, *scores, differs]
        rows.append(Row(cells, best=number == 0 and row["ok"]))
    return Table(head, rows)


def trials(results: "Results") -> Table:
    """Return the table of all trials."""
    metric, best = metric_named(results.metric), results.best
    first = min((t.started for t in results.trials if math.isfinite(t.started)), default=math.nan)
    columns: dict[str, Any] = {
        "trial": lambda t: str(t.trial),
        **{_words(axis): lambda t, axis=axis: results.text(t.values.get(axis)) for axis in results.axes},
        "seed": lambda t: str(t.seed),
        "outcome": lambda t: t.outcome,
        "rate x decay": lambda t: _number(results.rate_times_decay(t), ".2g"),
        "score": lambda t: _number(t.score, ".4f"),
        metric.label: lambda t: _number(t.accuracy, metric.form),
        "moving loss": lambda t: _number(t.moving_loss, ".4g"),
        f"moving {metric.label}": lambda t: _number(t.moving_accuracy, metric.form),
        "started s": lambda t: _number(t.started - first, ".0f"),
        "compile s": lambda t: _number(t.compile_seconds, ".1f"),
        "train s": lambda t: _number(t.train_seconds, ".1f"),
        "worker": lambda t: t.worker,
        "reason": lambda t: t.reason,
    }
    if not any(trial.reason for trial in results.trials):
        del columns["reason"]
    if not any(product > 0 for product in map(results.rate_times_decay, results.trials)):
        del columns["rate x decay"]
    if results.definition["seeds"] == 1:
        del columns["seed"]
    if math.isnan(first):
        del columns["started s"]
    if len({trial.worker for trial in results.trials}) < 2:
        del columns["worker"]
    confirmed = results.confirmation is not None
    rows = [
        Row(
            [cell(t) for cell in columns.values()],
            t.outcome,
            best is not None and (t.trial == best.trial or (confirmed and t.values == best.values)),
        )
        for t in results.trials
    ]
    return Table(list(columns), rows, ["reason"])


def not_tried(results: "Results") -> Table:
    """Return the table of trials without a result."""
    columns = list(dict.fromkeys(axis for values in results.not_tried for axis in values))
    rows = [Row([results.text(values.get(axis, "")) for axis in columns]) for values in results.not_tried]
    return Table([_words(axis) for axis in columns], rows)


def outcomes(results: "Results") -> dict[str, int]:
    """Return the number of trials with each outcome that occurs."""
    return {outcome: count for outcome, count in results.counts.items() if count}


def _words(axis: str) -> str:
    return axis.replace("_", " ")


def _rate(rate: float | None) -> str:
    return "none" if rate is None or math.isnan(rate) else f"{rate:.3g}"


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else f"{value:{form}}"
