"""The best and the largest usable learning rate as functions of depth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnzoo.reports.layout import Layout, colours, legend_below, matching, panels, plain_ticks

if TYPE_CHECKING:
    from bnzoo.tuning.results import Results

GUIDES = {0.0: ("0", "-"), -0.5: ("-1/2", "--"), -1.5: ("-3/2", ":")}
FEWEST = 3  # a line through two points has no standard error


@dataclass(frozen=True)
class Fit:
    """A power law: a least-squares line of log learning rate over log depth.

    Attributes:
        slope: Float, the slope of the line.
        error: Float, the standard error of the slope.
        intercept: Float, the logarithm of the learning rate at depth 1.
    """

    slope: float
    error: float
    intercept: float

    def __str__(self) -> str:
        return f"{self.slope + 0.0:.2f} ± {self.error:.2f}"


@dataclass(frozen=True)
class Scaling:
    """A learning rate at each depth.

    Attributes:
        label: String, the series.
        depths: Array of the depths.
        rates: Array of the learning rates.
        bounds: Array of booleans, `True` for a learning rate at the end of the tried range. These are not in the fit.
        fit: `Fit`, or `None` for fewer than three depths.
    """

    label: str
    depths: np.ndarray
    rates: np.ndarray
    bounds: np.ndarray
    fit: Fit | None


def scalings(results: "Results") -> dict[str, list[Scaling]]:
    """Return the best and the largest usable learning rate of each series at each depth.

    Returns:
        Dict of two lists, `best` and `largest`, with a `Scaling` for each series that is usable at two depths or more.
    """
    layout = Layout(results)
    scalings: dict[str, list[Scaling]] = {"best": [], "largest": []}
    if layout.row != "depth" or len(layout.rows) < 2:
        return scalings
    for series in layout.series:
        points = [point for depth in layout.rows if (point := _at(results, {**series, "depth": depth}))]
        for name, kind in scalings.items():
            rows = [(point["depth"], *point[name]) for point in points]
            if len(rows) > 1:
                depths, rates, bounds = (np.array(column) for column in zip(*rows, strict=True))
                known = ~bounds.astype(bool)
                fit = _fit(depths[known], rates[known])
                kind.append(Scaling(layout.label(series), depths, rates, ~known, fit))
    return scalings


def rates_against_depth(results: "Results", narrow: bool = False) -> Figure:
    """Plot the best and the largest usable learning rate over depth on log scales, with fits and reference slopes."""
    titles = {"best": "best learning rate", "largest": "largest usable learning rate"}
    kinds = scalings(results)
    lines = max(map(len, kinds.values())) + len(GUIDES)
    figure, shown = panels(2, narrow, height=3.4 + 0.2 * lines)
    for axes, (name, title) in zip(shown, titles.items(), strict=True):
        for number, (scaling, colour) in enumerate(zip(kinds[name], colours(len(kinds[name])), strict=True)):
            shift = 1.012 ** (number - (len(kinds[name]) - 1) / 2)  # else marks at the same rate would overlap
            _scaling(axes, scaling, colour, shift)
        _guides(axes, kinds[name])
        depths = sorted({depth for scaling in kinds[name] for depth in scaling.depths.tolist()})
        axes.set(xscale="log", yscale="log", xlabel="depth", title=title)
        axes.set_xticks(depths, [str(depth) for depth in depths])
        axes.set_xticks([], minor=True)
        plain_ticks(axes.yaxis)
    shown[0].set_ylabel("learning rate")
    return figure


def caption(results: "Results") -> str:
    """Return the caption of the figure, with the slopes."""
    names = {"best": "best", "largest": "largest usable"}
    slopes = [
        f"{names[name]} rate, {scaling.label}: {scaling.fit}"
        for name, kind in scalings(results).items()
        for scaling in kind
        if scaling.fit
    ]
    sentence = f"Slopes ± standard error: {'; '.join(slopes)}." if slopes else "Too few depths for a slope."
    return (
        f"{sentence} With slope 0 the learning rate does not depend on depth. Hollow marks are at the end of the tried "
        "range: the learning rate may be beyond it, and they are not in the fit. Learning rates are only as precise as "
        "the tried values." + Layout(results).left_out
    )


def _at(results: "Results", values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the learning rates at a depth, each with whether it is only a bound; `None` if none is usable."""
    rows = matching(results.usable, values)
    if rows.empty:
        return None
    trials = results.of(values)
    tried = {trial.learning_rate for trial in trials}
    best, largest = rows.iloc[0]["learning_rate"], rows["learning_rate"].max()
    # a pruned or failed trial might have been usable
    lost = any(t.learning_rate > largest and t.outcome in ("stalled", "diverged") for t in trials)
    return {"depth": values["depth"], "best": (best, best in (min(tried), max(tried))), "largest": (largest, not lost)}


def _fit(depths: np.ndarray, rates: np.ndarray) -> Fit | None:
    if len(depths) < FEWEST:
        return None
    (slope, intercept), covariance = np.polyfit(np.log(depths), np.log(rates), 1, cov=True)
    return Fit(float(slope), float(np.sqrt(max(covariance[0, 0], 0.0))), float(intercept))


def _scaling(axes: Axes, scaling: Scaling, colour: object, shift: float) -> None:
    known = ~scaling.bounds
    axes.plot(scaling.depths[known] * shift, scaling.rates[known], "o", color=colour)
    axes.plot(scaling.depths[~known] * shift, scaling.rates[~known], "o", color=colour, fillstyle="none")
    label = f"{scaling.label}: no slope"
    if scaling.fit:
        ends = scaling.depths[known][[0, -1]]
        axes.plot(ends, np.exp(scaling.fit.intercept) * ends**scaling.fit.slope, color=colour)
        label = f"{scaling.label}: {scaling.fit}"
    axes.plot([], [], "o-" if scaling.fit else "o", color=colour, label=label)


def _guides(axes: Axes, scalings: list[Scaling]) -> None:
    """Draw lines with reference slopes through the middle of the data."""
    if scalings:
        depths, rates = (np.concatenate([getattr(s, name) for s in scalings]) for name in ("depths", "rates"))
        ends = np.array([depths.min(), depths.max()])
        middle = np.exp(np.log(rates).mean()), np.exp(np.log(ends).mean())
        for slope, (_, style) in GUIDES.items():
            axes.plot(ends, middle[0] * (ends / middle[1]) ** slope, style, color="0.7", linewidth=1, zorder=0)
    handles, _ = axes.get_legend_handles_labels()
    for name, style in GUIDES.values():
        handles += axes.plot([], [], style, color="0.7", linewidth=1, label=f"slope {name}")
    legend_below(axes, handles)
