"""The progress of a study: finished trials, the running one, the best result so far, and the time left."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from bnzoo import silence
from bnzoo.metrics import ACCURACY, metric_named
from bnzoo.tuning.results import Results
from bnzoo.tuning.trial_result import TrialResult

if TYPE_CHECKING:
    from bnzoo.tuning.study import Study

# the values and the seed of a trial that starts, or the result of one that has ended
Event = dict[str, Any] | TrialResult

_COLOURS = {"ok": "green", "stalled": "yellow", "diverged": "red", "pruned": "cyan", "failed": "bold red"}


@dataclass(frozen=True)
class Step:
    """A step of the running trial.

    Attributes:
        epoch: Integer, from 1.
        epochs: Integer, the epochs of the trial.
        step: Integer, the number of finished steps of the epoch.
        steps: Integer, the steps of an epoch.
        loss: Float, the mean training loss of the epoch so far.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float

    @property
    def share(self) -> float:
        """The finished share of the trial."""
        return ((self.epoch - 1) * self.steps + self.step) / (self.epochs * self.steps)

    def __str__(self) -> str:
        return f"epoch {self.epoch}/{self.epochs} step {self.step}/{self.steps} loss {self.loss:.3g}"


class StepCallback(keras.callbacks.Callback):
    """A callback that reports each step of a trial.

    Args:
        report: Function of a `Step`.
    """

    def __init__(self, report: Callable[[Step], None]) -> None:
        super().__init__()
        self._report, self._epoch = report, 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Note the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Report the step."""
        epochs, steps = self.params["epochs"], self.params["steps"] or batch + 1
        self._report(Step(self._epoch + 1, epochs, batch + 1, steps, float((logs or {}).get("loss", 0.0))))


def shown_steps(progress: Callable) -> list[keras.callbacks.Callback]:
    """Return the callbacks of a trial whose steps a progress function shows. Most functions show trials only."""
    report = getattr(progress, "step", None)
    return [] if report is None else [StepCallback(report)]


class _Done(ProgressColumn):
    """The number of finished trials or steps, and the total if it is known."""

    def render(self, task: Task) -> Text:
        """Return the text of the column."""
        total = "—" if task.total is None else f"{task.total:.0f}"
        return Text(f"{task.completed:.0f}/{total}", style="bold")


class _TimeLeft(ProgressColumn):
    """The time left, as text that was computed before."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Return the text of the column."""
        return Text(task.fields["left"]())


class _Pace:
    """The trials of a run: those at its start, those at its end, and the time left.

    The time left assumes that the other trials are as fast as those of this run. It is too short if deeper networks
    come later. A trial that runs counts with the share of its steps.
    """

    def __init__(self, study: "Study", total: int | None, budget: float | None, confirming: bool = False) -> None:
        self._study, self._confirming, self._total = study, confirming, total
        self._resumed = self.done
        self._known = total is not None or study.results.size > self._resumed
        self._start, self._budget = time.monotonic(), budget
        self.step: Step | None = None

    @property
    def total(self) -> int | None:
        """The number of trials at the end of the run, or `None` if it is not known."""
        if not self._known:
            return None
        return self._study.results.size if self._total is None else max(self._total, self.done)

    @property
    def done(self) -> int:
        """The number of finished trials, of the search or of the confirmation."""
        results = self._study.results
        return len(results.every) - len(results) if self._confirming else len(results)

    def left(self) -> str:
        """Return the time left as text, such as `1:05 left`."""
        elapsed = time.monotonic() - self._start
        running = self.step.share if self.step else 0.0
        finished, total = self.done - self._resumed + running, self.total
        times = [] if self._budget is None else [self._budget - elapsed]
        if total is not None and finished > 0:
            times.append(elapsed / finished * max(0.0, total - self.done - running))
        return _clock(min(times)) if times else "unknown time left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} left" if minutes >= 60 else f"{minutes}:{rest:02d} left"


def description() -> TextColumn:
    """Return the column of the description, which is cut where the line ends: the other columns keep their widths."""
    return TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True))


