"""The progress bar of a study: finished trials, the last outcome, the best result so far, and the time left."""

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

# the values and the seed of a trial that starts, or the result of one that has ended
Event = dict[str, Any] | TrialResult

_COLOURS = {"ok": "green", "stalled": "yellow", "diverged": "red", "pruned": "cyan", "failed": "bold red"}


class _Done(ProgressColumn):
    """The number of finished trials, and the total if it is known."""

    def render(self, task: Task) -> Text:
        """Return the text of the column."""
        total = "—" if task.total is None else f"{task.total:.0f}"
        return Text(f"{task.completed:.0f}/{total}", style="bold")


class _TimeLeft(ProgressColumn):
    """The time left at the mean pace of this run. It is too short where deeper networks come last."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Return the text of the column."""
        done = task.completed - task.fields["resumed"]
        if task.elapsed is None or task.total is None or done <= 0:
            return Text("-:-- left")
        seconds = int(task.elapsed / done * (task.total - task.completed))
        return Text(f"{seconds // 60}:{seconds % 60:02d} left")


@contextmanager
def progress_bar(study: "Study", console: Console | None = None, total: int | None = None) -> Iterator[Callable]:
    """Show a progress bar on a terminal, and one line per trial elsewhere.

    Args:
        study: The study that is about to run.
        console: A `rich.console.Console`. Default: standard error.
        total: Integer, the number of trials at the end. Default: `study.results.size`, if some of them have not run;
            otherwise it is not known, as with a budget in seconds.

    Yields:
        The function for the argument `progress` of `Study.run`.
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
    """The number of trials at the start and at the end of a run."""

    def __init__(self, study: "Study", total: int | None) -> None:
        self.resumed = len(study.results)
        self._total = total
        self._known = total is not None or study.results.size > self.resumed

    def total(self, study: "Study") -> int | None:
        """Return the number of trials at the end of the run, or `None` if it is not known."""
        if not self._known:
            return None
        return study.results.size if self._total is None else max(self._total, len(study.results))


def _lines(console: Console, count: _Count) -> Callable:
    """Return a function that prints one line per finished trial."""
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
    """Return the values of a trial in the form `depth 8 batch lr 0.01 seed 0`."""
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
