"""Contestants that take turns, each in a process of its own, which works only while it is asked to."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",  # or only the first of all runs would compile
}


class Worker:
    """A contestant in its process.

    Args:
        kind: String, what it is called.
        module: String, the module that calls `serve`.
        arguments: Strings for it.
        environment: Dict of strings, what else the process has in its environment.
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
        """Sends a command, a method and its arguments, and waits for its answer."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(f"{question}\n")
            stdin.flush()
            return json.loads(stdout.readline())
        except (BrokenPipeError, ValueError):
            command = shlex.join(self.command)
            raise RuntimeError(f"{self.kind} ended at {question!r}. To see why: echo {question} | {command}") from None


def serve(make: Callable[[], object]) -> None:
    """The other end: reads a command a line until the input ends, answers each with a line of JSON.

    Args:
        make: Function without arguments that gives the object whose methods are the commands.
    """
    answers: TextIO = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    contestant = make()
    for line in sys.stdin:
        method, *arguments = line.split()
        print(json.dumps(getattr(contestant, method)(*arguments)), file=answers, flush=True)


def seconds(work: Callable[[], Any]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
