"""The picture of learning-rate range tests: the loss over the learning rate."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bnzoo.files import whole_file
from bnzoo.reports.layout import panels
from bnzoo.reports.page import draw, write

if TYPE_CHECKING:
    from bnzoo.tuning.rates import RateTest


def rate_curves(tests: Sequence["RateTest"]) -> Figure:
    """Plot the loss of each batch over the learning rate, one panel per test, with the usable rates shaded."""
    figure, shown = panels(len(tests), narrow=False)
    for axes, test in zip(shown, tests, strict=True):
        _curve(axes, test)
    finite = [test.smoothed for test in tests if np.isfinite(test.start)]
    if finite:
        low, high = np.min(finite), np.max(finite)
        margin = 0.1 * (high - low) or 0.1
        shown[0].set(ylim=(low - margin, high + margin))  # that of all panels
    shown[0].set_ylabel("training loss of a batch")
    figure.legend(handles=_keys(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _keys() -> list[Artist]:
    return [
        Line2D([], [], color="C0", linewidth=0.7, alpha=0.5, label="an order of the data"),
        Line2D([], [], color="C0", linewidth=2, label="mean, smoothed"),
        Patch(color="C2", alpha=0.15, linewidth=0, label="usable"),
        Line2D([], [], color="C2", linestyle="--", label="suggested"),
    ]


def write_rates(tests: Sequence["RateTest"], path: str | Path) -> None:
    """Write the picture of range tests as PNG or SVG.

    Args:
        tests: Sequence of `bnzoo.tuning.RateTest`.
        path: The file, whose suffix decides. Its folder must exist.

    Raises:
        ValueError: If it has another suffix.
    """
    path = Path(path)
    if path.suffix not in (".png", ".svg"):
        raise ValueError(f"`path` must end in .png or .svg. Received: {path}")
    figure, svg = draw("rates", rate_curves, tests)
    with whole_file(path) as draft:
        if path.suffix == ".svg":
            draft.write_text(svg, encoding="utf-8")
        else:
            write(figure, draft, dpi=150)


def _curve(axes: Axes, test: "RateTest") -> None:
    for losses in test.losses:
        axes.plot(test.rates, losses, color="C0", linewidth=0.7, alpha=0.35)
    axes.plot(test.rates, test.smoothed, color="C0", linewidth=2)
    if test.interval is not None and test.suggested is not None:
        axes.axvspan(*test.interval, color="C2", alpha=0.15, linewidth=0)
        axes.axvline(test.suggested, color="C2", linestyle="--")
    axes.set(xscale="log", xlabel="learning rate")
    axes.set_title(test.name, parse_math=False)  # a name may have dollar signs
