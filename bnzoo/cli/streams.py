"""Standard streams that may be closed, full, or have nobody who reads them."""

import os
import select
import sys
from contextlib import suppress


def ensure_open() -> None:
    """Open the null device in the place of each standard stream that is closed.

    A file that is opened later would get its number, and what is printed would be written into the file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which gets the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115


def flush() -> None:
    """Write what is still to be written. Raise `OSError` where that is not possible."""
    sys.stdout.flush()
    sys.stderr.flush()


def end() -> None:
    """Write what is still to be written, as far as possible. The interpreter would complain where it is not."""
    try:
        flush()
    except OSError:
        discard()


def nobody_reads() -> bool:
    """Return whether standard output is a pipe that nobody reads any more, rather than another pipe."""
    if not hasattr(select, "poll"):  # on Windows, where a broken pipe is all that is known
        return True
    poll = select.poll()
    poll.register(1, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def discard() -> None:
    """Send what is still to be written nowhere."""
    with open(os.devnull, "w") as nowhere:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                with suppress(OSError, ValueError):  # a stream of Python alone has no number
                    os.dup2(nowhere.fileno(), stream.fileno())