@contextmanager
def progress_bar(
    study: "Study",
    console: Console | None = None,
    total: int | None = None,
    budget: float | None = None,
    confirming: bool = False,
) -> Iterator[Callable]:
    """Show a progress bar on a terminal; elsewhere a line for each trial, and at least one in a minute.

    Args:
        study: The study that is about to run.
        console: A `rich.console.Console`. Default: standard error.
        total: Integer, the number of trials at the end. Default: `study.results.size`, if some of them have not run;
            otherwise it is not known, as with a budget in seconds.
        budget: Float, the seconds after which the run ends.
        confirming: Boolean, whether the trials of the confirmation are counted, not those of the search.

    Yields:
        The function for the argument `progress` of `Study.run`.
    """
    console = console or Console(stderr=True)
    pace = _Pace(study, total, budget, confirming)
    if not console.is_terminal:
        lines = Lines(console, pace)
        with silence.repeated(lines.remind):
            yield lines
        return
    columns = (_Done(), BarColumn(bar_width=16), _TimeLeft(), description())
    with Progress(*columns, console=console, transient=True, expand=True) as bar:
        yield Bar(bar, pace)


class Bar:
    """A progress bar for the trials of a study, and one for the steps of the running trial."""

    def __init__(self, bar: Progress, pace: _Pace) -> None:
        self._bar, self._pace = bar, pace
        self._trials = bar.add_task("", total=pace.total, completed=pace.done, left=pace.left)
        self._steps = bar.add_task("", total=None, visible=False, left=lambda: "steps")
        self._words = ""

    def __call__(self, study: "Study", event: Event) -> None:
        """Show a trial that starts, or the result of one that has ended."""
        self._pace.step = None
        if isinstance(event, TrialResult):
            last = f"{_outcome(event, study, colour=True)} | {escape(_best(study))}"
            self._bar.update(self._trials, completed=self._pace.done, total=self._pace.total, description=last)
        else:
            self._words = escape(_words(event, study))
            self._bar.reset(self._steps, total=None, visible=True, description=self._words)

    def step(self, step: Step) -> None:
        """Show a step of the running trial."""
        self._pace.step = step
        done = (step.epoch - 1) * step.steps + step.step
        self._bar.update(self._steps, completed=done, total=step.epochs * step.steps)


class Lines(silence.Lines):
    """A line for each finished trial, and one for the running trial if there was none for a minute."""

    def __init__(self, console: Console, pace: _Pace) -> None:
        super().__init__(console)
        self._pace, self._words = pace, "starting"

    def __call__(self, study: "Study", event: Event) -> None:
        """Note a trial that starts, or print the result of one that has ended."""
        self._pace.step = None
        if not isinstance(event, TrialResult):
            self._words = _words(event, study)
            return
        self._words = "between two trials"
        words = _words({**event.values, "seed": event.seed}, study)
        self.print(self._line(f"{words}: {_outcome(event, study)} | {_best(study)}"))

    def step(self, step: Step) -> None:
        """Note a step of the running trial."""
        self._pace.step = step

    def position(self) -> str:
        """Return the position of the running trial."""
        where = f": {self._pace.step}" if self._pace.step else ""
        return self._line(f"{self._words}{where}")

    def _line(self, text: str) -> str:
        total = "—" if self._pace.total is None else self._pace.total
        return f"{self._pace.done}/{total} {text} | {self._pace.left()}"


def _words(values: Mapping[str, Any], study: "Study") -> str:
    """Return the values of a trial in the form `depth 8 batch lr 0.01 seed 0`, without the only seed."""
    names = {"norm": "", "learning_rate": "lr "}
    if study.results.definition["seeds"] == 1 and not values.get("seed"):
        values = {name: value for name, value in values.items() if name != "seed"}
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
    return f"best {_figure(best, study)}"


def _figure(trial: TrialResult, study: "Study") -> str:
    """Return the metric of a trial, and its objective if that differs: the best trial has the best objective."""
    metric, objective = metric_named(study.results.metric), study.results.objective
    # a percentage needs no label
    label = "" if metric is ACCURACY else f"{metric.label} "
    figure = label + metric.short_text(trial.accuracy)
    if objective.metric is None:
        return f"{figure} {objective.label} {trial.score:.3g}"
    return figure if objective.metric.name == metric.name else f"{figure} {objective.text(trial.score)}"
