"""The values that the arguments of norms may have. An argument has the same meaning in each norm."""

from collections.abc import Callable
from functools import partial
from typing import Any

from bnzoo.errors import number, positive_integer


def _steps(name: str, value: Any) -> list[int]:
    """Return the value as a list if it is a first and a last training step."""
    pair = list(value) if isinstance(value, list | tuple) else []
    integers = [step for step in pair if isinstance(step, int) and not isinstance(step, bool)]
    if len(pair) != 2 or integers != pair or not 0 <= pair[0] <= pair[1]:
        raise ValueError(
            f"`{name}` must be two integers, the step at which the change starts and the step at which it ends, with "
            f"0 <= start <= end. Received: {name}={value!r}"
        )
    return pair


RULES: dict[str, Callable[[str, Any], Any]] = {
    "batch": positive_integer,
    "groups": positive_integer,
    "epsilon": partial(number, above=0),
    "initial_alpha": partial(number, above=0),
    "momentum": partial(number, at_least=0, at_most=1),
    "renorm_momentum": partial(number, at_least=0, at_most=1),
    "rmax": partial(number, at_least=1),
    "dmax": partial(number, at_least=0),
    "rmax_steps": _steps,
    "dmax_steps": _steps,
}


def check(name: str, value: Any) -> Any:
    """Return the value of an argument, or raise `ValueError` if the argument cannot have it."""
    return RULES[name](name, value)
