"""One wording for each mistake that can be made in several places."""

import difflib
from collections.abc import Iterable
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


def positive_integer(name: str, value: Any) -> int:
    """The value, if it is a positive integer.

    Raises:
        ValueError: If it is not; the message names the argument.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
    return value
