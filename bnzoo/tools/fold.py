"""Batch norm folded into the linear layer before it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

L = keras.layers


def _last_axis(scale: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return kernel * scale


def _transposed(scale: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return kernel * scale[:, None]


def _depthwise(scale: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return kernel * scale.reshape(kernel.shape[-2:])


# exact type -> (the kernel that meets the output channels, how a scale per output channel multiplies it)
_LINEAR: dict[type, tuple[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    L.Dense: ("kernel", _last_axis),
    L.Conv1D: ("kernel", _last_axis),
    L.Conv2D: ("kernel", _last_axis),
    L.Conv3D: ("kernel", _last_axis),
    L.Conv1DTranspose: ("kernel", _transposed),
    L.Conv2DTranspose: ("kernel", _transposed),
    L.Conv3DTranspose: ("kernel", _transposed),
    L.DepthwiseConv1D: ("kernel", _depthwise),
    L.DepthwiseConv2D: ("kernel", _depthwise),
    L.SeparableConv1D: ("pointwise_kernel", _last_axis),
    L.SeparableConv2D: ("pointwise_kernel", _last_axis),
}
# what changes nothing at inference and may stand between
_TRANSPARENT = (L.Dropout, L.Identity, L.SpatialDropout1D, L.SpatialDropout2D, L.SpatialDropout3D)


@dataclass
class FoldReport:
    """What `fold_batch_norm` did.

    Attributes:
        folded: The names of the norms that are gone, with the layer that each went into.
        kept: The names of the norms that stay, with the reason.
    """

    folded: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        head = f"{len(self.folded)} of {len(self.folded) + len(self.kept)} batch norms folded"
        return "\n".join([head, *(f"  kept {name}: {reason}" for name, reason in self.kept.items())])


class _Refused(Exception):  # noqa: N818  # a finding, not an error
    """A norm cannot be folded; the message says why."""


class _Graph:
    """Who feeds whom in a functional model."""

    def __init__(self, model: keras.Model) -> None:
        self.nodes = [node for nodes in _by_depth(model) for node in nodes]
        self.producer = {id(tensor): node for node in self.nodes for tensor in node.outputs}
        self.calls = Counter(id(node.operation) for node in self.nodes)
        self.readers = Counter(id(tensor) for node in self.nodes for tensor in node.arguments.keras_tensors)
        self.outputs = {id(tensor) for tensor in keras.tree.flatten(model.outputs)}


def _by_depth(model: keras.Model) -> list[list[Any]]:
    depths = model._nodes_by_depth
    return [depths[depth] for depth in sorted(depths, reverse=True)]


def fold_batch_norm(model: keras.Model) -> tuple[keras.Model, FoldReport]:
    """The same function at inference, without the batch norms that a linear layer before them can take in.

    `kernel * s` and `(bias - mean) * s + beta`, with `s = gamma / sqrt(variance + epsilon)`, computed in float64 and
    cast once. The model that is passed stays as it is.

    Args:
        model: A built functional or Sequential `keras.Model`. Norms inside a nested model stay.

    Returns:
        The folded model, not compiled, and a `FoldReport`: what was folded, what was not, and why.

    Raises:
        ValueError: If the model is subclassed or not built.

    Examples:
    >>> folded, report = bnzoo.tools.fold_batch_norm(bnzoo.ResNet50())
    >>> print(report)
    53 of 53 batch norms folded
    """
    functional = _functional(model)
    graph = _Graph(functional)
    report = FoldReport()
    arrays: dict[int, dict[str, np.ndarray]] = {}
    for node in graph.nodes:
        layer = node.operation
        if isinstance(layer, L.BatchNormalization):
            try:
                target = _target(node, graph, report)
                scale, shift = _scale_and_shift(layer)
            except _Refused as refused:
                report.kept[layer.name] = str(refused)
            else:
                _absorb(target, scale, shift, arrays)
                report.folded[layer.name] = target.name
        elif isinstance(layer, keras.Model | L.Wrapper):
            for inner in layer._flatten_layers():
                if isinstance(inner, L.BatchNormalization):
                    report.kept[inner.name] = f"it is inside {layer.name} ({type(layer).__name__})"
    return _rebuild(functional, arrays, report.folded, graph), report


def _functional(model: keras.Model) -> keras.Model:
    if not getattr(model, "built", False):
        raise ValueError(f"`model` has no weights yet: build it first. Received: {model.name}, not built")
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs, model.outputs, name=model.name)
    if not hasattr(model, "_nodes_by_depth"):
        raise ValueError(
            "`model` must be a functional or Sequential model: a subclassed model does not tell which layer feeds "
            f"which. Received: {type(model).__name__}"
        )
    return model


def _target(node: Any, graph: _Graph, report: FoldReport) -> keras.Layer:
    """The linear layer that can take in this norm, or `_Refused`."""
    norm = node.operation
    if graph.calls[id(norm)] > 1:
        raise _Refused(f"it is called {graph.calls[id(norm)]} times")
    if node.arguments.kwargs.get("training") is True:
        raise _Refused("it was called with training=True and uses the statistics of each batch")
    source = _source(node.arguments.keras_tensors[0], graph, report)
    layer = source.operation
    if layer.activation is not keras.activations.linear:
        raise _Refused(f"{layer.name} has an activation of its own before the norm")
    if graph.calls[id(layer)] > 1:
        raise _Refused(f"{layer.name} is called {graph.calls[id(layer)]} times")
    if getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None):
        raise _Refused(f"the kernel of {layer.name} is quantised or has a LoRA part")
    rank = len(source.outputs[0].shape)
    channels = 1 if getattr(layer, "data_format", None) == "channels_first" else rank - 1
    if norm.axis % rank != channels:
        raise _Refused(f"it normalizes axis {norm.axis}, which is not the channel axis of {layer.name}")
    return layer


def _source(tensor: Any, graph: _Graph, report: FoldReport) -> Any:
    """The linear node that made a tensor, past what does nothing at inference; nobody else may read on the way."""
    while True:
        source = graph.producer[id(tensor)]
        layer, name = source.operation, source.operation.name
        linear = isinstance(layer, L.Activation) and layer.activation is keras.activations.linear
        passes = linear or isinstance(layer, _TRANSPARENT) or name in report.folded
        if not passes and type(layer) not in _LINEAR:
            raise _Refused(f"it normalizes the output of {name} ({type(layer).__name__}), not of one linear layer")
        if id(tensor) in graph.outputs:
            raise _Refused(f"the output of {name} is also an output of the model")
        if graph.readers[id(tensor)] > 1:
            raise _Refused(f"the output of {name} is also read by another layer")
        if not passes:
            return source
        tensor = source.arguments.keras_tensors[0]


def _scale_and_shift(norm: keras.Layer) -> tuple[np.ndarray, np.ndarray]:
    mean, variance = (np.asarray(v, np.float64) for v in (norm.moving_mean, norm.moving_variance))
    if not (np.isfinite(mean).all() and np.isfinite(variance).all() and (variance >= 0).all()):
        raise _Refused("its moving statistics are not finite or a variance is negative")
    scale = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * np.asarray(norm.gamma, np.float64)
    shift = -mean * scale
    if norm.center:
        shift = shift + np.asarray(norm.beta, np.float64)
    return scale, shift


def _absorb(layer: keras.Layer, scale: np.ndarray, shift: np.ndarray, arrays: dict[int, dict[str, np.ndarray]]) -> None:
    """Multiplies the norm into the kernel and bias that are kept for this layer, in float64."""
    name, multiply = _LINEAR[type(layer)]
    mine = arrays.setdefault(id(layer), {name: np.asarray(getattr(layer, name), np.float64)})
    if "bias" not in mine:
        mine["bias"] = np.asarray(layer.bias, np.float64) if layer.use_bias else np.zeros(len(scale))
    mine[name] = multiply(scale, mine[name])
    mine["bias"] = mine["bias"] * scale + shift


def _rebuild(
    model: keras.Model, arrays: dict[int, dict[str, np.ndarray]], folded: dict[str, str], graph: _Graph
) -> keras.Model:
    clones: dict[int, Any] = {}
    norms = {id(n.operation): n for n in graph.nodes if n.operation.name in folded}
    originals: dict[int, int] = {}

    def clone(layer: Any) -> Any:
        if id(layer) not in clones:
            config = layer.get_config()
            if id(layer) in arrays:
                config["use_bias"] = True
            clones[id(layer)] = type(layer).from_config(config)
            originals[id(clones[id(layer)])] = id(layer)
        return clones[id(layer)]

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        node = norms.get(originals.get(id(layer), 0))
        if node is None:
            return layer(*args, **kwargs)
        # the name of an output is that of its layer
        return L.Identity(name=layer.name)(args[0]) if id(node.outputs[0]) in graph.outputs else args[0]

    compiled, model.compiled = model.compiled, False  # a folded model is for inference
    try:
        result = keras.models.clone_model(model, clone_function=clone, call_function=call)
    finally:
        model.compiled = compiled
    for layer in model.layers:
        if id(layer) in arrays:
            for name, value in arrays[id(layer)].items():
                getattr(clones[id(layer)], name).assign(value)
            _copy_rest(layer, clones[id(layer)], set(arrays[id(layer)]))
        elif id(layer) in clones and layer.variables and layer.name not in folded:
            clones[id(layer)].set_weights(layer.get_weights())
    return result


def _copy_rest(layer: keras.Layer, clone: keras.Layer, done: set[str]) -> None:
    for variable in layer.variables:
        name = variable.path.rsplit("/", 1)[-1]
        if name not in done:
            getattr(clone, name).assign(variable)
