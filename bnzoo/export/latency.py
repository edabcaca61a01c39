"""The latencies of functions and of artefacts, measured in turns."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from bnzoo.export.formats.record import Format

Call = Callable[[], Any]

# fewer do not suffice for quartiles
LEAST_ROUNDS = 5


def seconds_of(call: Call) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def latencies(
    contestants: Mapping[str, Call], seconds: float = 10.0, measure: Callable[[Call], float] = seconds_of
) -> dict[str, np.ndarray]:
    """Measure the latencies of functions in turns, so that other load on the machine affects all of them alike.

    Each round measures every function once, in an order that changes from round to round: in `2 * len(contestants)`
    consecutive rounds each function has every position twice. An unmeasured call of the same function precedes each
    measured one, so that the caches and the threads of another function do not count. The first round is discarded.

    Args:
        contestants: Dict of functions without arguments, by name.
        seconds: Float. No round begins after this time, but at least five rounds are measured.
        measure: Function of a contestant that calls it and returns the seconds. Pass one for a contestant that measures
            its own time.

    Returns:
        Dict of arrays by name, the seconds of each round. Values at the same index were measured in the same round.
        Compare two functions by the ratios of these pairs.

    Examples:
    >>> times = latencies({"before": lambda: model(x), "after": lambda: folded(x)})
    >>> np.median(times["after"] / times["before"])
    """
    names = list(contestants)
    times: dict[str, list[float]] = {name: [] for name in names}

    def run(number: int) -> None:
        for name in _order(names, number):
            contestants[name]()
            times[name].append(measure(contestants[name]))

    run(0)
    begin, number = time.perf_counter(), 0
    while number < LEAST_ROUNDS or time.perf_counter() - begin < seconds:
        number += 1
        run(number)
    return {name: np.array(values[1:]) for name, values in times.items()}


def _order(names: list[str], number: int) -> list[str]:
    """Return the order of a round: rotated by one every second round, and reversed in the rounds between."""
    if not names:
        return []
    first = number // 2 % len(names)
    order = names[first:] + names[:first]
    return order[::-1] if number % 2 else order


def medians(contestants: Mapping[str, Call], seconds: float = 10.0) -> dict[str, float]:
    """Return the median latency of each function, in seconds. See `latencies`."""
    return {name: float(np.median(times)) for name, times in latencies(contestants, seconds).items()}


def open_calls(format: "Format", folder: Path) -> Callable[[int], Call]:
    """Load an artefact, and return a function of a batch size that returns a call of the artefact.

    Args:
        format: The `Format`.
        folder: The folder of the artefact, with the examples of its verification.
    """
    from bnzoo.export.formats.record import SERVE
    from bnzoo.export.parity import kept
    from bnzoo.export.sample import repeated

    artefact, examples = format.open(folder), kept(folder)[0][SERVE]
    return lambda size: partial(artefact, repeated(examples, size))
