"""How the command line speaks: the user's mistakes in one line, libraries not at all."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """The user's mistake, in one line."""


def say(message: str) -> int:
    """Prints one line on stderr; gives the exit status of a mistake."""
    print(f"bnzoo: {' '.join(message.split())}", file=sys.stderr)
    return 2


@contextmanager
def mistakes(*kinds: type[Exception]) -> Iterator[None]:
    """Turns errors that are the user's to mend into one line; anything else is ours and keeps its traceback."""
    try:
        yield
    except kinds as error:
        text = str(error)
        if isinstance(error, OSError) and error.strerror:
            text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        raise UserError(text) from error


@contextmanager
def quietly() -> Iterator[None]:
    """Keeps what TensorFlow says while it is loaded off stderr, unless loading it fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said:
        stderr = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        except (UserError, KeyboardInterrupt):  # which need no explanation
            raise
        except BaseException:
            said.seek(0)
            os.write(stderr, said.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
