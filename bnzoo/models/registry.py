"""The zoo by name."""

import fnmatch
from typing import Any

import keras

from bnzoo.errors import unknown
from bnzoo.models.cards import CARDS, ModelCard


def list_models(pattern: str = "*") -> list[str]:
    """The names of the zoo.

    Args:
        pattern: String with `*` and `?`, as in file names; without either, any name that contains it.

    Examples:
    >>> bnzoo.list_models("resnet1*")
    ['resnet18', 'resnet101', 'resnet152', 'resnet101_v2', 'resnet152_v2', ...]
    """
    if not any(sign in pattern for sign in "*?["):
        pattern = f"*{pattern}*"
    return [name for name in CARDS if fnmatch.fnmatchcase(name, pattern.lower())]


def model_card(name: str) -> ModelCard:
    """What is known of a model.

    Raises:
        ValueError: If there is no such model.
    """
    if name not in CARDS:
        raise ValueError(unknown("model", name, CARDS))
    return CARDS[name]


def create_model(name: str, **overrides: Any) -> keras.Model:
    """A model of the zoo, by name.

    Args:
        name: String, one of `bnzoo.list_models()`.
        **overrides: Arguments of its builder: `norm`, `placement`, `input_shape`, `classes`, ...

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If there is no such model, or an argument is wrong.

    Examples:
    >>> model = bnzoo.create_model("resnet50", norm="group", placement="pre")
    """
    return model_card(name).builder(**overrides)
