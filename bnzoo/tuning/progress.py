"""The live view of a study: trials done, the last outcome, best so far, time left."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from bnzoo.metrics import ACCURACY, metric_named
from bnzoo.tuning.results import Results, TrialResult

if TYPE_CHECKING:
    from bnzoo.tuning.study import Study

# a trial starts (its values and seed) or has ended; of workers in other processes the parent hears only of the end
Event = dict[str, Any] | TrialResult

_COLOURS = {"ok": "green", "stalled": "yellow", "diverged": "red", "pruned": "cyan", "failed": "bold red"}


class _Done(ProgressColumn):
    """Trials done, of how many if that is known."""

    def render(self, task: Task) -> Text:
        total = "—" if task.total is None else f"{task.total:.0f}"
        return Text(f"{task.completed:.0f}/{total}", style="bold")


class _TimeLeft(ProgressColumn):
    """Time left at the mean pace of this run so far; deeper networks come last, so it errs on the short side."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        done = task.completed - task.fields["resumed"]
        if task.elapsed is None or task.total is None or done <= 0:
            return Text("-:-- left")
        seconds = int(task.elapsed / done * (task.total - task.completed))
        return Text(f"{seconds // 60}:{seconds % 60:02d} left")


@contextmanager
def progress_bar(study: "Study", console: Console | None = None, total: int | None = None) -> Iterator[Callable]:
    """A live bar on a terminal; a line a trial elsewhere.

    Args:
        study: The study that is about to run.
        console: A `rich.console.Console`, stderr by default.
        total: Integer, how many trials the study will have. By default `study.results.size`, unless that is no more
            than what is done: then how many there will be is not known, as under a budget of seconds.

    Yields:
        What `Study.run` takes as `progress`.
    """
    console = console or Console(stderr=True)
    count = _Count(study, total)
    if not console.is_terminal:
        yield _lines(console, count)
        return
    columns = (_Done(), BarColumn(bar_width=24), _TimeLeft(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=count.total(study), completed=count.resumed, resumed=count.resumed)
        now = last = ""

        def show(study: "Study", event: Event) -> None:
            nonlocal now, last
            if isinstance(event, TrialResult):
                last = f"last: {_outcome(event, study, colour=True)}"
            else:
                now = escape(_words(event))
            description = " | ".join(part for part in (now, last, escape(_best(study))) if part)
            bar.update(task, completed=len(study.results), total=count.total(study), description=description)

        yield show


class _Count:
    """How many trials were there at the start, and how many there will be."""

    def __init__(self, study: "Study", total: int | None) -> None:
        self.resumed = len(study.results)
        self._given = total
        self._known = total is not None or study.results.size > self.resumed

    def total(self, study: "Study") -> int | None:
        """The number of trials of the study; `None` if that is not known."""
        if not self._known:
            return None
        return study.results.size if self._given is None else max(self._given, len(study.results))


def _lines(console: Console, count: _Count) -> Callable:
    start = time.monotonic()

    def show(study: "Study", event: Event) -> None:
        if not isinstance(event, TrialResult):
            return
        done, total = len(study.results), count.total(study)
        left = "unknown"
        if total is not None and done > count.resumed:
            left = f"{(time.monotonic() - start) / (done - count.resumed) * (total - done):.0f} s"
        words = _words({**event.values, "seed": event.seed})
        text = f"{done}/{'—' if total is None else total} {words}: {_outcome(event, study)} | {_best(study)}"
        console.print(f"{text} | {left} left", highlight=False, markup=False, soft_wrap=True)

    return show


def _words(values: Mapping[str, Any]) -> str:
    """As `depth 8 batch lr 0.01 seed 0`, with what else was searched in between."""
    names = {"norm": "", "learning_rate": "lr "}
    return " ".join(
        f"{names.get(axis, axis.replace('_', ' ') + ' ')}{Results.text(entry)}" for axis, entry in values.items()
    )


def _outcome(trial: TrialResult, study: "Study", colour: bool = False) -> str:
    figure = f" {_figure(trial, study)}" if trial.outcome == "ok" else ""
    word = f"[{_COLOURS[trial.outcome]}]{trial.outcome}[/]" if colour else trial.outcome
    return word + figure


def _best(study: "Study") -> str:
    best = study.results.best
    if best is None:
        return "no best yet"
    return f"best {_figure(best, study)} at lr {best.learning_rate:.3g} depth {best.depth}"


def _figure(trial: TrialResult, study: "Study") -> str:
    metric = metric_named(study.results.metric)
    # a percentage needs no label
    label = "" if metric is ACCURACY else f"{metric.label} "
    return label + metric.short_text(trial.accuracy)
