"""How the axes of a study are laid out in its pictures: what is a row, what a panel, what a column."""

import itertools
import math
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from bnzoo.tuning.results import Results, TrialResult


MOST_SERIES = 12  # more panels than these nobody compares
MOST_RATES = 12  # more learning rates than these were sampled: neighbours share a column
SIDE_BY_SIDE = 3


@dataclass(frozen=True)
class Layout:
    """The rows and the series of a study.

    A row is a depth; where depth does not vary, a value of the axis with the most. A series is a combination of the
    other axes but the learning rate.

    Args:
        results: `Results`.
        most: Integer, the number of series that are shown.
    """

    results: "Results"
    most: int = MOST_SERIES

    @cached_property
    def varying(self) -> list[str]:
        """The axes with more than one value, without the learning rate."""
        return [axis for axis, values in self.results.axes.items() if len(values) > 1 and axis != "learning_rate"]

    @cached_property
    def row(self) -> str:
        """The axis of the rows."""
        if "depth" in self.varying or not self.varying:
            return "depth"
        return max(self.varying, key=lambda axis: len(self.results.axes[axis]))

    @cached_property
    def rows(self) -> list[Any]:
        """The values of the axis of the rows."""
        return self.results.axes[self.row]

    @cached_property
    def all_series(self) -> list[dict[str, Any]]:
        """The combinations of the other axes that were tried, in the order of the study."""
        axes = {axis: values for axis, values in self.results.axes.items() if axis not in (self.row, "learning_rate")}
        tried = {tuple(trial.values.get(axis) for axis in axes) for trial in self.results.trials}
        places = [{entry: place for place, entry in enumerate(values)} for values in axes.values()]
        order = sorted(tried, key=lambda key: [place.get(part, -1) for place, part in zip(places, key, strict=True)])
        return [dict(zip(axes, key, strict=True)) for key in order]

    @cached_property
    def series(self) -> list[dict[str, Any]]:
        """Those that are shown: all of them, or the best."""
        scores = [self._best(series) for series in self.all_series]
        kept = sorted(np.argsort(scores, kind="stable")[: self.most])
        return [self.all_series[place] for place in kept]

    @property
    def left_out(self) -> str:
        """A sentence on the series that are not shown."""
        if len(self.series) == len(self.all_series):
            return ""
        return f" Shown are the best {len(self.series)} of {len(self.all_series)} combinations of the other axes."

    def label(self, series: Mapping[str, Any]) -> str:
        """What tells a series from the others."""
        telling = [axis for axis in series if axis in self.varying] or ["norm" if "norm" in series else "depth"]
        return ", ".join(f"{axis.replace('_', ' ')} {self.results.text(series[axis])}" for axis in telling)

    def title(self, series: Mapping[str, Any]) -> str:
        """The same in lines that fit over a panel."""
        return textwrap.fill(self.label(series), 40)

    def trials(self, series: Mapping[str, Any], row: Any) -> list["TrialResult"]:
        """The trials of a series in a row."""
        return self.results.of({**series, self.row: row})

    @cached_property
    def columns(self) -> list[tuple[float, float]]:
        """The lowest and the highest learning rate of each column: one rate, or where many were sampled a range."""
        rates = self.results.axes["learning_rate"]
        if len(rates) <= MOST_RATES:
            return [(rate, rate) for rate in rates]
        edges = np.geomspace(rates[0], rates[-1], MOST_RATES + 1)
        edges[[0, -1]] = rates[0], rates[-1]  # not what rounding makes of them
        return list(itertools.pairwise(edges.tolist()))

    def column(self, rate: float) -> int:
        """The column of a learning rate."""
        return next(place for place, (_, high) in enumerate(self.columns) if rate <= high)

    def configurations(self, series: Mapping[str, Any], row: Any) -> Iterator[list["TrialResult"]]:
        """The trials of each configuration of a series in a row."""
        found: dict[float, list[TrialResult]] = {}
        for trial in self.trials(series, row):
            found.setdefault(trial.learning_rate, []).append(trial)
        yield from found.values()

    def _best(self, series: Mapping[str, Any]) -> float:
        return min((t.score for t in self.results.of(series) if t.outcome == "ok"), default=math.inf)


def matching(table: pd.DataFrame, values: Mapping[str, Any]) -> pd.DataFrame:
    """The rows of a table that have these values of some axes."""
    return table[np.logical_and.reduce([table[axis] == entry for axis, entry in values.items()])]


def panels(count: int, narrow: bool, width: float = 4.6, height: float = 3.8) -> tuple[Figure, list[Axes]]:
    """A figure of panels in rows of three, or one below the other for a narrow page."""
    columns = 1 if narrow else min(count, SIDE_BY_SIDE)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for unused in axes[count:]:
        unused.remove()
    for place, shown in enumerate(axes[:count]):
        shown.tick_params(labelleft=place % columns == 0)
        shown.grid(alpha=0.25)
    return figure, axes[:count]


def legend_below(axes: Axes, handles: list[Artist]) -> None:
    """A legend under a panel, as inside it would hide what is shown."""
    place = (0.5, -0.16)
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=place, frameon=False, fontsize="small")


def colours(count: int) -> list[Any]:
    """A colour for each of so many lines."""
    if count <= 10:
        return [f"C{place}" for place in range(count)]
    return list(colormaps["viridis"](np.linspace(0, 0.95, count)))
