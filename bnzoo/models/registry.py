"""The zoo by name."""

import fnmatch
from typing import Any

import keras

from bnzoo.errors import unknown
from bnzoo.models.cards import ModelCard
from bnzoo.models.families import FAMILIES

CARDS = {
    value.card.name: value.card
    for family in FAMILIES.values()
    for module in family.variants
    for value in vars(module).values()
    if isinstance(getattr(value, "card", None), ModelCard)
}
BUILDERS = {
    builder.__name__: builder
    for builder in (
        *(builder for family in FAMILIES.values() for builder in family.builders),
        *(card.builder for card in CARDS.values()),
    )
}


def list_models(pattern: str = "*") -> list[str]:
    """List the names of the zoo.

    Args:
        pattern: String with `*` and `?`, as in file names. Without either, it matches every name that contains it.

    Examples:
    >>> bnzoo.list_models("resnet1*")
    ['resnet18', 'resnet101', 'resnet152', 'resnet101_v2', 'resnet152_v2', ...]
    """
    if not any(sign in pattern for sign in "*?["):
        pattern = f"*{pattern}*"
    return [name for name in CARDS if fnmatch.fnmatchcase(name, pattern.lower())]


def model_card(name: str) -> ModelCard:
    """Return the figures of a model.

    Raises:
        ValueError: If there is no such model.
    """
    if name not in CARDS:
        raise ValueError(unknown("model", name, CARDS))
    return CARDS[name]


def create_model(name: str, **overrides: Any) -> keras.Model:
    """Build a model of the zoo by name.

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
