"""Figures of the results of a study: score over learning rate and depth, and learning curves."""

import math
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from bnzoo.metrics import Metric, metric_named
from bnzoo.reports.layout import (
    FEWEST,
    SIDE_BY_SIDE,
    Layout,
    colours,
    legend_below,
    matching,
    panels,
    plain,
    plain_ticks,
    scale_scores,
    ticks,
)

if TYPE_CHECKING:
    from bnzoo.tuning.results import Results
    from bnzoo.tuning.trial_result import TrialResult

_COLOURS = mpl.colormaps["viridis_r"]
MOST_CURVES = 6  # more curves are hard to tell apart
_HATCHES = {"diverged": "////", "stalled": "....", "pruned": "\\\\\\\\", "failed": "xxxx"}
_WORST_FIRST = ("failed", "diverged", "stalled", "pruned", "ok")


def heatmap(results: "Results", narrow: bool = False) -> Figure:
    """Plot the score over learning rate and depth, in one panel per combination of the other axes.

    The colour is the mean score on a log scale that ends at guessing at the latest. The number is the mean accuracy.
    Cells are hatched if the outcome of a seed is not `ok`. One ring marks the best learning rate of each depth, two
    rings mark the best configuration. If depth does not vary, the rows are the axis with the most values.
    """
    layout = Layout(results)
    figure, shown = _heat_panels(layout, narrow)
    scale = _scale(results)
    for axes, series in zip(shown, layout.series, strict=True):
        axes.set(title=layout.title(series), ylabel=layout.row.replace("_", " "))
        for number, row in enumerate(layout.rows):
            _row(axes, layout, series, row, number, scale)
    present = [o for o in _HATCHES if results.counts[o]]
    if present:
        keys = [Patch(facecolor="0.92", edgecolor="0.35", hatch=_HATCHES[o], label=f"a seed {o}") for o in present]
        figure.legend(handles=keys, loc="outside lower center", ncols=2 if narrow else 4, frameon=False)
    if results.counts["ok"]:
        _colour_bar(figure, shown, scale, narrow, _score(results))
    return figure


def score_against_learning_rate(results: "Results", narrow: bool = False) -> Figure:
    """Plot the score over the learning rate, in one panel per series.

    Each depth has a line through the means of the seeds, each seed a point. Stalled, diverged and failed trials are on
    a line at the top.
    """
    layout = Layout(results)
    figure, shown = panels(len(layout.series), narrow)
    for axes, series in zip(shown, layout.series, strict=True):
        for number, (row, colour) in enumerate(zip(layout.rows, colours(len(layout.rows)), strict=True)):
            shift = 1.12 ** (number - (len(layout.rows) - 1) / 2)  # else the crosses of the rows would overlap
            _points(axes, layout.trials(series, row), colour, rail=results.cap * 1.8, shift=shift)
            axes.plot([], [], color=colour, label=f"{layout.row.replace('_', ' ')} {results.text(row)}")
        axes.axhline(results.cap * 1.8, color="0.8", linewidth=6, zorder=0)
        axes.axhline(results.objective.guessing, color="0.6", linestyle=":", linewidth=1)
        axes.set(xscale="log", xlabel="learning rate", title=layout.title(series))
    for axes in shown:
        plain_ticks(axes.xaxis)
        scale_scores(axes, [results.cap, *(trial.score for trial in results.trials if trial.outcome == "ok")])
    shown[0].set_ylabel(f"{_score(results)}\n(x: not usable; triangle: pruned; dotted: guessing)")
    shown[0].legend(frameon=False, fontsize="small")
    return figure


