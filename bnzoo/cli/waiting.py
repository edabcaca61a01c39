"""The output of the command line during work that reports no steps."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner

from bnzoo import silence


@contextmanager
def waiting(work: str) -> Iterator[None]:
    """Show on stderr what a command works on: a spinner on a terminal, elsewhere a line each minute.

    Args:
        work: String, the work, such as `"timing the networks"`.
    """
    descriptor = os.dup(2)  # `quietly` redirects that of stderr
    try:
        console = Console(file=_Stderr(descriptor), force_terminal=os.isatty(descriptor))
        if console.is_terminal:
            with Live(
                Spinner("dots", escape(work)),
                console=console,
                transient=True,
                refresh_per_second=12.5,
                redirect_stdout=False,  # it may go into a file
                redirect_stderr=False,
            ):
                yield
        else:
            with silence.repeated(_Lines(console, work).remind):
                yield
    finally:
        os.close(descriptor)


class _Stderr(io.StringIO):
    """A stream without a buffer that ignores errors: the work is worth no less if nobody can read its name."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def write(self, text: str) -> int:
        """Write a text."""
        with suppress(OSError):
            os.write(self._descriptor, text.encode(errors="replace"))
        return len(text)


class _Lines(silence.Lines):
    """The name of the work, if no line was printed for a minute."""

    def __init__(self, console: Console, work: str) -> None:
        super().__init__(console)
        self._work = work

    def position(self) -> str:
        """Return the name of the work."""
        return self._work
