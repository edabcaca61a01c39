"""The zoo by name."""

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from bnzoo.errors import unknown
from bnzoo.models import mlp, resnet


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model of the zoo.

    Attributes:
        name: String, what `bnzoo.create_model` takes.
        builder: The function that builds it.
        params: Integer, the trainable parameters with batch norm in the default placement, at the default input and
            1000 classes (CIFAR networks: 10); `None` where they depend on the arguments.
        paper: String.
    """

    name: str
    builder: Callable[..., keras.Model]
    params: int | None
    paper: str


_DEEP_RESIDUAL = "He et al. 2015, arXiv:1512.03385"
_CARDS = {
    card.name: card
    for card in (
        ModelCard("mlp", mlp.MLP, None, "Rumelhart et al. 1986"),
        ModelCard("resnet18", resnet.ResNet18, 11_689_512, _DEEP_RESIDUAL),
        ModelCard("resnet34", resnet.ResNet34, 21_797_672, _DEEP_RESIDUAL),
        ModelCard("resnet50", resnet.ResNet50, 25_557_032, _DEEP_RESIDUAL),
        ModelCard("resnet101", resnet.ResNet101, 44_549_160, _DEEP_RESIDUAL),
        ModelCard("resnet152", resnet.ResNet152, 60_192_808, _DEEP_RESIDUAL),
        ModelCard("resnet20_cifar", resnet.ResNet20Cifar, 269_722, _DEEP_RESIDUAL),
        ModelCard("resnet32_cifar", resnet.ResNet32Cifar, 464_154, _DEEP_RESIDUAL),
        ModelCard("resnet44_cifar", resnet.ResNet44Cifar, 658_586, _DEEP_RESIDUAL),
        ModelCard("resnet56_cifar", resnet.ResNet56Cifar, 853_018, _DEEP_RESIDUAL),
        ModelCard("resnet110_cifar", resnet.ResNet110Cifar, 1_727_962, _DEEP_RESIDUAL),
    )
}


def list_models(pattern: str = "*") -> list[str]:
    """The names of the zoo.

    Args:
        pattern: String with `*` and `?`, as in file names; without either, any name that contains it.

    Examples:
    >>> bnzoo.list_models("resnet1*")
    ['resnet18', 'resnet101', 'resnet152', 'resnet110_cifar']
    """
    if not any(sign in pattern for sign in "*?["):
        pattern = f"*{pattern}*"
    return [name for name in _CARDS if fnmatch.fnmatchcase(name, pattern.lower())]


def model_card(name: str) -> ModelCard:
    """What is known of a model.

    Raises:
        ValueError: If there is no such model.
    """
    if name not in _CARDS:
        raise ValueError(unknown("model", name, _CARDS))
    return _CARDS[name]


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