def learning_curves(results: "Results", narrow: bool = False) -> Figure:
    """Plot training and validation loss of the best trial of each series, in one panel per depth."""
    layout = curves_layout(results)
    lines = len(layout.series) + 2
    rows = rows_with_curves(layout)
    figure, shown = panels(len(rows), narrow, height=3.4 + 0.2 * lines)
    for axes, row in zip(shown, rows, strict=True):
        for series, colour in zip(layout.series, colours(len(layout.series)), strict=True):
            if good := _with_curves(layout.trials(series, row)):
                _curve(axes, min(good, key=lambda trial: trial.score), layout.label(series), colour)
        axes.set(yscale="log", xlabel="epoch", title=f"{layout.row.replace('_', ' ')} {results.text(row)}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        handles, _ = axes.get_legend_handles_labels()
        styles = [
            Line2D([], [], color="0.4", linestyle="--", label="training"),
            Line2D([], [], color="0.4", linestyle="-", label="validation"),
        ]
        legend_below(axes, [*handles, *styles])
    for axes in shown:
        plain_ticks(axes.yaxis)
    shown[0].set_ylabel("loss (moving statistics)")
    return figure


def curves_layout(results: "Results") -> Layout:
    """Return the layout of the learning curves: one trial has a curve."""
    return Layout(results, MOST_CURVES, fewest=1)


def rows_with_curves(layout: Layout) -> list[Any]:
    """Return the rows with a learning curve of two points or more."""
    return [row for row in layout.rows if any(_with_curves(layout.trials(s, row)) for s in layout.series)]


def _with_curves(trials: list["TrialResult"]) -> list["TrialResult"]:
    return [t for t in trials if t.outcome == "ok" and len(t.history.get("loss", ())) >= FEWEST]


def _score(results: "Results") -> str:
    return f"validation {results.objective.label}, recalibrated"


def _heat_panels(layout: Layout, narrow: bool) -> tuple[Figure, list[Axes]]:
    """Create empty panels in one column, or in several columns if there are many."""
    rows, columns, count = len(layout.rows), len(layout.columns), len(layout.series)
    labels = max(len(layout.results.text(row)) for row in layout.rows) * 0.08
    width = (0.46 if narrow else 0.85) * columns + 0.6 + labels
    across = 1 if narrow or count <= 3 else max(1, min(SIDE_BY_SIDE, int(12 / width)))
    down = -(-count // across)
    size = max(4.6, width * across + 1.3 * (not narrow)), down * (0.55 * rows + 0.75) + (1.3 if narrow else 0.9)
    figure = Figure(figsize=size, layout="constrained")
    shown = list(figure.subplots(down, across, squeeze=False).flat)
    small = {"rotation": 45, "fontsize": 8} if narrow and columns > 5 else {}
    for number, axes in enumerate(shown):
        axes.set(xlim=(-0.5, columns - 0.5), ylim=(-0.5, rows - 0.5))
        axes.set_xticks(range(columns), [_rate(low, high) for low, high in layout.columns], **small)
        axes.set_yticks(range(rows), [layout.results.text(row) for row in layout.rows])
        axes.tick_params(length=0)
        axes.set_xlabel("learning rate" if count - across <= number < count else "")
        if number >= count:
            axes.remove()
    return figure, shown[:count]


def _colour_bar(figure: Figure, shown: list[Axes], scale: LogNorm, narrow: bool, label: str) -> None:
    options: dict[str, Any]
    width, height = figure.get_size_inches()
    if narrow:
        options = {"location": "bottom", "fraction": 0.2 / height, "aspect": 30, "pad": 0.01}
    else:
        options = {"fraction": 0.5 / width, "aspect": 5 * height, "pad": 0.02}
    colours_of = mpl.cm.ScalarMappable(scale, _COLOURS)
    bar_ends = float(scale.vmin or 0), float(scale.vmax or 0)
    options |= {"ticks": ticks(*bar_ends), "format": plain}
    bar = figure.colorbar(colours_of, ax=shown, label=label, extend="max", **options)
    bar.minorticks_off()


def _rate(low: float, high: float) -> str:
    """Return the middle of a range of learning rates with two digits."""
    return plain(float(f"{math.sqrt(low * high):.2g}"))


def _scale(results: "Results") -> LogNorm:
    """Return a logarithmic colour scale over the scores of the trials with the outcome `ok`.

    It ends near the worst of these scores, and at the loss of guessing if a score is worse. Callers clip scores to it.
    """
    scores = [trial.score for trial in results.trials if trial.outcome == "ok"]
    lowest = max(min(scores, default=results.objective.guessing / 2), 1e-4)
    return LogNorm(lowest, max(min(max(scores, default=0.0), results.objective.guessing), 2 * lowest))


def _row(axes: Axes, layout: Layout, series: dict, row: object, number: int, scale: LogNorm) -> None:
    """Draw the cells of a row and the rings around its best. A cell shows the best of its configurations."""
    cells: dict[int, list[TrialResult]] = {}
    for trials in sorted(layout.configurations(series, row), key=_goodness):
        cells.setdefault(layout.column(trials[0].learning_rate), trials)
    for column, trials in cells.items():
        _cell(axes, trials, (column, number), scale, metric_named(layout.results.metric))
    of_row = matching(layout.results.usable, {**series, layout.row: row})
    if of_row.empty:
        return
    column = layout.column(of_row.iloc[0]["learning_rate"])
    for size in (0.86, 0.74) if of_row.index[0] == 0 else (0.86,):  # the best configuration has two
        axes.add_patch(Ellipse((column, number), size, size, fill=False, edgecolor="crimson", linewidth=1.8))


def _goodness(trials: list["TrialResult"]) -> tuple[bool, float]:
    return any(trial.outcome != "ok" for trial in trials), float(np.mean([trial.score for trial in trials]))


def _cell(axes: Axes, trials: list["TrialResult"], position: tuple[int, int], scale: LogNorm, metric: Metric) -> None:
    outcome = next(o for o in _WORST_FIRST if any(trial.outcome == o for trial in trials))
    corner = (position[0] - 0.5, position[1] - 0.5)
    if outcome != "ok":
        axes.add_patch(
            Rectangle(corner, 1, 1, facecolor="0.92", edgecolor="0.35", hatch=_HATCHES[outcome], linewidth=0)
        )
        return
    score = float(np.clip(np.mean([trial.score for trial in trials]), scale.vmin, scale.vmax))
    colour = _COLOURS(scale(score))
    axes.add_patch(Rectangle(corner, 1, 1, facecolor=colour, edgecolor="white"))
    ink = "white" if np.dot(colour[:3], (0.3, 0.59, 0.11)) < 0.55 else "black"
    text = metric.short_text(float(np.mean([trial.accuracy for trial in trials])))
    axes.text(*position, text, ha="center", va="center", color=ink, fontsize=9)


def _points(axes: Axes, trials: list["TrialResult"], colour: object, rail: float, shift: float) -> None:
    groups: dict[str, list[TrialResult]] = {"ok": [], "pruned": [], "lost": []}
    for trial in trials:
        groups.get(trial.outcome, groups["lost"]).append(trial)
    good, pruned, lost = groups.values()
    rates = sorted({trial.learning_rate for trial in good})
    means = [float(np.mean([trial.score for trial in good if trial.learning_rate == rate])) for rate in rates]
    axes.plot(rates, means, color=colour)
    for group, marker in ((good, "o"), (pruned, "v")):
        points = [trial.learning_rate for trial in group], [trial.score for trial in group]
        axes.plot(*points, marker, color=colour, markersize=4, fillstyle="full" if marker == "o" else "none")
    axes.plot([t.learning_rate * shift for t in lost], [rail] * len(lost), "x", color=colour, markersize=6)


def _curve(axes: Axes, trial: "TrialResult", label: str, colour: object) -> None:
    for name, style in (("loss", "--"), ("val_loss", "-")):
        curve = trial.history.get(name, [])
        marker = "." if len(curve) < 3 else ""  # a line through one point is invisible
        axes.plot(range(1, len(curve) + 1), curve, style, color=colour, marker=marker, alpha=0.7 + 0.3 * (style == "-"))
    axes.plot([], [], color=colour, label=f"{label}, lr {trial.learning_rate:.3g}")
