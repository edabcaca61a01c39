"""Errors, checks of arguments, and one wording for each mistake that can be made in several places."""

import difflib
import operator
import reprlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class DamagedError(RuntimeError):
    """The `RuntimeError` for a damaged file that an earlier run has written."""


@contextmanager
def advised(remedy: str) -> Iterator[None]:
    """Add to each `ValueError` of the block, such as that of a damaged file, a sentence that says what to do."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{error}. {remedy}") from error


def unknown(what: str, received: object, known: Iterable[object]) -> str:
    """Return the message for an unknown word, with the nearest known word and all known words.

    Args:
        what: String, what the word names, as in "placement for mlp".
        received: The word received.
        known: The known words.
    """
    words = [str(word) for word in known]
    near = difflib.get_close_matches(str(received), words, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"Unknown {what}: {received!r}.{hint} Known: {', '.join(words)}"


def choice(name: str, value: Any, known: Iterable[Any]) -> Any:
    """Return the value if it is a known one.

    Raises:
        ValueError: If it is not. The message names the argument and lists the known values.
    """
    known = list(known)
    if value not in known:
        raise ValueError(unknown(f"`{name}`", value, known))
    return value


def number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> float:
    """Return the value if it is a finite number within the bounds.

    Args:
        name: String, the argument.
        value: The value received.
        above: Float, an exclusive lower bound, or `None`.
        at_least: Float, an inclusive lower bound, or `None`.
        below: Float, an exclusive upper bound, or `None`.
        at_most: Float, an inclusive upper bound, or `None`.

    Raises:
        ValueError: If it is not. The message names the argument and the bounds.
    """
    bounds = (
        ("above", above, operator.gt),
        ("of at least", at_least, operator.ge),
        ("below", below, operator.lt),
        ("at most", at_most, operator.le),
    )
    within = all(bound is None or holds(value, bound) for _, bound, holds in bounds) if is_finite(value) else False
    if not within:
        words = " and ".join(f"{word} {bound}" for word, bound, _ in bounds if bound is not None)
        raise ValueError(f"`{name}` must be a number {words or 'that is finite'}. Received: {name}={value!r}")
    return value


def is_finite(value: Any) -> bool:
    """Return whether the value is a finite number that a float can hold, and no boolean."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max


def positive_integer(name: str, value: Any, most: int | None = None) -> int:
    """Return the value if it is a positive integer.

    Args:
        name: String, the argument.
        value: The value received.
        most: Integer, the largest allowed value, or `None`.

    Raises:
        ValueError: If it is not. The message names the argument and the bound.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < 1 or (most is not None and value > most):
        bound = "" if most is None else f", at most {most:,}"
        raise ValueError(f"`{name}` must be a positive integer{bound}. Received: {name}={reprlib.repr(value)}")
    return value


def seed_number(name: str, value: Any, bits: int = 32) -> int:
    """Return the value if it is the seed of a random generator.

    Args:
        name: String, the argument.
        value: The value received.
        bits: Integer, the bits of the largest allowed value.

    Raises:
        ValueError: If it is not. The message names the argument and the range.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**bits:
        raise ValueError(f"`{name}` must be an integer from 0 to 2**{bits} - 1. Received: {name}={value!r}")
    return value


def positive_integers(name: str, values: Any, what: str) -> tuple[int, ...]:
    """Return the values if they are a sequence of at least one positive integer.

    Args:
        name: String, the argument.
        values: The values received.
        what: String, a description of the values with an example, for the message.

    Raises:
        ValueError: If they are not. The message names the argument.
    """
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ValueError(f"`{name}` must be {what}. Received: {name}={values!r}")
    return tuple(positive_integer(name, value) for value in values)


def printable(text: str) -> str:
    """Return a text with its unprintable characters escaped, line breaks included.

    A terminal obeys control characters: a name in an untrusted file could clear the screen or forge a line.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
