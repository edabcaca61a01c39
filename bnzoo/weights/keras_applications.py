"""Trained weights of `keras.applications`."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bnzoo.errors import unknown
from bnzoo.models import model_card
from bnzoo.weights.keras_files import classes_in, read_as
from bnzoo.weights.options import merged
from bnzoo.weights.translation import Naming, transfer

Tensors = dict[str, np.ndarray]


def _subtract(constant: Any, norm: str, tensors: Tensors) -> None:
    """Subtract from a moving mean a constant that is no longer added to the input of the norm."""
    mean = f"{norm}/moving_mean"
    if mean in tensors:  # `transfer` reports missing tensors
        tensors[mean] = tensors[mean].astype("float64") - constant


def _post_biases(tensors: Tensors) -> None:
    """Move the bias of each convolution into the norm behind it."""
    for name in [name.removesuffix("_conv/bias") for name in tensors if name.endswith("_conv/bias")]:
        _subtract(tensors.pop(f"{name}_conv/bias"), f"{name}_bn", tensors)


def _pre_biases(tensors: Tensors) -> None:
    """Move the biases that are added to the trunk into every norm behind them. They add up from block to block.

    The sum starts again at each convolution in a shortcut, which reads the trunk behind a norm. Identity and max
    pooling pass a constant on. The bias of the stem stays: behind the zero padding of its pooling it is no constant.
    """
    constant: Any = np.float64(0)
    blocks = [name.removesuffix("_3_conv/bias") for name in tensors if name.endswith("_3_conv/bias")]
    for block in sorted(blocks, key=lambda name: [int(number) for number in re.findall(r"\d+", name)]):
        _subtract(constant, f"{block}_preact_bn", tensors)
        constant = tensors.pop(f"{block}_0_conv/bias", constant) + tensors.pop(f"{block}_3_conv/bias").astype("float64")
    _subtract(constant, "post_bn", tensors)


def _no_biases(tensors: Tensors) -> None:
    """Do nothing: no convolution of the network has a bias."""


@dataclass(frozen=True)
class _Network:
    """A network of `keras.applications`.

    Attributes:
        function: String, the name of its builder in `keras.applications`.
        blocks: Tuple, the number of blocks of each stage.
        mark: String, a layer that the later families of the table do not have.
        naming: The names of its tensors.
        absorb: Function that moves the biases without a counterpart in bnzoo into moving means, in place, in float64.
        options: Dict, the arguments of bnzoo's builder that the weights were trained with.
    """

    function: str
    blocks: tuple[int, ...]
    mark: str
    naming: Naming
    absorb: Callable[[Tensors], None]
    options: Mapping[str, Any]


_PRE = {
    "norm": {"name": "batch", "epsilon": 1.001e-5, "momentum": 0.99},
    "placement": "pre",
    "activation": "relu",
}
_POST = {**_PRE, "placement": "post"}
_SAME = {"conv1_conv": "conv1_conv", "conv{s}_block{i}_{j}_conv": "conv{s}_block{i}_{j}_conv", "logits": "predictions"}

_V1 = partial(
    _Network,
    mark="conv2_block1_0_conv",
    naming=Naming({**_SAME, "conv1_norm": "conv1_bn", "conv{s}_block{i}_{j}_norm": "conv{s}_block{i}_{j}_bn"}),
    absorb=_post_biases,
    options={**_POST, "stem": "imagenet", "shortcut": "projection", "stride_in_1x1": True},
)
_V2 = partial(
    _Network,
    mark="conv2_block1_preact_bn",
    naming=Naming(
        {
            **_SAME,
            "conv{s}_block{i}_1_norm": "conv{s}_block{i}_preact_bn",
            "conv{s}_block{i}_{j}_norm": "conv{s}_block{i}_{j-1}_bn",  # has the number of the convolution before it
            "final_norm": "post_bn",
        }
    ),
    absorb=_pre_biases,
    options={**_PRE, "stem": "imagenet_zero_pad", "shortcut": "projection", "stride_in_last_block": True},
)
_DENSENET = partial(
    _Network,
    mark="pool2_bn",
    naming=Naming(
        {
            **_SAME,
            "conv1_norm": "conv1_bn",
            "conv{s}_block{i}_{j}_norm": "conv{s}_block{i}_{j-1}_bn",
            "pool{s}_conv": "pool{s}_conv",
            "pool{s}_norm": "pool{s}_bn",
            "final_norm": "bn",
        }
    ),
    absorb=_no_biases,
    options={**_PRE, "stem": "imagenet"},
)

# by their names in bnzoo
_NETWORKS = {
    "densenet121": _DENSENET("DenseNet121", (6, 12, 24, 16)),
    "densenet169": _DENSENET("DenseNet169", (6, 12, 32, 32)),
    "densenet201": _DENSENET("DenseNet201", (6, 12, 48, 32)),
    "resnet50_v2": _V2("ResNet50V2", (3, 4, 6, 3)),
    "resnet101_v2": _V2("ResNet101V2", (3, 4, 23, 3)),
    "resnet152_v2": _V2("ResNet152V2", (3, 8, 36, 3)),
    "resnet50": _V1("ResNet50", (3, 4, 6, 3)),
    "resnet101": _V1("ResNet101", (3, 4, 23, 3)),
    "resnet152": _V1("ResNet152", (3, 8, 36, 3)),
}


def from_keras_applications(
    model_or_path: Any, name: str | None = None, *, max_bytes: int | None = None, **overrides: Any
) -> keras.Model:
    """Return a network of `keras.applications` with its trained weights, as a bnzoo model of the same function.

    The biases before batch norms in `keras.applications` are moved into the moving means, exactly. The features of a
    pre-activation network before its last norm (`features=True`) are therefore without these constants. Scale images
    with `preprocess_input` of the network.

    Args:
        model_or_path: A built `keras.applications` model, or the path of its weights: an `.h5` file that
            `keras.applications` downloads, with the classifier or without, or a file of `save_weights`.
        name: String, the name of the network in bnzoo: `"resnet50"`, `"resnet50_v2"`, `"densenet121"`. It is needed
            with a path.
        max_bytes: Integer, the most bytes that the tensors of a file may take in memory; `None` for 512 MiB or 100
            times the size of the file, whichever is more.
        **overrides: Arguments of the builder that do not change the trained function: `include_top`, `input_shape`,
            `pooling`, `classifier_activation`, ... By default they are those of the model. `norm` may be another kind
            of batch norm.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If the network is unknown, an override contradicts the weights, or a tensor does not fit; the
            message names the first such tensor.
        FileNotFoundError: If there is no such file.

    Examples:
    >>> model = bnzoo.weights.from_keras_applications(keras.applications.ResNet50V2())
    >>> model = bnzoo.weights.from_keras_applications("trained.weights.h5", "densenet121", include_top=False)
    """
    if isinstance(model_or_path, keras.Model):
        recognized = _recognize(model_or_path)
        if name not in (None, recognized):
            raise ValueError(f"The model is a {recognized!r}: leave out `name`. Received: name={name!r}")
        ends = _ends(model_or_path)
        if overrides.get("input_tensor") is not None:
            del ends["input_shape"]
        return _imported(recognized, _tensors(model_or_path), {**ends, **overrides})
    if not isinstance(model_or_path, str | Path):
        raise ValueError(
            "`model_or_path` must be a model of keras.applications or the path of its weights. "
            f"Received: {type(model_or_path).__name__}"
        )
    if name is None:
        raise ValueError(f"`name` is needed with a path. Known: {', '.join(_NETWORKS)}. Received: name=None")
    build = getattr(keras.applications, _network(name).function)
    classes = classes_in(model_or_path, max_bytes)
    # Only names and shapes are compared. Values would take memory before the file is checked.
    with keras.StatelessScope(initialize_variables=False):
        skeleton = build(weights=None, include_top=classes is not None, classes=classes or 1000)
    tensors = read_as(skeleton, model_or_path, max_bytes)
    return _imported(name, tensors, {**({"classes": classes} if classes else {}), **overrides})


def imagenet(name: str, /, **overrides: Any) -> keras.Model:
    """Return a network with the ImageNet weights of `keras.applications`, downloaded and checked by their hash.

    Args:
        name: String, the name of the network in bnzoo: `"resnet50"`, `"resnet50_v2"`, `"densenet121"`, ...
        **overrides: As in `bnzoo.weights.from_keras_applications`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If `keras.applications` has no weights for the network, or an override contradicts them.

    Examples:
    >>> model = bnzoo.weights.imagenet("resnet50", include_top=False, pooling="avg")
    """
    network = _network(name)
    merged(network.options, overrides, _origin(name))
    include_top = overrides.get("include_top", True)
    if include_top and overrides.get("classes", 1000) != 1000:
        raise ValueError(
            "`classes` must be 1000 with weights='imagenet' and its classifier. For your own classes, pass "
            f"include_top=False, pooling='avg' and add a `keras.layers.Dense`. Received: classes={overrides['classes']}"
        )
    model = getattr(keras.applications, network.function)(weights="imagenet", include_top=include_top)
    return _imported(name, _tensors(model), overrides)


def _network(name: str) -> _Network:
    if name not in _NETWORKS:
        raise ValueError(unknown("network of keras.applications", name, _NETWORKS))
    return _NETWORKS[name]


def _recognize(model: keras.Model) -> str:
    layers = {layer.name for layer in model.layers}
    stages = Counter(match[1] for layer in layers if (match := re.fullmatch(r"conv(\d)_block\d+_1_conv", layer)))
    blocks = tuple(stages[stage] for stage in sorted(stages))
    for name, network in _NETWORKS.items():
        if network.mark in layers and network.blocks == blocks:
            return name
    raise ValueError(
        f"The model must be one of these of keras.applications: {', '.join(_NETWORKS)}. Received: {model.name!r}"
    )


def _ends(model: keras.Model) -> dict[str, Any]:
    """Return the arguments that a model of `keras.applications` was built with."""
    layers = {layer.name: layer for layer in model.layers}
    ends: dict[str, Any] = {"input_shape": tuple(model.input_shape[1:])}
    if "predictions" in layers:
        head = layers["predictions"]
        activation = keras.activations.serialize(head.activation)
        return {**ends, "classes": head.units, "classifier_activation": activation}
    pooling = next((name.removesuffix("_pool") for name in ("avg_pool", "max_pool") if name in layers), None)
    return {**ends, "include_top": False, "pooling": pooling}


def _tensors(model: keras.Model) -> Tensors:
    return {f"{layer.name}/{variable.name}": variable.numpy() for layer in model.layers for variable in layer.weights}


def _origin(name: str) -> str:
    return f"weights of keras.applications for {name!r}"


def _imported(name: str, tensors: Tensors, overrides: Mapping[str, Any]) -> keras.Model:
    network, origin = _network(name), _origin(name)
    options = merged({**network.options, "name": name}, overrides, origin)
    network.absorb(tensors)
    return transfer(model_card(name).builder(**options), tensors, network.naming, origin)
