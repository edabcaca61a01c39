"""Standard streams that may be closed, or whose disk may be full."""

import os
import select
import sys
from contextlib import suppress


def ensure_open() -> None:
    """Open the null device for each closed standard stream.

    Otherwise the next file that is opened would get the number of the stream, and all output would go into the file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest free number, that of the stream
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115


def flush() -> None:
    """Write the buffered output.

    Raises:
        OSError: If it cannot be written.
    """
    sys.stdout.flush()
    sys.stderr.flush()


def end() -> None:
    """Write the buffered output, or discard it, as the interpreter would print an error at its end."""
    try:
        flush()
    except OSError:
        discard()


def is_closed_by_reader() -> bool:
    """Return whether standard output is a pipe whose reader, such as `head`, has closed it."""
    if not hasattr(select, "poll"):  # Windows cannot tell which pipe is broken
        return True
    poll = select.poll()
    poll.register(1, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def discard() -> None:
    """Discard the buffered output."""
    with open(os.devnull, "w") as nowhere:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                with suppress(OSError, ValueError):  # a stream without a file has no number
                    os.dup2(nowhere.fileno(), stream.fileno())
