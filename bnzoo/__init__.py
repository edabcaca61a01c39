"""bnzoo: the model zoo for Keras 3 in which normalization is an argument."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from bnzoo import blocks, data, export, layers, models, norms, placements, reports, tools, tuning, weights
    from bnzoo.models import (
        MLP,
        WRN16_4,
        WRN28_2,
        WRN28_10,
        WRN40_2,
        DenseNet,
        DenseNet40_12,
        DenseNet121,
        DenseNet161,
        DenseNet169,
        DenseNet201,
        DenseNet264,
        DenseNetBC100_12,
        DenseNetBC190_40,
        DenseNetCifar,
        ModelCard,
        ResNet,
        ResNet18,
        ResNet20Cifar,
        ResNet32Cifar,
        ResNet34,
        ResNet44Cifar,
        ResNet50,
        ResNet50D,
        ResNet50V2,
        ResNet56Cifar,
        ResNet101,
        ResNet101D,
        ResNet101V2,
        ResNet110Cifar,
        ResNet152,
        ResNet152D,
        ResNet152V2,
        ResNet164Cifar,
        ResNet1001Cifar,
        ResNetCifar,
        ResNeXt50_32x4d,
        ResNeXt101_32x4d,
        ResNeXt101_32x8d,
        SEResNet50,
        SEResNet101,
        SEResNet152,
        SEResNeXt50_32x4d,
        ViT,
        ViTB16,
        ViTB32,
        ViTL16,
        ViTL32,
        ViTS16,
        ViTTi16,
        WideResNet50_2,
        WideResNet101_2,
        WideResNetCifar,
        create_model,
        list_models,
        model_card,
    )
    from bnzoo.norms import Norm
    from bnzoo.tools import load_model, no_decay_variables

__version__ = "0.1.0"

__all__ = [
    "MLP",
    "WRN16_4",
    "WRN28_2",
    "WRN28_10",
    "WRN40_2",
    "DenseNet",
    "DenseNet40_12",
    "DenseNet121",
    "DenseNet161",
    "DenseNet169",
    "DenseNet201",
    "DenseNet264",
    "DenseNetBC100_12",
    "DenseNetBC190_40",
    "DenseNetCifar",
    "ModelCard",
    "Norm",
    "ResNeXt50_32x4d",
    "ResNeXt101_32x4d",
    "ResNeXt101_32x8d",
    "ResNet",
    "ResNet18",
    "ResNet20Cifar",
    "ResNet32Cifar",
    "ResNet34",
    "ResNet44Cifar",
    "ResNet50",
    "ResNet50D",
    "ResNet50V2",
    "ResNet56Cifar",
    "ResNet101",
    "ResNet101D",
    "ResNet101V2",
    "ResNet110Cifar",
    "ResNet152",
    "ResNet152D",
    "ResNet152V2",
    "ResNet164Cifar",
    "ResNet1001Cifar",
    "ResNetCifar",
    "SEResNeXt50_32x4d",
    "SEResNet50",
    "SEResNet101",
    "SEResNet152",
    "ViT",
    "ViTB16",
    "ViTB32",
    "ViTL16",
    "ViTL32",
    "ViTS16",
    "ViTTi16",
    "WideResNet50_2",
    "WideResNet101_2",
    "WideResNetCifar",
    "blocks",
    "create_model",
    "data",
    "export",
    "layers",
    "list_models",
    "load_model",
    "model_card",
    "models",
    "no_decay_variables",
    "norms",
    "placements",
    "reports",
    "tools",
    "tuning",
    "weights",
]


_PARTS = {path.stem for path in Path(__file__).parent.iterdir()}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'bnzoo' has no attribute {name!r}")
    elsewhere = {"Norm": "norms", "load_model": "tools", "no_decay_variables": "tools"}
    if name in elsewhere:
        return getattr(importlib.import_module(f"bnzoo.{elsewhere[name]}"), name)
    if name in _PARTS:  # before the models, which are made of some of them
        return importlib.import_module(f"bnzoo.{name}")
    return getattr(importlib.import_module("bnzoo.models"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]


# Keras takes seconds to import, and `bnzoo --help` needs none of it.
@wrapt.when_imported("keras")
def _register_layers(keras: ModuleType) -> None:
    """Register the layers of bnzoo with Keras when Keras is imported, before bnzoo or after it."""
    importlib.import_module("bnzoo.layers")
