"""The pictures of a study of learning rate, depth and norm."""

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Patch, Rectangle

if TYPE_CHECKING:
    from bnzoo.tuning.results import Results

_COLOURS = mpl.colormaps["viridis_r"]
_HATCHES = {"diverged": "////", "stalled": "....", "failed": "xxxx"}
_WORST_FIRST = ("failed", "diverged", "stalled", "ok")


def heatmap(results: "Results") -> Figure:
    """Score over learning rate x depth, a panel a norm.

    Colour is the mean score on a log scale, the number the mean accuracy; cells of which a seed was not `ok` are
    hatched; the best learning rate of each depth is ringed, the best of all twice.
    """
    norms, depths, rates = _axes(results)
    figure = Figure(figsize=(max(6.0, 0.85 * len(rates) + 1.6), len(norms) * (0.62 * len(depths) + 1.15)))
    panels = figure.subplots(len(norms), 1, squeeze=False)[:, 0]
    scores = [trial.score for trial in results.trials]
    scale = LogNorm(max(min(scores), 1e-4), max(*scores, 2e-4))
    for axes, norm in zip(panels, norms, strict=True):
        for row, depth in enumerate(depths):
            for column, rate in enumerate(rates):
                _cell(axes, results.of(depth, norm, rate), (column, row), scale)
        _rings(axes, results, norm, depths, rates)
        axes.set(xlim=(-0.5, len(rates) - 0.5), ylim=(-0.5, len(depths) - 0.5), ylabel="depth", title=f"norm: {norm}")
        axes.set_xticks(range(len(rates)), [f"{rate:.3g}" for rate in rates])
        axes.set_yticks(range(len(depths)), [str(depth) for depth in depths])
        axes.tick_params(length=0)
    panels[-1].set_xlabel("learning rate")
    present = [o for o in _HATCHES if results.counts[o]]
    if present:
        keys = [Patch(facecolor="0.92", edgecolor="0.35", hatch=_HATCHES[o], label=f"a seed {o}") for o in present]
        figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), frameon=False)
    figure.colorbar(
        mpl.cm.ScalarMappable(scale, _COLOURS), ax=list(panels), label="validation loss, recalibrated", pad=0.02
    )
    figure.set_layout_engine("constrained")
    return figure


def score_against_learning_rate(results: "Results") -> Figure:
    """A panel a norm, a line a depth through the means, every seed a point; what did not train is on a rail on top."""
    norms, depths, rates = _axes(results)
    figure = Figure(figsize=(4.6 * len(norms), 3.8), layout="constrained")
    panels = figure.subplots(1, len(norms), squeeze=False, sharey=True)[0]
    rail = results.cap * 1.8
    for axes, norm in zip(panels, norms, strict=True):
        for index, depth in enumerate(depths):
            trials = [t for t in results.trials if t.norm == norm and t.depth == depth]
            colour = f"C{index}"
            good = [t for t in trials if t.outcome == "ok"]
            lost = [t for t in trials if t.outcome != "ok"]
            means = [(r, np.mean([t.score for t in good if t.learning_rate == r])) for r in rates if _any(good, r)]
            axes.plot(*zip(*means, strict=True) if means else ([], []), color=colour, label=f"depth {depth}")
            axes.plot([t.learning_rate for t in good], [t.score for t in good], "o", color=colour, markersize=4)
            beside = 1.12 ** (index - (len(depths) - 1) / 2)  # or the crosses of the depths would hide each other
            axes.plot([t.learning_rate * beside for t in lost], [rail] * len(lost), "x", color=colour, markersize=6)
        axes.axhline(rail, color="0.8", linewidth=6, zorder=0)
        axes.axhline(results.cap / 2, color="0.6", linestyle=":", linewidth=1)
        axes.set(xscale="log", yscale="log", xlabel="learning rate", title=f"norm: {norm}")
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("validation loss, recalibrated\n(x: stalled, diverged or failed; dotted: guessing)")
    panels[0].legend(frameon=False)
    return figure


def learning_curves(results: "Results") -> Figure:
    """A panel a depth: training and validation loss of each norm at its best learning rate, the best seed."""
    norms, depths, _ = _axes(results)
    figure = Figure(figsize=(4.6 * len(depths), 3.8), layout="constrained")
    panels = figure.subplots(1, len(depths), squeeze=False, sharey=True)[0]
    for axes, depth in zip(panels, depths, strict=True):
        for index, norm in enumerate(norms):
            good = [t for t in results.trials if (t.depth, t.norm, t.outcome) == (depth, norm, "ok")]
            if not good:
                continue
            best = min(good, key=lambda trial: trial.score)
            epochs = range(1, len(best.history["loss"]) + 1)
            axes.plot(epochs, best.history["loss"], "--", color=f"C{index}", alpha=0.7)
            axes.plot(epochs, best.history["val_loss"], "-", color=f"C{index}")
            axes.plot([], [], color=f"C{index}", label=f"{norm}, lr {best.learning_rate:.3g}")
        axes.set(yscale="log", xlabel="epoch", title=f"depth {depth}")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        handles, _ = axes.get_legend_handles_labels()
        styles = [
            Line2D([], [], color="0.4", linestyle="--", label="training"),
            Line2D([], [], color="0.4", linestyle="-", label="validation"),
        ]
        axes.legend(handles=[*handles, *(styles if axes is panels[0] else [])], frameon=False, fontsize="small")
    panels[0].set_ylabel("loss (moving statistics)")
    return figure


def _axes(results: "Results") -> tuple[list[str], list[int], list[float]]:
    """Norms in the order of the study, depths and learning rates ascending."""
    trials = results.trials
    return (
        list(dict.fromkeys(trial.norm for trial in trials)),
        sorted({trial.depth for trial in trials}),
        sorted({trial.learning_rate for trial in trials}),
    )


def _any(trials: list, rate: float) -> bool:
    return any(trial.learning_rate == rate for trial in trials)


def _cell(axes: Axes, trials: list, place: tuple[int, int], scale: LogNorm) -> None:
    if not trials:
        return
    outcome = next(o for o in _WORST_FIRST if any(trial.outcome == o for trial in trials))
    corner = (place[0] - 0.5, place[1] - 0.5)
    score = float(np.clip(np.mean([trial.score for trial in trials]), scale.vmin, scale.vmax))
    if outcome != "ok":
        axes.add_patch(
            Rectangle(corner, 1, 1, facecolor="0.92", edgecolor="0.35", hatch=_HATCHES[outcome], linewidth=0)
        )
        return
    colour = _COLOURS(scale(score))
    axes.add_patch(Rectangle(corner, 1, 1, facecolor=colour, edgecolor="white"))
    ink = "white" if np.dot(colour[:3], (0.3, 0.59, 0.11)) < 0.55 else "black"
    accuracy = np.mean([trial.accuracy for trial in trials])
    axes.text(*place, f"{100 * accuracy:.1f}", ha="center", va="center", color=ink, fontsize=9)


def _rings(axes: Axes, results: "Results", norm: str, depths: list[int], rates: list[float]) -> None:
    usable = results.usable
    for row, depth in enumerate(depths):
        of_depth = usable[(usable["norm"] == norm) & (usable["depth"] == depth)]
        if of_depth.empty:
            continue
        place = (rates.index(of_depth.iloc[0]["learning_rate"]), row)
        best_of_all = of_depth.index[0] == 0
        for size in (0.86, 0.74) if best_of_all else (0.86,):
            axes.add_patch(Ellipse(place, size, size, fill=False, edgecolor="crimson", linewidth=1.8))
