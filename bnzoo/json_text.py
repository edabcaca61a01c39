"""JSON that every reader takes: JSON has no numbers for NaN and infinity."""

import json
import math
from typing import Any


def json_ready(value: Any) -> Any:
    """Replace NaN and infinity, at any depth, by strings, from which `float` makes them again.

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


def json_text(content: Any) -> str:
    """Return the text of a JSON file.

    Args:
        content: As `json_ready` takes it.
    """
    return json.dumps(json_ready(content), indent=1, allow_nan=False) + "\n"
