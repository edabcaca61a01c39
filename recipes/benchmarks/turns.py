"""Worker processes that take turns: each works only while it answers a command."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",  # otherwise only the first run would compile
}


class Worker:
    """A worker process.

    Args:
        kind: String, the name of the worker.
        module: String, the module that calls `serve`.
        arguments: Strings, the arguments of the module.
        environment: Dict of strings, additional environment variables.
    """

    def __init__(self, kind: str, module: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.kind = kind
        self.command = [sys.executable, "-m", module, *arguments]
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | ENVIRONMENT | (environment or {}),
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()

    def ask(self, question: str) -> Any:
        """Send a command, which is a method with its arguments, and return the answer."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(f"{question}\n")
            stdin.flush()
            return json.loads(stdout.readline())
        except (BrokenPipeError, ValueError):
            command = shlex.join(self.command)
            raise RuntimeError(
                f"The worker {self.kind} failed at the command {question!r}. To see the error, run: "
                f"echo {question} | {command}"
            ) from None


def serve(make: Callable[[], object]) -> None:
    """Read a command from each line of stdin, and answer it with a line of JSON, until the input ends.

    Args:
        make: Function without arguments that returns an object. Its methods are the commands.
    """
    answers: TextIO = sys.stdout
    sys.stdout = sys.stderr  # so that the output of libraries does not mix with answers
    contestant = make()
    for line in sys.stdin:
        method, *arguments = line.split()
        print(json.dumps(getattr(contestant, method)(*arguments)), file=answers, flush=True)


def rotated(names: Sequence[str], seed: int) -> list[str]:
    """Return the names in an order that begins with another one for the next seed."""
    first = seed % len(names)
    return [*names[first:], *names[:first]]


def seconds(work: Callable[[], Any]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
