"""A replacement of `recipes.benchmarks.turns.Worker` that works in this process, without starting another."""

import json
from collections.abc import Callable
from typing import Any


class WorkerHere:
    """Answer as a worker does, through JSON.

    Args:
        kind: String, the name of the contestant.
        make: Function without arguments that gives the object whose methods are the commands.
    """

    def __init__(self, kind: str, make: Callable[[], object]) -> None:
        self.kind = kind
        self.contestant = make()

    def __enter__(self) -> "WorkerHere":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def ask(self, question: str) -> Any:
        method, *arguments = question.split()
        return json.loads(json.dumps(getattr(self.contestant, method)(*arguments)))
