"""The zoo: builder functions over the blocks, and the registry."""

from bnzoo.models.mlp import MLP
from bnzoo.models.registry import ModelCard, create_model, list_models, model_card
from bnzoo.models.resnet import (
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
)

__all__ = [
    "MLP",
    "ModelCard",
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
    "create_model",
    "list_models",
    "model_card",
]
