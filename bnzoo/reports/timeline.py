"""Where the time of a study went."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

if TYPE_CHECKING:
    from bnzoo.tuning.results import Results, TrialResult


PAUSE = 60.0  # seconds in which nobody works that are cut out: the study was stopped and gone on with
COLOURS = {"ok": "#2e8b57", "stalled": "#e0a800", "diverged": "#c8402f", "pruned": "#5b8fd0", "failed": "#6b2d8b"}
COMPILE = "0.35"


@dataclass(frozen=True)
class Bar:
    """A trial on the clock of the study, in seconds since its first trial, pauses left out."""

    trial: "TrialResult"
    start: float

    @property
    def end(self) -> float:
        """When it had been trained."""
        return self.start + self.trial.compile_seconds + self.trial.train_seconds


def timed(results: "Results") -> list["TrialResult"]:
    """The trials of which it is known when they started, in that order."""
    return sorted((t for t in results.trials if math.isfinite(t.started)), key=lambda trial: trial.started)


def bars(results: "Results") -> tuple[list[Bar], list[float]]:
    """The trials on the clock of the study, and the moments at which a pause was cut out."""
    found: list[Bar] = []
    cuts: list[float] = []
    away = until = 0.0
    for trial in timed(results):
        if not found:
            away = until = trial.started
        if trial.started - until > PAUSE:
            cuts.append(until - away)
            away += trial.started - until
        found.append(Bar(trial, trial.started - away))
        until = max(until, trial.started + trial.compile_seconds + trial.train_seconds)
    return found, cuts


def timeline(results: "Results", narrow: bool = False) -> Figure:
    """A lane a worker and a bar a trial, compiling and training apart; below it the best score so far."""
    found, cuts = bars(results)
    workers = sorted({bar.trial.worker for bar in found})
    lanes = 0.32 * len(workers) + 0.9
    figure = Figure(figsize=(4.6 if narrow else 9.2, lanes + 3.4), layout="constrained")
    work, best = figure.subplots(2, 1, sharex=True, height_ratios=[lanes, 2.9])
    unit, name = _unit(max(bar.end for bar in found))
    for lane, worker in enumerate(workers):
        _lane(work, [bar for bar in found if bar.trial.worker == worker], lane, unit)
    work.set_yticks(range(len(workers)), [worker or "worker" for worker in workers], fontsize="small")
    work.invert_yaxis()
    _best_so_far(best, found, unit)
    for axes in (work, best):
        for cut in cuts:
            axes.axvline(cut / unit, color="0.5", linestyle="--", linewidth=1)
    best.set_xlabel(f"{name} since the first trial")
    present = [o for o in COLOURS if any(bar.trial.outcome == o for bar in found)]
    keys = [Patch(color=COMPILE, label="compiling"), *(Patch(color=COLOURS[o], label=o) for o in present)]
    figure.legend(handles=keys, loc="outside upper center", ncols=3 if narrow else 6, frameon=False, fontsize="small")
    return figure


def caption(results: "Results") -> str:
    """What the figure says, in words."""
    found, cuts = bars(results)
    compiling = sum(bar.trial.compile_seconds for bar in found)
    working = compiling + sum(bar.trial.train_seconds for bar in found)
    share = f"{compiling / working:.0%} of it to compile" if working else "none of it to compile"
    workers = len({bar.trial.worker for bar in found})
    told = (
        f"{workers} worker{'s' * (workers > 1)} took {working:.0f} s of work in {max(bar.end for bar in found):.0f} s, "
        f"{share}. Below, the step is the best score so far and a point is the score of a trial."
    )
    if cuts:
        told += f" Dashed: {len(cuts)} pause{'s' * (len(cuts) > 1)} in which nobody worked, left out."
    if missing := len(results) - len(found):
        told += f" Of {missing} trial{'s' * (missing > 1)} it is not known when they ran."
    return told


def _lane(axes: Axes, found: list[Bar], lane: int, unit: float) -> None:
    pieces: dict[str, list[tuple[float, float]]] = {}
    for bar in found:
        compiling = bar.trial.compile_seconds
        pieces.setdefault(COMPILE, []).append((bar.start / unit, compiling / unit))
        trained = (bar.start + compiling) / unit, bar.trial.train_seconds / unit
        pieces.setdefault(COLOURS[bar.trial.outcome], []).append(trained)
    for colour, spans in pieces.items():
        axes.broken_barh(spans, (lane - 0.4, 0.8), color=colour, edgecolor="white", linewidth=0.4)


def _best_so_far(axes: Axes, found: list[Bar], unit: float) -> None:
    good = sorted((bar for bar in found if bar.trial.outcome == "ok"), key=lambda bar: bar.end)
    ends = np.array([bar.end for bar in good]) / unit
    scores = np.array([bar.trial.score for bar in good])
    axes.plot(ends, scores, ".", color="0.6", markersize=4)
    if good:
        last = max(bar.end for bar in found) / unit
        least = np.minimum.accumulate(scores)
        axes.step([*ends, last], [*least, least[-1]], where="post", color=COLOURS["ok"])
        axes.set(yscale="log")
    axes.set(ylabel="best score so far")
    axes.grid(alpha=0.25)


def _unit(seconds: float) -> tuple[float, str]:
    return (1.0, "seconds") if seconds < 300 else (60.0, "minutes") if seconds < 3 * 3600 else (3600.0, "hours")
