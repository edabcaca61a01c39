"""Reading of weights that Keras has saved, for a network whose layers are known."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from bnzoo.reading import datasets, open_hdf5, regular_file, tensor

# the name of a layer in the file, and its variables in order, not read yet
_Saved = tuple[str, list[h5py.Dataset]]

_KINDS = {"Conv2D": "conv2d", "BatchNormalization": "batch_normalization", "Dense": "dense"}


def classes_in(path: str | Path, max_bytes: int | None = None) -> int | None:
    """Return the number of classes in a file of a convolutional network, `None` if it has no classifier.

    Args:
        path: The path of an `.h5` file.
        max_bytes: Integer, as for `read_as`.

    Raises:
        ValueError: If the file is no HDF5 file.
        FileNotFoundError: If there is no such file.
    """
    with _opened(path, max_bytes) as file:
        # Only a dense layer has a kernel with two axes. The slots of an optimizer have the same shape.
        kernels = [dataset.shape for _, dataset in datasets(file) if dataset.shape and len(dataset.shape) == 2]
    return kernels[0][1] if kernels else None


def read_as(model: keras.Model, path: str | Path, max_bytes: int | None = None) -> dict[str, np.ndarray]:
    """Return the tensors of a file by the names of the variables in a model.

    In an `.h5` file, layers are matched by name. Layers whose names have changed since the file was written are matched
    in order. The same applies to the variables of a layer. A `.weights.h5` file numbers the layers of each class in
    order.

    Args:
        model: A model with the layers of the saved one. It is not changed, and need not have values.
        path: The path of a `.weights.h5` file, or of an older `.h5` file of the weights or the whole model.
        max_bytes: Integer, the most bytes that the tensors may take in memory; `None` for 512 MiB or 100 times the size
            of the file, whichever is more.

    Returns:
        Dict from `layer/variable` to arrays.

    Raises:
        ValueError: If the file has another format, or is of another network; the message names the first tensor that
            does not fit, and both shapes.
        FileNotFoundError: If there is no such file.
    """
    tensors = {}
    with _opened(path, max_bytes) as file:
        for layer, variables, saved_layer, saved in _layers(file, model):
            for variable, item in zip_longest(variables, saved):
                shape = None if item is None else getattr(item, "shape", None)
                if variable is None or tuple(variable.shape) != shape:
                    there = "nothing" if variable is None else f"'{layer}/{variable.name}' of shape {variable.shape}"
                    here = "nothing" if item is None else f"a tensor of {saved_layer!r} of shape {shape}"
                    raise ValueError(
                        f"it does not fit {model.name!r}: where the network has {there}, the file has {here}. Check "
                        "that the file is of that network"
                    )
                tensors[f"{layer}/{variable.name}"] = tensor(item)
    return tensors


@contextmanager
def _opened(path: str | Path, max_bytes: int | None = None) -> Iterator[h5py.File]:
    if not h5py.is_hdf5(regular_file(path)):
        raise ValueError(
            "Weights of keras.applications are read from .h5 and .weights.h5 files. Load a .keras file with "
            f"`keras.models.load_model` and pass the model. Received: {path}, which is no HDF5 file"
        )
    with open_hdf5(path, "weights of keras.applications", max_bytes) as file:
        yield file


def _layers(file: h5py.File, model: keras.Model) -> Iterator[tuple[str, list[Any], str, list[h5py.Dataset]]]:
    """Pair each layer of the model that has variables with its layer in the file; then yield the other layers."""
    layers = [(layer.name, layer.weights) for layer in model.layers if layer.weights]
    saved = (
        _numbered(_group(file, "layers"), model)
        if "layers" in file
        else _named(_group(file, "model_weights") if "model_weights" in file else file, dict(layers))
    )
    for (layer, variables), (saved_layer, items) in zip_longest(layers, saved, fillvalue=("", [])):
        yield layer, variables, saved_layer, items


def _numbered(layers: h5py.Group, model: keras.Model) -> Iterator[_Saved]:
    """Return the layers of a `.weights.h5` file, which are named after their class and numbered."""
    before: Counter[str] = Counter()
    rest = {name: _group(_group(layers, name), "vars") for name in layers if "vars" in _group(layers, name)}
    rest = {name: variables for name, variables in rest.items() if len(variables)}
    for layer in model.layers:
        kind = _KINDS.get(type(layer).__name__)
        if kind is not None:
            name = f"{kind}_{before[kind]}" if before[kind] else kind
            before[kind] += 1
            stored = rest.pop(name, {})
            yield name, [stored[str(i)] for i in range(len(stored))]
    for name, stored in rest.items():
        yield name, list(stored.values())


def _named(file: h5py.Group, layers: Mapping[str, Sequence[Any]]) -> Iterator[_Saved]:
    """Return the layers of a file from before Keras 3 in the order of the model, then the other layers."""
    saved = {}
    for name in _names(file, "layer_names"):
        group = _group(file, name)
        if variables := {variable: group.get(variable) for variable in _names(group, "weight_names")}:
            saved[name] = variables
    # `conv1_conv` was `conv1/conv` in older versions of Keras
    for name in _in_order(saved, layers, lambda name: name.replace("/", "_")):
        variables = saved.get(name, {})
        names = [variable.name for variable in layers.get(name.replace("/", "_"), ())]
        order = _in_order(variables, names, lambda name: name.rsplit("/", 1)[-1].split(":")[0])
        yield name, [variables[variable] for variable in order if variable in variables]


def _in_order(saved: Collection[str], names: Collection[str], renamed: Callable[[str], str]) -> list[str]:
    """Return saved names in the order of the names of a model; names without a match fill the gaps in their order.

    Args:
        saved: The names in the file.
        names: The names in the model.
        renamed: Function of a name in the file that returns the name in the model.
    """
    matched = {renamed(name): name for name in saved if renamed(name) in names}
    others = [name for name in saved if name not in matched.values()]
    ordered = [matched[name] if name in matched else others.pop(0) if others else "" for name in names]
    return ordered + others


def _group(parent: h5py.Group, name: str) -> h5py.Group:
    group = parent.get(name)
    if not isinstance(group, h5py.Group):
        raise ValueError(f"it has {'a dataset' if name in parent else 'no group'} {name!r} where a layer is expected")
    return group


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """Return a list of names from the attributes; a long list has several parts."""
    parts = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(parts)}" in group.attrs:
        parts.append(f"{attribute}{len(parts)}")
    return [name.decode() if isinstance(name, bytes) else str(name) for part in parts for name in group.attrs[part]]
