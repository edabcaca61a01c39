"""The live view of a study: trial, outcome, best so far, time left."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from bnzoo.tuning.results import TrialResult

if TYPE_CHECKING:
    from bnzoo.tuning.study import Study

# a trial starts (its values) or has ended
Event = dict[str, Any] | TrialResult

_COLOURS = {"ok": "green", "stalled": "yellow", "diverged": "red", "failed": "bold red"}


class _TimeLeft(ProgressColumn):
    """Time left at the mean pace of this run so far; deeper networks come last, so it errs on the short side."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        done = task.completed - task.fields["resumed"]
        if not done or task.elapsed is None or task.total is None:
            return Text("-:-- left")
        seconds = int(task.elapsed / done * (task.total - task.completed))
        return Text(f"{seconds // 60}:{seconds % 60:02d} left")


@contextmanager
def progress_bar(study: "Study", console: Console | None = None) -> Iterator[Callable]:
    """A live bar on a terminal; a line a trial elsewhere.

    Args:
        study: The study that is about to run.
        console: A `rich.console.Console`, stderr by default.

    Yields:
        What `Study.run` takes as `progress`.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        TextColumn("[bold]{task.completed:.0f}/{task.total:.0f}"),
        BarColumn(bar_width=24),
        _TimeLeft(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        resumed = len(study.results)
        task = bar.add_task("", total=study.results.size, completed=resumed, resumed=resumed)
        now = last = ""

        def show(study: "Study", event: Event) -> None:
            nonlocal now, last
            if isinstance(event, TrialResult):
                last = _outcome(event, colour=True)
            else:
                now = _words(**event)
            best = _best(study)
            bar.update(
                task,
                completed=len(study.results),
                total=study.results.size,
                description=" | ".join(part for part in (now, last and f"last: {last}", best) if part),
            )

        yield show


def _lines(console: Console) -> Callable:
    start = time.monotonic()
    resumed: list[int] = []

    def show(study: "Study", event: Event) -> None:
        done, size = len(study.results), study.results.size
        if not isinstance(event, TrialResult):
            resumed.append(done)
            return
        left = (time.monotonic() - start) / (done - resumed[0]) * (size - done)
        words = _words(event.depth, event.norm, event.learning_rate, event.seed)
        text = f"{done}/{size} {words}: {_outcome(event)} | {_best(study)} | {left:.0f} s left"
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    return show


def _words(depth: int, norm: str, learning_rate: float, seed: int) -> str:
    return f"depth {depth} {norm} lr {learning_rate:.3g} seed {seed}"


def _outcome(trial: TrialResult, colour: bool = False) -> str:
    figure = f" {trial.accuracy:.1%}" if trial.outcome == "ok" else ""
    word = f"[{_COLOURS[trial.outcome]}]{trial.outcome}[/]" if colour else trial.outcome
    return word + figure


def _best(study: "Study") -> str:
    best = study.results.best
    return f"best {best.accuracy:.1%} at lr {best.learning_rate:.3g} depth {best.depth}" if best else "no best yet"
