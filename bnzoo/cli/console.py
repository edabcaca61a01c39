"""The output of the command line: one line for a mistake of the user, and no output of libraries."""

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from bnzoo.errors import DamagedError, printable
from bnzoo.passwords import mask_passwords

MISTAKE, FAULT, INTERRUPTED, CLOSED = 2, 70, 130, 141
STATUSES = {
    0: "success",
    1: "a check failed, or no result is usable",
    MISTAKE: "an error in the command, in a file or of the machine, explained in one line",
    FAULT: "a bug in bnzoo",
    INTERRUPTED: "stopped by Ctrl-C",
    CLOSED: "the reader of the output has closed it",
}
DEBUG = "--debug"
debugging: ContextVar[bool] = ContextVar("debugging", default=False)


class UserError(Exception):
    """An error for a mistake of the user, with a message of one line."""


def say(message: str, lines: bool = False) -> int:
    """Print a message on stderr, without passwords and control characters.

    Args:
        message: String.
        lines: Boolean, whether line breaks are kept.

    Returns:
        The exit status of a mistake.
    """
    words = [line if lines else " ".join(line.split()) for line in (message.splitlines() if lines else [message])]
    shown = [mask_passwords(printable(line)) for line in words]
    with suppress(OSError):  # stderr is closed or the disk is full: the exit status remains
        print("\n".join(shown) if lines else f"bnzoo: {shown[0]}", file=sys.stderr, flush=True)
    return MISTAKE


def message_of(error: BaseException) -> str:
    """Return the message of an error, with the file of an error of the system."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__


@contextmanager
def mistakes(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of these kinds into a `UserError`. `bnzoo.cli.ending` handles all others."""
    try:
        yield
    except BrokenPipeError:
        raise
    except kinds as error:
        raise UserError(message_of(error)) from error


@contextmanager
def failures() -> Iterator[None]:
    """Print the message of a `RuntimeError` and end the command with status 1; a damaged file is a mistake."""
    import typer

    try:
        yield
    except typer.Exit:  # which is a RuntimeError too
        raise
    except DamagedError as error:
        raise UserError(str(error)) from error
    except RuntimeError as error:
        say(str(error))
        raise typer.Exit(1) from error


@contextmanager
def warnings_at_once() -> Iterator[None]:
    """Print each warning of the block on stderr when it comes, as one line."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: say(f"warning: {message}")  # type: ignore[assignment]
        yield


def prefer_fast_training() -> None:
    """Switch TensorFlow's oneDNN operations on for this process and its workers, unless the environment has decided.

    TensorFlow reads the variable when it is imported. On processors without AVX-512 VNNI it leaves them off, although
    a ResNet trains in 0.6 of the time with them.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


@contextmanager
def quietly() -> Iterator[None]:
    """Hide the messages of TensorFlow on stderr. With `--debug` they are shown if the block fails.

    Its warnings, such as that about the tracing of many networks, stay hidden.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.stderr.flush()
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115  # only this call may raise the error below
    except OSError as error:
        raise UserError(
            f"A temporary file cannot be made: {message_of(error)}. Set TMPDIR to a folder for temporary files"
        ) from error
    with file as log:
        stderr = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            yield
        except Exception:
            if debugging.get():
                log.seek(0)
                os.write(stderr, log.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
