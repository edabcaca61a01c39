"""The output of the command line during work that reports no steps."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from bnzoo import silence


class _Lines(silence.Lines):
    """The name of the work, if no line was printed for a minute."""

    def __init__(self, console: Console, work: str) -> None:
        super().__init__(console)
        self._work = work

    def position(self) -> str:
        """Return the name of the work."""
        return self._work


@contextmanager
def waiting(work: str) -> Iterator[None]:
    """Show on stderr what a command works on: a spinner on a terminal, elsewhere a line each minute.

    Args:
        work: String, the work, such as `"timing the networks"`.
    """
    # a descriptor of its own: `quietly` redirects that of stderr
    with os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace") as stderr:
        console = Console(file=stderr)
        if console.is_terminal:
            with console.status(escape(work)):
                yield
        else:
            with silence.repeated(_Lines(console, work).remind):
                yield
