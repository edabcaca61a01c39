"""Weights that Keras has saved, of a network whose layers are known."""

from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

# a layer's name in the file, and its variables in their order
_Saved = tuple[str, list[np.ndarray]]

_KINDS = {"Conv2D": "conv2d", "BatchNormalization": "batch_normalization", "Dense": "dense"}


def classes_in(path: str | Path) -> int | None:
    """The number of classes of the classifier in a file of a convolutional network, `None` if it has no classifier.

    Args:
        path: The path of a `.h5` file.

    Raises:
        ValueError: If it is no HDF5 file.
        FileNotFoundError: If there is none.
    """
    found: list[int] = []

    def visit(name: str, item: Any) -> None:
        # only a dense layer has a kernel of two axes; what an optimizer has kept of it has the same shape
        if isinstance(item, h5py.Dataset) and len(item.shape) == 2:
            found.append(item.shape[1])

    with _opened(path) as file:
        file.visititems(visit)
    return found[0] if found else None


def read_as(model: keras.Model, path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a file, by the names that the variables have in a model.

    Keras numbers the layers in its files, or has called them otherwise when it wrote them: what counts is their order.

    Args:
        model: A model with the layers of the one that was saved. It stays as it is.
        path: The path of a `.weights.h5` file, or of an older `.h5` file of the weights or the whole model.

    Returns:
        Dict of `layer/variable` to arrays.

    Raises:
        ValueError: If the file is none of these, or of another network; the message names the first tensor that does
            not fit, and both shapes.
        FileNotFoundError: If there is no such file.
    """
    tensors = {}
    with _opened(path) as file:
        if "layers" in file:
            saved = _saved(file["layers"], model)
        else:
            saved = _saved_before_keras_3(file.get("model_weights", file))  # of the whole model, or the weights alone
        layers = [(layer.name, layer.weights) for layer in model.layers if layer.weights]
        for (layer, variables), (saved_layer, arrays) in zip_longest(layers, saved, fillvalue=("", [])):
            for variable, array in zip_longest(variables, arrays):
                if variable is None or array is None or tuple(variable.shape) != array.shape:
                    there = "nothing" if variable is None else f"'{layer}/{variable.name}' of shape {variable.shape}"
                    here = "nothing" if array is None else f"a tensor of {saved_layer!r} of shape {array.shape}"
                    raise ValueError(
                        f"{path} does not fit {model.name!r}: where the network has {there}, the file has {here}. "
                        "Is it a file of that network?"
                    )
                tensors[f"{layer}/{variable.name}"] = array
    return tensors


def _opened(path: str | Path) -> h5py.File:
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}")
    if not h5py.is_hdf5(path):
        raise ValueError(
            f"Weights of keras.applications are read from .h5 and .weights.h5 files; load a .keras file with "
            f"`keras.models.load_model` and pass the model. Received: {path}, which is no HDF5 file"
        )
    return h5py.File(path, "r")


def _saved(layers: h5py.Group, model: keras.Model) -> Iterator[_Saved]:
    """The layers of a `.weights.h5` file: called after their class and how many of it there are before."""
    before: Counter[str] = Counter()
    rest = {name: group["vars"] for name, group in layers.items() if len(group.get("vars", ()))}
    for layer in model.layers:
        kind = _KINDS.get(type(layer).__name__)
        if kind is not None:
            name = f"{kind}_{before[kind]}" if before[kind] else kind
            before[kind] += 1
            stored = rest.pop(name, {})
            yield name, [stored[str(i)][()] for i in range(len(stored))]
    for name, stored in rest.items():
        yield name, [array[()] for array in stored.values()]


def _saved_before_keras_3(layers: h5py.Group) -> Iterator[_Saved]:
    for name in _names(layers, "layer_names"):
        arrays = [layers[name][tensor][()] for tensor in _names(layers[name], "weight_names")]
        if arrays:
            yield name, arrays


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names among the attributes, which is in several parts where it is long."""
    parts = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(parts)}" in group.attrs:
        parts.append(f"{attribute}{len(parts)}")
    return [name.decode() if isinstance(name, bytes) else str(name) for part in parts for name in group.attrs[part]]
