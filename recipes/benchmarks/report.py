"""The output of a benchmark: tables as CSV, and a bar chart."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from bnzoo.files import whole_file

Bar = tuple[str, float, str]


def bars(groups: Mapping[str, Sequence[Bar]], title: str) -> Figure:
    """Draw groups of horizontal bars, with a line at 1.

    Args:
        groups: Dict from the name of a group to its bars: label, length and colour.
        title: String, the label of the axis.
    """
    figure = Figure(figsize=(9, 1.2 + 0.19 * sum(map(len, groups.values()))), layout="constrained")
    axes = figure.subplots()
    for position, group in enumerate(groups.values()):
        height = 0.8 / len(group)
        for offset, (label, length, colour) in enumerate(group):
            y = position - 0.4 + (offset + 0.5) * height
            axes.barh(y, length, height, color=colour)
            axes.text(length + 0.01, y, label, va="center", fontsize=8)
    axes.set_yticks(range(len(groups)), list(groups))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25 * max(length for group in groups.values() for _, length, _ in group))
    axes.set_xlabel(title)
    axes.axvline(1, color="0.4", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def save(folder: Path, frames: Mapping[str, pd.DataFrame], charts: Mapping[str, Figure]) -> None:
    """Write tables and charts atomically, and print their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        with whole_file(folder / name) as draft:
            frame.to_csv(draft, index=False)
    for name, figure in charts.items():
        with whole_file(folder / name) as draft:
            figure.savefig(draft, dpi=100)
    print(f"{folder}: {', '.join([*frames, *charts])}")
