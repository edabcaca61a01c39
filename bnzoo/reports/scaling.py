"""How the best and the largest usable learning rate change with depth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnzoo.reports.layout import Layout, colours, legend_below, matching, panels

if TYPE_CHECKING:
    from bnzoo.tuning.results import Results

GUIDES = {0.0: ("0", "-"), -0.5: ("-1/2", "--"), -1.5: ("-3/2", ":")}
FEWEST = 3  # a line through two points has no error


@dataclass(frozen=True)
class Fit:
    """A power law: the slope of log learning rate over log depth by least squares.

    Attributes:
        slope: Float.
        error: Float, its standard error.
        intercept: Float, the logarithm of the rate at depth 1.
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
        depths: Array.
        rates: Array.
        bounds: Array of booleans: whether a better rate may lie beyond those that were tried. They are not in the fit.
        fit: `Fit`, or `None` of fewer than three depths.
    """

    label: str
    depths: np.ndarray
    rates: np.ndarray
    bounds: np.ndarray
    fit: Fit | None


def scalings(results: "Results") -> dict[str, list[Scaling]]:
    """The best and the largest usable learning rate of every series at each depth.

    Returns:
        Dict of two lists, `best` and `largest`, of a `Scaling` for each series that is usable at two depths or more.
    """
    layout = Layout(results)
    found: dict[str, list[Scaling]] = {"best": [], "largest": []}
    if layout.row != "depth" or len(layout.rows) < 2:
        return found
    for series in layout.series:
        points = [point for depth in layout.rows if (point := _at(results, {**series, "depth": depth}))]
        for name, kind in found.items():
            at = [(point["depth"], *point[name]) for point in points]
            if len(at) > 1:
                depths, rates, bounds = (np.array(column) for column in zip(*at, strict=True))
                known = ~bounds.astype(bool)
                fit = _fit(depths[known], rates[known])
                kind.append(Scaling(layout.label(series), depths, rates, ~known, fit))
    return found


def rates_against_depth(results: "Results", narrow: bool = False) -> Figure:
    """The best and the largest usable learning rate over depth, both log, with fitted slopes and guides."""
    titles = {"best": "best learning rate", "largest": "largest usable learning rate"}
    found = scalings(results)
    lines = max(map(len, found.values())) + len(GUIDES)
    figure, shown = panels(2, narrow, height=3.4 + 0.2 * lines)
    for axes, (name, title) in zip(shown, titles.items(), strict=True):
        for place, colour in enumerate(colours(len(found[name]))):
            beside = 1.012 ** (place - (len(found[name]) - 1) / 2)  # or marks at the same rate would hide each other
            _scaling(axes, found[name][place], colour, beside)
        _guides(axes, found[name])
        depths = sorted({depth for scaling in found[name] for depth in scaling.depths.tolist()})
        axes.set(xscale="log", yscale="log", xlabel="depth", title=title)
        axes.set_xticks(depths, [str(depth) for depth in depths])
        axes.set_xticks([], minor=True)
    shown[0].set_ylabel("learning rate")
    return figure


def caption(results: "Results") -> str:
    """What the figure says, in words: the slopes."""
    names = {"best": "best", "largest": "largest usable"}
    slopes = [
        f"{names[name]} rate, {scaling.label}: {scaling.fit}"
        for name, found in scalings(results).items()
        for scaling in found
        if scaling.fit
    ]
    told = f"Slopes ± standard error: {'; '.join(slopes)}." if slopes else "Too few depths for a slope."
    return (
        f"{told} Slope 0 is a rate that depth does not change. Hollow marks are at the end of what was tried: the rate "
        "may lie beyond, and they are not in the fit. Rates are no finer than those that were tried."
        + Layout(results).left_out
    )


def _at(results: "Results", values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The rates at a depth, and whether they are bounds only."""
    rows = matching(results.usable, values)
    if rows.empty:
        return None
    trials = results.of(values)
    tried = {trial.learning_rate for trial in trials}
    best, largest = rows.iloc[0]["learning_rate"], rows["learning_rate"].max()
    # what was pruned or raised an error might have been usable
    lost = any(t.learning_rate > largest and t.outcome in ("stalled", "diverged") for t in trials)
    return {"depth": values["depth"], "best": (best, best in (min(tried), max(tried))), "largest": (largest, not lost)}


def _fit(depths: np.ndarray, rates: np.ndarray) -> Fit | None:
    if len(depths) < FEWEST:
        return None
    (slope, intercept), covariance = np.polyfit(np.log(depths), np.log(rates), 1, cov=True)
    return Fit(float(slope), float(np.sqrt(max(covariance[0, 0], 0.0))), float(intercept))


def _scaling(axes: Axes, scaling: Scaling, colour: object, beside: float) -> None:
    known = ~scaling.bounds
    axes.plot(scaling.depths[known] * beside, scaling.rates[known], "o", color=colour)
    axes.plot(scaling.depths[~known] * beside, scaling.rates[~known], "o", color=colour, fillstyle="none")
    label = f"{scaling.label}: no slope"
    if scaling.fit:
        ends = scaling.depths[known][[0, -1]]
        axes.plot(ends, np.exp(scaling.fit.intercept) * ends**scaling.fit.slope, color=colour)
        label = f"{scaling.label}: {scaling.fit}"
    axes.plot([], [], "o-" if scaling.fit else "o", color=colour, label=label)


def _guides(axes: Axes, found: list[Scaling]) -> None:
    """Lines of known slopes through the middle of what is shown."""
    if found:
        depths, rates = (np.concatenate([getattr(s, name) for s in found]) for name in ("depths", "rates"))
        ends = np.array([depths.min(), depths.max()])
        middle = np.exp(np.log(rates).mean()), np.exp(np.log(ends).mean())
        for slope, (_, style) in GUIDES.items():
            axes.plot(ends, middle[0] * (ends / middle[1]) ** slope, style, color="0.7", linewidth=1, zorder=0)
    handles, _ = axes.get_legend_handles_labels()
    for name, style in GUIDES.values():
        handles += axes.plot([], [], style, color="0.7", linewidth=1, label=f"slope {name}")
    legend_below(axes, handles)
