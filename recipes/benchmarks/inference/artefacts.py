"""Exports of a network in every format, with their size and their difference from the model."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

import bnzoo
from bnzoo import export
from recipes.benchmarks.training.contestants import NETWORKS, Network

# the height of the images, and the number of classes
SIZES = {"ResNet-50": (224, 1000), "DenseNet-121": (224, 1000), "CIFAR ResNet-20": (32, 10)}
STOCK = "Keras"
FORMATS = {"SavedModel": "saved_model", "ONNX": "onnx", "LiteRT": "litert", "OpenVINO": "openvino"}
SAMPLES = 8
INPUT = "image"


@dataclass(frozen=True)
class Made:
    """An artefact.

    Attributes:
        kind: String, `STOCK` or one of `FORMATS`.
        format: String, the name of the format in `bnzoo.export.runtimes`.
        folder: Path of the artefact.
        difference: Float, the largest difference of its outputs from the model's, relative to the largest output.
    """

    kind: str
    format: str
    folder: Path
    difference: float = math.nan

    @property
    def size(self) -> int:
        """The size of its files in bytes."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


def make(name: str, folder: Path) -> Iterator[Made]:
    """Export a network with Keras, and with bnzoo in every format, with the same weights. Print skipped formats.

    Args:
        name: String, one of `SIZES`.
        folder: An empty folder.
    """
    size, classes = SIZES[name]
    stock, ours = models(NETWORKS[name], size, classes)
    path = folder / STOCK
    stock.export(path, verbose=False)
    yield Made(STOCK, "saved_model", path)
    for kind, format in FORMATS.items():
        try:
            report = getattr(export, format)(ours, folder / kind, sample=images(SAMPLES, size))
        except ImportError as error:
            print(f"{kind} is skipped: {error}")
            continue
        yield Made(kind, format, report.path, report.difference)


def models(network: Network, size: int, classes: int) -> tuple[keras.Model, keras.Model]:
    """Return the network of keras.applications and that of bnzoo, with the same function.

    For a network that keras.applications does not have, both are the network of bnzoo.
    """
    if network.keras is None:
        ours = getattr(bnzoo, network.bnzoo)(input_shape=(size, size, 3), classes=classes)
        return (settled(ours), ours)
    inputs = keras.Input((size, size, 3), name=INPUT)
    stock = settled(getattr(keras.applications, network.keras)(weights=None, input_tensor=inputs, classes=classes))
    return stock, bnzoo.weights.from_keras_applications(stock)


def settled(model: keras.Model) -> keras.Model:
    """Set random gamma and beta in batch norms and recalibrate them, so that folding changes the weights."""
    random = np.random.default_rng(1)
    norms: list[Any] = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.gamma.assign(random.uniform(0.8, 1.2, norm.gamma.shape))
        norm.beta.assign(random.normal(0, 0.1, norm.beta.shape))
    bnzoo.tools.recalibrate_batch_norm(model, images(SAMPLES, model.input_shape[1]))
    return model


def images(count: int, size: int) -> np.ndarray:
    """Return random images of 8 by 8 squares. Pixel noise would average out, and all images would look alike."""
    squares = np.random.default_rng(0).normal(size=(count, 8, 8, 3)).astype(np.float32)
    return squares.repeat(size // 8, axis=1).repeat(size // 8, axis=2)
