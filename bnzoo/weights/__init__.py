"""Trained weights of `keras.applications`, torchvision and timm, as bnzoo models of exactly the same function."""

from bnzoo.weights.keras_applications import from_keras_applications, imagenet
from bnzoo.weights.pytorch import from_torch

__all__ = ["from_keras_applications", "from_torch", "imagenet"]
