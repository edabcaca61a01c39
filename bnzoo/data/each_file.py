"""A function of each of many files, several at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from bnzoo import machine

Value = TypeVar("Value")
# the files that a thread reads in a row
_AT_ONCE = 32
_SHOWN = 3


def each_file(function: Callable[[int, Path], Value], files: Sequence[Path]) -> list[Value]:
    """Return the results of a function of the index and the path of each image file.

    Args:
        function: The function. It runs in several threads.
        files: Sequence of paths.

    Raises:
        ValueError: If the function raises one. The message counts the files, and has the reasons of the first three.
    """
    results: dict[int, Value] = {}
    problems: dict[int, str] = {}

    def read(start: int) -> None:
        for index, file in enumerate(files[start : start + _AT_ONCE], start):
            try:
                results[index] = function(index, file)
            except ValueError as error:
                problems[index] = str(error)

    with ThreadPoolExecutor(machine.available_cores()) as threads:
        for _ in threads.map(read, range(0, len(files), _AT_ONCE)):
            pass
    if problems:
        reasons = "; ".join(problems[index] for index in sorted(problems)[:_SHOWN])
        such_as = ", such as" if len(problems) > _SHOWN else ""
        counted = f"{len(problems)} of {len(files)} images cannot be read{such_as}: " if len(problems) > 1 else ""
        raise ValueError(counted + reasons)
    return [results[index] for index in range(len(files))]
