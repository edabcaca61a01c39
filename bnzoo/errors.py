"""One wording for each mistake that can be made in several places."""

import difflib
import reprlib
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any


def unknown(what: str, received: object, known: Iterable[object]) -> str:
    """The message for a word that is not among the known ones: what was meant, and all that there are.

    Args:
        what: String, what the word names, as in "placement for mlp".
        received: The word received.
        known: The words that there are.
    """
    words = [str(word) for word in known]
    near = difflib.get_close_matches(str(received), words, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"Unknown {what}: {received!r}.{hint} Known: {', '.join(words)}"


def positive_integer(name: str, value: Any, most: int | None = None) -> int:
    """Return the value if it is a positive integer.

    Args:
        name: String, the argument.
        value: What was received.
        most: Integer, the largest that it may be; `None` if there is none.

    Raises:
        ValueError: If it is not; the message names the argument and the bound.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < 1 or (most is not None and value > most):
        bound = "" if most is None else f", at most {most:,}"
        raise ValueError(f"`{name}` must be a positive integer{bound}. Received: {name}={reprlib.repr(value)}")
    return value


def choice(name: str, value: Any, known: Iterable[Any]) -> Any:
    """The value, if it is one of the known ones.

    Raises:
        ValueError: If it is not; the message names the argument.
    """
    known = list(known)
    if value not in known:
        raise ValueError(unknown(f"`{name}`", value, known))
    return value


def positive_integers(name: str, values: Any, what: str) -> tuple[int, ...]:
    """The values, if they are a sequence of at least one positive integer.

    Args:
        name: String, the argument.
        values: What was received.
        what: String, what they are, with an example.

    Raises:
        ValueError: If they are not; the message names the argument.
    """
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ValueError(f"`{name}` must be {what}. Received: {name}={values!r}")
    return tuple(positive_integer(name, value) for value in values)


def positive(name: str, value: Any) -> float:
    """The value, if it is a finite number above zero. Raises `ValueError` if it is not."""
    return _number(name, value, lambda number: number > 0, "above 0")


def at_least(name: str, value: Any, least: float) -> float:
    """The value, if it is a finite number that is not below the least. Raises `ValueError` if it is not."""
    return _number(name, value, lambda number: number >= least, f"that is not below {least}")


def fraction(name: str, value: Any) -> float:
    """The value, if it is a number from 0 to 1. Raises `ValueError` if it is not."""
    return _number(name, value, lambda number: 0 <= number <= 1, "from 0 to 1")


def share(name: str, value: Any) -> float:
    """The value, if it is a part of a whole: above 0 and not above 1. Raises `ValueError` if it is not."""
    return _number(name, value, lambda number: 0 < number <= 1, "above 0 and not above 1")


def proper_fraction(name: str, value: Any) -> float:
    """The value, if it is a number that is at least 0 and below 1. Raises `ValueError` if it is not."""
    return _number(name, value, lambda number: 0 <= number < 1, "that is at least 0 and below 1")


def steps(name: str, value: Any) -> list[int]:
    """The value as a list, if it is a first and a last step.

    Raises:
        ValueError: If it is not; the message names the argument.
    """
    pair = list(value) if isinstance(value, (list, tuple)) else []
    whole = [step for step in pair if isinstance(step, int) and not isinstance(step, bool)]
    if len(pair) != 2 or whole != pair or not 0 <= pair[0] <= pair[1]:
        raise ValueError(
            f"`{name}` must be two integers, the step at which the change starts and that at which it ends, "
            f"0 <= start <= end. Received: {name}={value!r}"
        )
    return pair


def is_finite(value: Any) -> bool:
    """Return whether the value is a finite number that a float can hold, and no truth value."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


def _number(name: str, value: Any, holds: Callable[[float], bool], rule: str) -> float:
    if not is_finite(value) or not holds(value):
        raise ValueError(f"`{name}` must be a number {rule}. Received: {name}={value!r}")
    return value


def printable(text: str) -> str:
    """Return a text in which whatever is not printable is escaped, line breaks too.

    A terminal obeys control characters: a name in a stranger's file could clear the screen or forge a line.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
