"""What recalibrating the statistics of batch norm changes."""

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from bnzoo.tuning.results import Results


def measured(results: "Results") -> pd.DataFrame:
    """The usable configurations whose norm keeps moving statistics: where these give another score than the data's."""
    usable = results.usable
    other = usable.loc[(usable["moving_score"] - usable["score"]).abs() > 1e-9, "norm"].unique()
    return usable[usable["norm"].isin(other)].reset_index(drop=True)


def moving_against_recalibrated(results: "Results", narrow: bool = False) -> Figure:
    """The score with the moving statistics over that with recalibrated ones, a configuration a point."""
    table = measured(results)
    figure = Figure(figsize=(4.6, 4.2) if narrow else (5.6, 4.8), layout="constrained")
    axes = figure.subplots()
    for norm, rows in table.groupby("norm", sort=False):
        axes.plot(rows["score"], rows["moving_score"], "o", markersize=5, alpha=0.8, label=norm)
    scores = table[["score", "moving_score"]].clip(lower=1e-6)
    ends = scores.min().min() / 1.2, scores.max().max() * 1.2
    axes.plot(ends, ends, color="0.6", linewidth=1, zorder=0)
    axes.axhline(results.cap, color="0.6", linestyle=":", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="validation loss, recalibrated", ylabel="with the moving statistics")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize="small")
    return figure


def caption(results: "Results") -> str:
    """What the figure says, in words: how the two rank the configurations."""
    table = measured(results)
    told = "Far above the line are configurations that the moving statistics, which lag behind, would have lost."
    if len(table) < 2:
        return told
    ranks, moving = table["score"].rank(), table["moving_score"].rank()
    otherwise = int((ranks != moving).sum())
    told += f" {otherwise} of {len(table)} would rank otherwise"
    if ranks.nunique() > 1 and moving.nunique() > 1:
        told += f" (rank correlation {ranks.corr(moving):.2f})"
    chosen = table.loc[table["moving_score"].idxmin()]
    if chosen["score"] > table["score"].min():
        told += (
            f"; they would have chosen {results.words(chosen)}, whose loss is {chosen['score']:.4f} and not "
            f"{table['score'].min():.4f}"
        )
    return f"{told}."
