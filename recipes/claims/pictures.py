"""Drawing functions that the pictures of the claims share."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def panels(
    count: int, width: float = 4.2, height: float = 3.4, share_y: bool = True, rows: int = 1
) -> tuple[Figure, list[Axes]]:
    """Create a figure with `count` panels in each row. The panels of a row share the vertical axis."""
    figure = Figure(figsize=(max(width * count, 4.8), height), layout="constrained")
    axes = list(figure.subplots(rows, count, squeeze=False, sharey="row" if share_y else False).flat)
    for shown in axes:
        shown.grid(alpha=0.25)
        shown.spines[["top", "right"]].set_visible(False)
    return figure, axes


def mean_and_seeds(
    axes: Axes, rows: pd.DataFrame, x: str, value: str, *, label: str, colour: str, scale: float = 100, **line: Any
) -> None:
    """Draw a line through the means over seeds, and a point for every seed.

    Args:
        axes: The axes to draw into.
        rows: Data frame with the columns `x` and `value`.
        x: The column of the horizontal axis.
        value: The column of the vertical axis.
        label: The label of the line in the legend.
        colour: The colour of line and points.
        scale: Float, a factor for the values: 100 for percent.
        **line: Further arguments of the line.
    """
    means = scale * rows.groupby(x)[value].mean()
    axes.plot(means.index, means, color=colour, label=label, **line)
    axes.plot(rows[x], scale * rows[value], "o", color=colour, markersize=3, alpha=0.45)


def arms_with_seeds(
    rows: pd.DataFrame,
    *,
    panel: str,
    arm: str,
    value: str,
    names: Mapping[str, str],
    label: str = "test accuracy, %",
) -> Figure:
    """Draw a panel for each value of a column. Each arm has a point for every seed, and a bar at the mean."""
    parts = list(dict.fromkeys(rows[panel]))
    figure, axes = panels(len(parts), width=3.4, share_y=False)
    for shown, part in zip(axes, parts, strict=True):
        of_part = rows[rows[panel] == part]
        arms = [each for each in names if each in set(of_part[arm])]
        for position, each in enumerate(arms):
            percent = 100 * of_part.loc[of_part[arm] == each, value]
            beside = [position + 0.24 * (i / max(len(percent) - 1, 1) - 0.5) for i in range(len(percent))]
            shown.plot(beside, percent, "o", color=f"C{position}", alpha=0.6)
            shown.plot([position - 0.25, position + 0.25], [percent.mean()] * 2, color=f"C{position}", linewidth=3)
        shown.set_xticks(range(len(arms)), [names[each] for each in arms])
        shown.set(title=str(part), xlim=(-0.5, len(arms) - 0.5))
    axes[0].set_ylabel(label)
    return figure


def log_axis(axes: Axes, values: Sequence[float], label: str, base: int = 10) -> None:
    """Make the horizontal axis logarithmic, with a tick at each value."""
    axes.set_xscale("log", base=base)
    axes.set_xticks(list(values), [f"{value:.2g}" if value < 10 else f"{value:g}" for value in values])
    axes.minorticks_off()
    axes.set_xlabel(label)
