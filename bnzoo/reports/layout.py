"""The layout of a study's axes in figures: rows, series (panels) and columns."""

import itertools
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

if TYPE_CHECKING:
    from bnzoo.tuning.results import Results
    from bnzoo.tuning.trial_result import TrialResult


FEWEST = 2  # a panel with one point compares nothing
MOST_SERIES = 12  # more panels are hard to compare
MOST_RATES = 12  # more learning rates were sampled, so that several share a column
SIDE_BY_SIDE = 3
_LONG = 2.5  # powers of ten on an axis; the numbers of a longer one would overlap


@dataclass(frozen=True)
class Layout:
    """The rows and the series of a study.

    A row is a depth, or a value of the axis with the most values if depth does not vary. A series is a combination of
    the other axes without the learning rate.

    Args:
        results: `Results`.
        most: Integer, the maximum number of series that are shown.
        fewest: Integer, the minimum number of configurations of a series that is shown.
    """

    results: "Results"
    most: int = MOST_SERIES
    fewest: int = FEWEST

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
        ranks = [{value: number for number, value in enumerate(values)} for values in axes.values()]
        order = sorted(tried, key=lambda key: [rank.get(value, -1) for rank, value in zip(ranks, key, strict=True)])
        return [dict(zip(axes, key, strict=True)) for key in order]

    @cached_property
    def series(self) -> list[dict[str, Any]]:
        """The series that are shown: those with enough configurations, or the best of them."""
        scores = [self._best(series) for series in self._large]
        kept = sorted(np.argsort(scores, kind="stable")[: self.most])
        return [self._large[number] for number in kept]

    @cached_property
    def _large(self) -> list[dict[str, Any]]:
        return [series for series in self.all_series if self._size(series) >= self.fewest]

    @property
    def left_out(self) -> str:
        """A sentence about the series that are not shown, or an empty string."""
        text, small = "", len(self.all_series) - len(self._large)
        if len(self.series) < len(self._large):
            text = f" Only the best {len(self.series)} of {len(self._large)} combinations of the other axes are shown."
        if small:
            which = "1 combination" if small == 1 else f"{small} combinations"
            text += f" Not shown: {which} of the other axes with a single point."
        return text

    def label(self, series: Mapping[str, Any]) -> str:
        """Return the values that distinguish a series from the others, as text."""
        axes = [axis for axis in series if axis in self.varying] or ["norm" if "norm" in series else "depth"]
        return ", ".join(f"{axis.replace('_', ' ')} {self.results.text(series[axis])}" for axis in axes)

    def title(self, series: Mapping[str, Any]) -> str:
        """Return the label of a series in lines that fit above a panel."""
        values = self.label(series).split(", ")
        return textwrap.fill(", ".join(value.replace(" ", "\N{NO-BREAK SPACE}") for value in values), 40)

    def trials(self, series: Mapping[str, Any], row: Any) -> list["TrialResult"]:
        """Return the trials of a series in a row."""
        return self.results.of({**series, self.row: row})

    @cached_property
    def columns(self) -> list[tuple[float, float]]:
        """The lowest and the highest learning rate of each column: equal, or a range if many were sampled."""
        rates = self.results.axes["learning_rate"]
        if len(rates) <= MOST_RATES:
            return [(rate, rate) for rate in rates]
        edges = np.geomspace(rates[0], rates[-1], MOST_RATES + 1)
        edges[[0, -1]] = rates[0], rates[-1]  # without rounding errors
        return list(itertools.pairwise(edges.tolist()))

    def column(self, rate: float) -> int:
        """Return the column of a learning rate."""
        return next(number for number, (_, high) in enumerate(self.columns) if rate <= high)

    def configurations(self, series: Mapping[str, Any], row: Any) -> Iterator[list["TrialResult"]]:
        """Yield the trials of each configuration of a series in a row."""
        groups: dict[float, list[TrialResult]] = {}
        for trial in self.trials(series, row):
            groups.setdefault(trial.learning_rate, []).append(trial)
        yield from groups.values()

    def _size(self, series: Mapping[str, Any]) -> int:
        return len({(trial.values.get(self.row), trial.learning_rate) for trial in self.results.of(series)})

    def _best(self, series: Mapping[str, Any]) -> float:
        return min((t.score for t in self.results.of(series) if t.outcome == "ok"), default=math.inf)


def plain(value: float, _: object = None) -> str:
    """Return a number without an exponent, for the ticks of an axis."""
    return np.format_float_positional(value, precision=4, fractional=False, trim="-")


def scale_scores(axes: Axes, scores: Sequence[float]) -> None:
    """Make the axis of scores logarithmic, unless one is 0, which has no logarithm: that of a perfect model."""
    if min(scores, default=0) > 0:
        axes.set(yscale="log")
        plain_ticks(axes.yaxis)


def plain_ticks(axis: Axis) -> None:
    """Write plain numbers at an axis on a log scale, when its limits are known."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(ticks(low, high))
    axis.set_major_formatter(plain)
    axis.set_minor_locator(NullLocator())


def ticks(low: float, high: float) -> LogLocator:
    """Return the places of numbers on a log scale: 1, 2, 5, 10, ..., or powers of 10 on a long one."""
    return LogLocator(subs=(1.0, 2.0, 5.0) if high < 10**_LONG * low else (1.0,), numticks=12)


def matching(table: pd.DataFrame, values: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows of a table with these values of some axes."""
    return table[np.logical_and.reduce([table[axis] == entry for axis, entry in values.items()])]


def panels(count: int, narrow: bool, width: float = 4.6, height: float = 3.8) -> tuple[Figure, list[Axes]]:
    """Create a figure with panels in rows of three, or in one column for a narrow page."""
    columns = 1 if narrow else min(count, SIDE_BY_SIDE)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for unused in axes[count:]:
        unused.remove()
    for number, shown in enumerate(axes[:count]):
        shown.tick_params(labelleft=number % columns == 0)
        shown.grid(alpha=0.25)
    return figure, axes[:count]


def legend_below(axes: Axes, handles: list[Artist]) -> None:
    """Draw a legend below a panel, where it does not hide data."""
    anchor = (0.5, -0.16)
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=anchor, frameon=False, fontsize="small")


def colours(count: int) -> list[Any]:
    """Return distinct colours for a number of lines."""
    if count <= 10:
        return [f"C{number}" for number in range(count)]
    return list(colormaps["viridis"](np.linspace(0, 0.95, count)))
