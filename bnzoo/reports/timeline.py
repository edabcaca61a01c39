"""The timeline of a study: the time that each worker spent on each trial."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bnzoo.reports.layout import scale_scores

if TYPE_CHECKING:
    from bnzoo.tuning.results import Results
    from bnzoo.tuning.trial_result import TrialResult


PAUSE = 60.0  # seconds without a running trial; longer pauses, in which the study was stopped, are cut out
COLOURS = {"ok": "#2e8b57", "stalled": "#e0a800", "diverged": "#c8402f", "pruned": "#5b8fd0", "failed": "#6b2d8b"}
COMPILE = "0.35"


@dataclass(frozen=True)
class Bar:
    """A trial with its start in seconds since the first trial, without pauses."""

    trial: "TrialResult"
    start: float

    @property
    def end(self) -> float:
        """The end of the training."""
        return self.start + self.trial.compile_seconds + self.trial.train_seconds


def timed(results: "Results") -> list["TrialResult"]:
    """Return the trials with a known start, in this order."""
    return sorted((t for t in results.trials if math.isfinite(t.started)), key=lambda trial: trial.started)


def bars(results: "Results") -> tuple[list[Bar], list[float]]:
    """Return the bars of all trials, and the times at which a pause was cut out."""
    bars: list[Bar] = []
    cuts: list[float] = []
    offset = until = 0.0
    for trial in timed(results):
        if not bars:
            offset = until = trial.started
        if trial.started - until > PAUSE:
            cuts.append(until - offset)
            offset += trial.started - until
        bars.append(Bar(trial, trial.started - offset))
        until = max(until, trial.started + trial.compile_seconds + trial.train_seconds)
    return bars, cuts


def timeline(results: "Results", narrow: bool = False) -> Figure:
    """Plot one lane per worker and one bar per trial, with compiling and training; below, the best score so far."""
    trials, cuts = bars(results)
    workers = sorted({bar.trial.worker for bar in trials})
    lanes = 0.32 * len(workers) + 0.9
    figure = Figure(figsize=(4.6 if narrow else 9.2, lanes + 3.4), layout="constrained")
    work, best = figure.subplots(2, 1, sharex=True, height_ratios=[lanes, 2.9])
    unit, name = _unit(max(bar.end for bar in trials))
    for lane, worker in enumerate(workers):
        _lane(work, [bar for bar in trials if bar.trial.worker == worker], lane, unit)
    work.set_yticks(range(len(workers)), [worker or "worker" for worker in workers], fontsize="small")
    work.invert_yaxis()
    _best_so_far(best, trials, unit)
    for axes in (work, best):
        for cut in cuts:
            axes.axvline(cut / unit, color="0.5", linestyle="--", linewidth=1)
    best.set_xlabel(f"{name} since the first trial")
    present = [o for o in COLOURS if any(bar.trial.outcome == o for bar in trials)]
    keys = [Patch(color=COMPILE, label="compiling"), *(Patch(color=COLOURS[o], label=o) for o in present)]
    figure.legend(handles=keys, loc="outside upper center", ncols=3 if narrow else 6, frameon=False, fontsize="small")
    return figure


def caption(results: "Results") -> str:
    """Return the caption of the figure, with the number of workers and the time."""
    trials, cuts = bars(results)
    compiling = sum(bar.trial.compile_seconds for bar in trials)
    working = compiling + sum(bar.trial.train_seconds for bar in trials)
    share = compiling / working if working else 0
    workers, end = len({bar.trial.worker for bar in trials}), max(bar.end for bar in trials)
    text = (
        f"{workers} worker{'s' * (workers > 1)} worked {working:.0f} s in total, within {end:.0f} s. Compiling took "
        f"{share:.0%} of the work. The lower panel shows the best score so far as a step function, and the score of "
        "each trial as a point."
    )
    if cuts:
        text += f" Dashed lines mark {len(cuts)} pause{'s' * (len(cuts) > 1)}, which are cut out."
    if missing := len(results) - len(trials):
        text += f" The start of {missing} trial{'s' * (missing > 1)} is not known."
    return text


def _lane(axes: Axes, trials: list[Bar], lane: int, unit: float) -> None:
    pieces: dict[str, list[tuple[float, float]]] = {}
    for bar in trials:
        compiling = bar.trial.compile_seconds
        pieces.setdefault(COMPILE, []).append((bar.start / unit, compiling / unit))
        trained = (bar.start + compiling) / unit, bar.trial.train_seconds / unit
        pieces.setdefault(COLOURS[bar.trial.outcome], []).append(trained)
    for colour, spans in pieces.items():
        axes.broken_barh(spans, (lane - 0.4, 0.8), color=colour, edgecolor="white", linewidth=0.4)


def _best_so_far(axes: Axes, trials: list[Bar], unit: float) -> None:
    good = sorted((bar for bar in trials if bar.trial.outcome == "ok"), key=lambda bar: bar.end)
    ends = np.array([bar.end for bar in good]) / unit
    scores = np.array([bar.trial.score for bar in good])
    axes.plot(ends, scores, ".", color="0.6", markersize=4)
    scale_scores(axes, scores.tolist())
    if good:
        last = max(bar.end for bar in trials) / unit
        least = np.minimum.accumulate(scores)
        axes.step([*ends, last], [*least, least[-1]], where="post", color=COLOURS["ok"])
    axes.set(ylabel="best score so far")
    axes.grid(alpha=0.25)


def _unit(seconds: float) -> tuple[float, str]:
    return (1.0, "seconds") if seconds < 300 else (60.0, "minutes") if seconds < 3 * 3600 else (3600.0, "hours")
