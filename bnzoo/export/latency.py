"""How long calls take, measured in turns."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Call = Callable[[], Any]

# with fewer, quartiles say nothing
LEAST_ROUNDS = 5


def seconds_of(call: Call) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def latencies(
    contestants: Mapping[str, Call], seconds: float = 10.0, measure: Callable[[Call], float] = seconds_of
) -> dict[str, np.ndarray]:
    """Times calls in turns, so that whatever else the machine does meets all of them alike.

    Each round times every contestant once. Every timed call comes right after an untimed one of the same contestant,
    which pays for caches that another has filled and waits out its threads. The order changes from round to round: in
    any `2 * len(contestants)` rounds in a row each is twice at every place. The first round counts for nothing.

    Args:
        contestants: Functions without arguments by name.
        seconds: Float, after which no other round begins; there are five at least.
        measure: Function that calls a contestant and gives the seconds of that, for one that has its own clock.

    Returns:
        Dict of arrays: by name, the seconds of each round. Those at the same index were measured together: ratios are
        best taken of them, in pairs.

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
    """Rotated by one every other round, and in between reversed, so that neighbours change too."""
    if not names:
        return []
    first = number // 2 % len(names)
    order = names[first:] + names[:first]
    return order[::-1] if number % 2 else order
