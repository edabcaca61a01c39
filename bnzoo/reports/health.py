"""The health report of a model as one HTML file."""

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnzoo.files import write_text
from bnzoo.reports.page import draw, render

if TYPE_CHECKING:
    from bnzoo.tools.health_check import HealthReport

_LABELS = 60  # more labels would overlap
_FLOOR = 1e-4  # smaller values are drawn there


def write_health(report: "HealthReport", path: str | Path) -> None:
    """Write a `bnzoo.tools.HealthReport` as one self-contained HTML file.

    Args:
        report: The report.
        path: The HTML file. Its folder must exist.
    """
    pictures = [
        {"title": title, "caption": caption, "svg": draw(name, picture, report)[1]}
        for name, (picture, title, caption, shown) in _FIGURES.items()
        if shown(report)
    ]
    page = render("health.html.j2", report=report, pictures=pictures, version=metadata.version("bnzoo"))
    write_text(path, page)


def drift(report: "HealthReport") -> Figure:
    """Plot the distance of the moving statistics from those of the data: median, 80 % band and maximum."""
    names = [name for name, norm in report.norms.items() if norm.drift is not None]
    figure, (mean, deviation) = _rows(names, 2)
    for axes, quantity in ((mean, "drift"), (deviation, "deviation")):
        values = [np.nan_to_num(getattr(report.norms[name], quantity), nan=1e6, posinf=1e6) for name in names]
        _spread(axes, values, (0.1, 0.9))
    mean.axhline(1.0, color="crimson", linewidth=1, linestyle=":")
    for bound in (0.5, 2.0):
        deviation.axhline(bound, color="crimson", linewidth=1, linestyle=":")
    mean.set(ylabel="mean: distance from\nthe data's, in deviations")
    deviation.set(ylabel="deviation: ratio\nto the data's")
    return figure


def gamma(report: "HealthReport") -> Figure:
    """Plot the absolute values of gamma."""
    names = [name for name, norm in report.norms.items() if norm.gamma is not None]
    figure, (axes,) = _rows(names, 1)
    _spread(axes, [report.norms[name].gamma for name in names], (0.0, 1.0))
    axes.set(ylabel="absolute gamma")
    return figure


def channels(report: "HealthReport") -> Figure:
    """Plot the shares of dead and exploding channels, and of values where the activation is flat."""
    norms = list(report.norms.values())
    figure, (axes,) = _rows(list(report.norms), 1)
    positions = np.arange(len(norms))
    axes.bar(positions - 0.2, [100 * norm.dead.mean() for norm in norms], 0.4, color="0.45", label="dead channels")
    exploding = [100 * norm.exploding.mean() for norm in norms]
    axes.bar(positions + 0.2, exploding, 0.4, color="crimson", label="exploding channels")
    flat = [(position, 100 * norm.saturation) for position, norm in enumerate(norms) if norm.saturation is not None]
    if flat:
        axes.plot(*zip(*flat, strict=True), "o", color="C0", markersize=4, label="values where the activation is flat")
    axes.set(ylabel="percent", ylim=(0, 100))
    axes.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    return figure


def gradients(report: "HealthReport") -> Figure:
    """Plot the norm of the gradient of each linear layer, divided by that of its kernel."""
    scales = report.gradients or {}
    figure, (axes,) = _rows(list(scales), 1)
    values = np.array(list(scales.values()))
    finite = np.isfinite(values)
    positions = np.arange(len(values))
    axes.plot(positions[finite], np.maximum(values[finite], 1e-12), "o-", color="C0", markersize=3.5)
    for position in positions[~finite]:
        axes.axvline(position, color="crimson", linewidth=2)
    axes.set(yscale="log", ylabel="norm of the gradient /\nnorm of the kernel")
    if not finite.any():
        axes.set(ylim=(1e-3, 1e3))  # a log scale needs positive limits
    return figure


def _rows(names: Sequence[str], rows: int) -> tuple[Figure, Sequence[Axes]]:
    """Create a figure of rows with the layers along the axis. If there are many layers, only some are labelled."""
    figure = Figure(figsize=(10.5, 2.1 * rows + 1.5), layout="constrained")
    panels = list(figure.subplots(rows, 1, squeeze=False, sharex=True)[:, 0])
    step = -(-len(names) // _LABELS)
    labelled = range(0, len(names), step)
    size = 9 if len(names) < 25 else 7
    panels[-1].set_xticks(labelled, [_short(names[i]) for i in labelled], rotation=90, fontsize=size)
    for axes in panels:
        axes.set_xlim(-0.7, len(names) - 0.3)
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
    return figure, panels


def _spread(axes: Axes, values: list, band: tuple[float, float]) -> None:
    """Draw the median of each array, a band between two quantiles and a mark at the maximum, on a log scale."""
    values = [np.clip(each, _FLOOR, 1e6) for each in values]
    positions = range(len(values))
    low, high = ([np.quantile(each, share) for each in values] for share in band)
    axes.vlines(positions, low, high, color="C0", alpha=0.3, linewidth=5)
    axes.plot(positions, [np.median(each) for each in values], "o", color="C0", markersize=4)
    axes.plot(positions, [each.max() for each in values], "_", color="0.35", markersize=7)
    axes.set(yscale="log")


def _short(name: str) -> str:
    name = name.rsplit("/", 1)[-1]  # without the names of nested models
    return name if len(name) <= 28 else f"…{name[-27:]}"


def _has(quantity: str) -> Any:
    return lambda report: any(getattr(norm, quantity) is not None for norm in report.norms.values())


# name -> (the function that draws, the title, the caption, a function that returns whether there is data to show)
_FIGURES = {
    "drift": (
        drift,
        "Moving statistics against those of the data",
        "Each norm in the order of the network: a point at the median over its channels, a band with 80 % of them, and "
        "a dash at the maximum. Channels are healthy below the dotted line in the upper panel, and between the dotted "
        "lines in the lower one. Values below 1e-4 are drawn at 1e-4.",
        _has("drift"),
    ),
    "gamma": (
        gamma,
        "Gamma",
        "The median over the channels, and a band from the minimum to the maximum. A channel with a gamma near zero "
        "has almost no effect.",
        _has("gamma"),
    ),
    "channels": (
        channels,
        "Channels and activations",
        "Dead channels hardly vary over the data. Exploding channels are not finite, or their root mean square is "
        "above 100. ReLU is flat for half of the values by design.",
        lambda report: report.norms,
    ),
    "gradients": (
        gradients,
        "Gradients along the depth",
        "Each linear layer in the order of the network. If the line falls steadily towards the input, the gradient "
        "vanishes. A red line marks a gradient that is not finite.",
        lambda report: report.gradients,
    ),
}
