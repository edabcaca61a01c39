"""How the command line speaks: the user's mistakes in one line, libraries not at all."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from bnzoo.errors import printable
from bnzoo.passwords import mask_passwords

MISTAKE, FAULT, INTERRUPTED, CLOSED = 2, 70, 130, 141
STATUSES = {
    0: "done",
    1: "something was found to be wrong, or nothing to be usable",
    MISTAKE: "a mistake in the command, a file or the machine, told in one line",
    FAULT: "a fault of bnzoo",
    INTERRUPTED: "stopped by Ctrl-C",
    CLOSED: "nobody reads the output",
}
DEBUG = "--debug"
debugging: ContextVar[bool] = ContextVar("debugging", default=False)


class UserError(Exception):
    """The user's mistake, in one line."""


def say(message: str, lines: bool = False) -> int:
    """Print a message on stderr, without passwords and control characters.

    Args:
        message: String.
        lines: Boolean, whether it may have several lines.

    Returns:
        The exit status of a mistake.
    """
    words = [line if lines else " ".join(line.split()) for line in (message.splitlines() if lines else [message])]
    shown = [mask_passwords(printable(line)) for line in words]
    with suppress(OSError):  # nobody reads, or the disk is full: the exit status tells
        print("\n".join(shown) if lines else f"bnzoo: {shown[0]}", file=sys.stderr, flush=True)
    return MISTAKE


def in_words(error: BaseException) -> str:
    """Return the message of an error; of the system's with the file that it is about."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__


@contextmanager
def mistakes(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors that are the user's to mend into one line; `bnzoo.cli.ending` tells of all others."""
    try:
        yield
    except BrokenPipeError:
        raise
    except kinds as error:
        raise UserError(in_words(error)) from error


@contextmanager
def quietly() -> Iterator[None]:
    """Keep off stderr what TensorFlow says while it is loaded; with `--debug` it is shown where loading fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115  # what follows is no part of making it
    except OSError as error:
        raise UserError(f"No temporary file can be made: {in_words(error)}. Set TMPDIR to a folder for them") from error
    with file as said:
        stderr = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        except Exception:
            if debugging.get():
                said.seek(0)
                os.write(stderr, said.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
