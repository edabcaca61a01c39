"""The structure of a model: what distinguishes it from others whose variables have the same shapes."""

import hashlib
import json
from typing import Any

import keras

from bnzoo.keras_internals import flatten_layers

# Keras numbers the names of layers in a process, draws seeds for some of them, and the code of a function has the lines
# of its file
_CHANGING = ("name", "seed", "function")


def structure_digest(model: keras.Model, loss: Any) -> str:
    """Return a digest of the layers of a model and of its loss, without their names and values.

    Args:
        model: The model.
        loss: A loss of Keras: its name, an object or a function.
    """
    layers = [layer for layer in flatten_layers(model) if not isinstance(layer, keras.Model)]
    described = [[type(part).__name__, _config(part)] for part in (*layers, loss)]
    text = json.dumps(_plain(described), sort_keys=True, default=lambda value: type(value).__name__)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _config(part: Any) -> Any:
    if not hasattr(part, "get_config"):
        return part if isinstance(part, str) else getattr(part, "__name__", None)
    try:
        return part.get_config()
    except NotImplementedError:  # a layer of the user
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items() if key not in _CHANGING}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
