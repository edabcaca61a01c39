"""A line at least once a minute, for whoever is not at a terminal."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# seconds without a line after which one is printed
SILENCE = 60.0


@contextmanager
def repeated(remind: Callable[[], None]) -> Iterator[None]:
    """Call a function each second in a thread: compiling and evaluating, which report no steps, take their time too.

    Args:
        remind: Function without arguments, which prints a line if there was none for `SILENCE` seconds.
    """
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(1.0):
            remind()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Lines:
    """Lines on a console, each of which is written at once, and a line for the position if there was none for a minute.

    Args:
        console: The `rich.console.Console`.
    """

    def __init__(self, console: "Console") -> None:
        self._console, self._printed = console, time.monotonic()

    def position(self) -> str:
        """Return the line that tells the position."""
        raise NotImplementedError

    def remind(self) -> None:
        """Print the position, if no line was printed for a minute."""
        if time.monotonic() - self._printed >= SILENCE:
            self.print(self.position())

    def print(self, line: str) -> None:
        """Print a line."""
        self._printed = time.monotonic()
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        self._console.file.flush()
