"""The metric of each network against its cost."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from bnzoo.metrics import metric_named
from bnzoo.metrics.pareto import on_front
from bnzoo.reports.layout import FEWEST, colours, panels, plain_ticks

if TYPE_CHECKING:
    from bnzoo.tuning.results import Results

_MULTIPLICATIONS = "multiplications"
# up to this many networks each has a label; of more, those on the front
_LABELLED = 8
# the axes that are in every label
_OWN = ("depth", "norm")
# costs within this factor need more places between the powers of ten
_SIMILAR = 10


def shown(results: "Results") -> list[str]:
    """Return the columns of the costs that are plotted: latencies, and multiplications, if they differ."""
    costs = [cost for cost in results.costs if cost != "parameters"]
    latencies_first = sorted(costs, key=_MULTIPLICATIONS.__eq__)
    return [cost for cost in latencies_first if results.networks(cost)[cost].nunique() >= FEWEST]


def title(results: "Results") -> str:
    """Return the title of the figure."""
    return f"{_upper(metric_named(results.metric).label)} against cost"


def metric_against_cost(results: "Results", narrow: bool = False) -> Figure:
    """Plot the metric of each network over its cost, with the range of the seeds and the Pareto front as a line."""
    columns = shown(results)
    figure, panel = panels(len(columns), narrow, height=4.2)
    for axes, cost in zip(panel, columns, strict=True):
        _points(axes, results, cost)
        axes.set(xscale="log", xlabel=_label(cost))
        axes.margins(x=0.25, y=0.12)
        plain_ticks(axes.xaxis)
        low, high = axes.get_xlim()
        if high < _SIMILAR * low:
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)))
        if cost == _MULTIPLICATIONS:
            axes.xaxis.set_major_formatter(lambda value, _: results.cost_text(_MULTIPLICATIONS, value))
    panel[0].set_ylabel(f"validation {metric_named(results.metric).label}")
    panel[0].legend(frameon=False, fontsize="small")
    return figure


def caption(results: "Results") -> str:
    """Return the caption of the figure."""
    metric = metric_named(results.metric).label
    seeds = " A bar is the range of the seeds, the point their mean." if results.definition["seeds"] > 1 else ""
    networks = max(len(results.networks(cost)) for cost in shown(results))
    *names, last = (axis.replace("_", " ") for axis in _label_axes(results))
    labels = f"{', '.join(names)} and {last}" + " of those on the front" * (networks > _LABELLED)
    return (
        f"Each network at its best learning rate, labelled with its {labels}. No other network is better than one on "
        f"the line in both {metric} and cost.{seeds} Multiplications are those of convolutions, dense layers and "
        "attention for one example. A latency is the median time of the exported artefact for one example, on the "
        "machine that measured it."
    )


def _points(axes: Axes, results: "Results", cost: str) -> None:
    name, metric = results.metric, metric_named(results.metric)
    table = results.networks(cost)
    table[cost] = table[cost].astype(float)
    front = on_front(table[cost].to_numpy(), table[name].map(metric.badness).to_numpy())
    line = table[front].sort_values([cost, name])
    axes.plot(line[cost], line[name], color="0.6", linewidth=1, zorder=0)
    norms = results.axes["norm"]
    for norm, colour in zip(norms, colours(len(norms)), strict=True):
        of_norm = table[table["norm"] == norm]
        ends = np.array([of_norm[name] - of_norm[f"{name}_low"], of_norm[f"{name}_high"] - of_norm[name]])
        axes.errorbar(
            of_norm[cost], of_norm[name], np.maximum(ends, 0), fmt="o", color=colour, capsize=3, label=f"norm {norm}"
        )
    labelled = table if len(table) <= _LABELLED else table[front]
    for _, row in labelled.iterrows():
        _annotate(axes, results, row, cost)


def _label_axes(results: "Results") -> list[str]:
    """Return depth, norm and the other axes that tell the networks apart."""
    others = [axis for axis, values in results.axes.items() if axis not in (*_OWN, "learning_rate") and len(values) > 1]
    return [*_OWN, *others]


def _annotate(axes: Axes, results: "Results", row: pd.Series, cost: str) -> None:
    name, text = results.metric, " ".join(results.text(row[axis]) for axis in _label_axes(results))
    axes.annotate(text, (row[cost], row[name]), (5, 4), textcoords="offset points", fontsize=8)


def _label(cost: str) -> str:
    return cost if cost == _MULTIPLICATIONS else f"latency of {cost.removesuffix('_ms')}, ms"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
