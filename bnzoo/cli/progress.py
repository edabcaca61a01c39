"""The progress of a training on the command line."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from bnzoo import silence
from bnzoo.cli.console import warnings_at_once

# what is shown before the first step, and after the last one
_BEFORE, _AFTER = "preparing", "statistics, figures and the export follow"

if TYPE_CHECKING:
    from bnzoo.training import Moment


@contextmanager
def shown(console: Console) -> Iterator[Callable[["Moment"], None]]:
    """Show the progress of a training, and its warnings.

    The progress is a bar on a terminal; elsewhere a line an epoch, and at least one a minute.

    Args:
        console: The `rich.console.Console`.

    Yields:
        A function of a `bnzoo.training.Moment`.
    """
    if console.is_terminal:
        from bnzoo.tuning.progress import description

        columns = (MofNCompleteColumn(), BarColumn(bar_width=12), TimeRemainingColumn(), description())
        with Progress(*columns, console=console, transient=True, expand=True) as bar, warnings_at_once():
            task = bar.add_task(_BEFORE, total=None)

            def show(moment: "Moment") -> None:
                done = moment.epoch * moment.steps + moment.step
                if _is_last(moment):
                    bar.update(task, completed=done, total=done, description=_AFTER)
                else:
                    bar.update(task, completed=done, total=moment.epochs * moment.steps, description=_values(moment))

            yield show
        return
    lines = Lines(console)
    with silence.repeated(lines.remind), warnings_at_once():
        yield lines


class Lines(silence.Lines):
    """A line after each epoch, and one if there was none for a minute."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._last = _BEFORE
        self._first: tuple[float, float] | None = None  # the time and the finished share of the first step

    def __call__(self, moment: "Moment") -> None:
        """Note a step, or print the values of an epoch that has ended."""
        within = not moment.epoch_ended or moment.step > 0  # the last epoch may have ended early
        where = f"epoch {moment.epoch + within}/{moment.epochs}"
        step = f" step {moment.step}/{moment.steps}" if within else ""
        done = (moment.epoch * moment.steps + moment.step) / max(1, moment.epochs * moment.steps)
        start, before = self._first = self._first or (time.monotonic(), done)  # a training may go on within an epoch
        left = f" | {(time.monotonic() - start) / (done - before) * (1 - done):.0f} s left" if done > before else ""
        self._last = f"{where}{step}: {_values(moment)}{left}"
        if moment.epoch_ended:
            self.print(self._last)
            if _is_last(moment):
                self._last = f"the training has ended: {_AFTER}"
                self._first = None  # a training that diverged begins again

    def position(self) -> str:
        """Return the last step, or what follows the training."""
        return self._last


def _is_last(moment: "Moment") -> bool:
    """Return whether a training has ended. Its last epoch may have ended early."""
    return moment.epoch_ended and (moment.step > 0 or moment.epoch >= moment.epochs)


def _values(moment: "Moment") -> str:
    names = [name for name in ("loss", "val_loss", "val_accuracy", "val_r2_score") if name in moment.logs]
    return " ".join(f"{name} {moment.logs[name]:.3g}" for name in names)
