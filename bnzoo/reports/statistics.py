"""The effect of recalibrated statistics on scores."""

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from bnzoo.reports.layout import plain_ticks

if TYPE_CHECKING:
    from bnzoo.tuning.results import Results


def with_moving_statistics(results: "Results") -> pd.DataFrame:
    """Return the usable configurations of norms with moving statistics.

    A norm is included if any of its configurations has different scores with moving and with recalibrated statistics.
    """
    usable = results.usable
    norms = usable.loc[(usable["moving_score"] - usable["score"]).abs() > 1e-9, "norm"].unique()
    return usable[usable["norm"].isin(norms)].reset_index(drop=True)


def moving_against_recalibrated(results: "Results", narrow: bool = False) -> Figure:
    """Plot the score with moving statistics over that with recalibrated ones, one point per configuration."""
    table = with_moving_statistics(results)
    figure = Figure(figsize=(4.6, 4.2) if narrow else (5.6, 4.8), layout="constrained")
    axes = figure.subplots()
    for norm, rows in table.groupby("norm", sort=False):
        axes.plot(rows["score"], rows["moving_score"], "o", markersize=5, alpha=0.8, label=norm)
    scores = table[["score", "moving_score"]].clip(lower=1e-6)
    ends = scores.min().min() / 1.2, scores.max().max() * 1.2
    axes.plot(ends, ends, color="0.6", linewidth=1, zorder=0)
    axes.axhline(results.cap, color="0.6", linestyle=":", linewidth=1)
    axes.set(xscale="log", yscale="log")
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.set(xlabel="validation loss, recalibrated", ylabel="with the moving statistics")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize="small")
    return figure


def caption(results: "Results") -> str:
    """Return the caption of the figure, which compares the two rankings."""
    table = with_moving_statistics(results)
    text = "Configurations far above the line would be lost with the moving statistics, which lag behind."
    if len(table) < 2:
        return text
    ranks, moving = table["score"].rank(), table["moving_score"].rank()
    changed = int((ranks != moving).sum())
    text += f" {changed} of {len(table)} configurations would have another rank"
    if ranks.nunique() > 1 and moving.nunique() > 1:
        text += f" (rank correlation {ranks.corr(moving):.2f})"
    chosen = table.loc[table["moving_score"].idxmin()]
    if chosen["score"] > table["score"].min():
        text += (
            f"; the best one would be {results.words(chosen)}, with the loss {chosen['score']:.4f} instead of "
            f"{table['score'].min():.4f}"
        )
    return f"{text}."
