"""A line at least once a minute, for whoever is not at a terminal."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
