"""JSON that every reader takes: JSON has no numbers for NaN and infinity."""

import json
import math
from typing import Any

_NOT_FINITE = ("nan", "inf", "-inf")


def json_ready(value: Any) -> Any:
    """Replace NaN and infinity, at any depth, by strings, from which `json_number` makes them again.

    Args:
        value: A value of JSON, in which numbers may be NaN or infinite and lists may be tuples.

    Returns:
        A value of JSON.

    Examples:
    >>> json_ready({"loss": float("nan"), "epochs": (1, 2)})
    {'loss': 'nan', 'epochs': [1, 2]}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: json_ready(entry) for key, entry in value.items()}
    return [json_ready(entry) for entry in value] if isinstance(value, list | tuple) else value


def json_number(value: Any) -> float:
    """Return the number that `json_ready` has written.

    Args:
        value: A value of JSON.

    Raises:
        TypeError: If it is no number.
    """
    if isinstance(value, bool) or not (isinstance(value, int | float) or value in _NOT_FINITE):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def json_text(content: Any) -> str:
    """Return the text of a JSON file.

    Args:
        content: As `json_ready` takes it.
    """
    return json.dumps(json_ready(content), indent=1, allow_nan=False) + "\n"
