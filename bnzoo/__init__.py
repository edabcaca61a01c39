"""bnzoo: the model zoo for Keras 3 in which normalization is an argument."""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnzoo import blocks, data, export, layers, models, norms, placements, reports, tools, tuning
    from bnzoo.models import (
        MLP,
        ModelCard,
        ResNet,
        ResNet18,
        ResNet20Cifar,
        ResNet32Cifar,
        ResNet34,
        ResNet44Cifar,
        ResNet50,
        ResNet56Cifar,
        ResNet101,
        ResNet110Cifar,
        ResNet152,
        ResNetCifar,
        create_model,
        list_models,
        model_card,
    )
    from bnzoo.norms import Norm

__version__ = "0.1.0"

__all__ = [
    "MLP",
    "ModelCard",
    "Norm",
    "ResNet",
    "ResNet18",
    "ResNet20Cifar",
    "ResNet32Cifar",
    "ResNet34",
    "ResNet44Cifar",
    "ResNet50",
    "ResNet56Cifar",
    "ResNet101",
    "ResNet110Cifar",
    "ResNet152",
    "ResNetCifar",
    "blocks",
    "create_model",
    "data",
    "export",
    "layers",
    "list_models",
    "model_card",
    "models",
    "norms",
    "placements",
    "reports",
    "tools",
    "tuning",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'bnzoo' has no attribute {name!r}")
    if name == "Norm":
        return importlib.import_module("bnzoo.norms").Norm
    models = importlib.import_module("bnzoo.models")
    return getattr(models, name) if name in models.__all__ else importlib.import_module(f"bnzoo.{name}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]


# Importing the package registers its layers, so that Keras loads saved models. The command line must answer `--help`
# without waiting for TensorFlow, and keep its chatter off stderr: there, what a command needs is imported by it.
if Path(sys.argv[0] if sys.argv else "").name != "bnzoo":
    importlib.import_module("bnzoo.models")
