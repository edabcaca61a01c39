"""Any norm for any other, in a model that is there already."""

from collections.abc import Callable
from typing import Any

import keras

from bnzoo import norms
from bnzoo.norms import Norm
from bnzoo.tools.graph import Graph, hidden_layers, require_functional
from bnzoo.tools.linear import is_linear
from bnzoo.tools.rebuild import Rebuilt, copy_of
from bnzoo.tools.successor import carry_weights, check_function, copy_by_meaning, successors

L = keras.layers


def replace_norm(model: keras.Model, norm: Any, keep_function: bool = False) -> keras.Model:
    """The model with another norm in the place of each norm.

    What has the same meaning in both is carried over: gamma and beta, their regularizers and the like where both norms
    scale what they have normalized; moving statistics, `momentum` and `epsilon` among the kinds of batch norm. Options
    given with the norm come first. A norm that replaces the activation (`filter_response`, `evonorm_s0`) takes the
    place of the one right behind it; where it goes, the activation that it generalises (`relu`, `silu`) comes. With
    `None` the norms are gone, and the linear layers before them get their biases back.

    Args:
        model: A built functional or Sequential `keras.Model`, keras.applications' own included. It stays as it is.
        norm: What normalizes: a name of `bnzoo.norms.list_norms()`, a dict with a `name` and options, a `bnzoo.Norm` or
            `None`.
        keep_function: Boolean, whether the new model starts as the same function at inference. This is possible with
            `"affine"` (scale and shift from the statistics) and the kinds of batch norm, in the place of these, and of
            any norm by itself.

    Returns:
        The new model, not compiled.

    Raises:
        ValueError: If the norm or an option is unknown, the model has no norm, one is where it cannot be reached, or
            the function cannot be kept.

    Examples:
    >>> model = bnzoo.tools.replace_norm(keras.applications.ResNet50(weights=None), "group")
    >>> model = bnzoo.tools.replace_norm(trained, {"name": "affine"}, keep_function=True)
    """
    return _replaced(model, norms.get(norm), lambda name: name is not None, keep_function)


def synchronize_batch_norm(model: keras.Model) -> keras.Model:
    """The model with its batch norms over the batches of all replicas, for training on several devices.

    Args:
        model: A built functional or Sequential `keras.Model`. It stays as it is.

    Returns:
        A model of the same weights and the same function at inference, not compiled.

    Raises:
        ValueError: If the model has no batch norm, or the backend is not TensorFlow.

    Reference:
        - [Peng et al., 2018: MegDet](https://arxiv.org/abs/1711.07240), section 3.2
    """
    return _replaced(model, norms.get("sync_batch"), lambda name: name == "batch", keep_function=True)


def unsynchronize_batch_norm(model: keras.Model) -> keras.Model:
    """The inverse of `synchronize_batch_norm`: each replica normalizes by its own batch.

    Args:
        model: A built functional or Sequential `keras.Model`. It stays as it is.

    Returns:
        A model of the same weights and the same function at inference, not compiled.

    Raises:
        ValueError: If the model has no synchronized batch norm.
    """
    return _replaced(model, norms.get("batch"), lambda name: name == "sync_batch", keep_function=True)


def _replaced(model: keras.Model, norm: Norm, chosen: Callable[[str | None], bool], keep_function: bool) -> keras.Model:
    require_functional(model)
    graph = Graph(model)
    olds = [layer for layer in graph.layers() if isinstance(layer, keras.Layer) and chosen(norms.name_of(layer))]
    _check_reach(model, graph, olds, chosen)
    for old in olds if keep_function else ():
        check_function(old, norm, graph.of(old))
    swallowed = _swallowed(graph, olds) if norm.replaces_activation else {}
    biased = {id(layer) for layer in _bare_linear_layers(graph, olds)} if not norm else set()

    def remake(layer: Any) -> list[keras.Layer] | None:
        if any(layer is old for old in olds):
            return successors(layer, norm, id(layer) in swallowed, keep_function)
        if any(layer is activation for activation in swallowed.values()):
            return []
        return [copy_of(layer, use_bias=True)] if id(layer) in biased else None

    rebuilt = Rebuilt(model, remake)
    for layer in graph.layers():
        if id(layer) in biased:
            copy_by_meaning(layer, *rebuilt[layer])
    for old in olds:
        for new in rebuilt[old][:1]:
            carry_weights(old, new, norm, keep_function)
    return rebuilt.model


def _check_reach(model: keras.Model, graph: Graph, olds: list, chosen: Callable) -> None:
    for layer in graph.layers():
        for inner in hidden_layers(layer):
            if chosen(norms.name_of(inner)):
                raise ValueError(
                    f"`model` has a norm that cannot be replaced: {inner.name} is inside {layer.name}, a "
                    f"{type(layer).__name__} that shows no graph. Build the model with the other norm there"
                )
    if not olds:
        raise ValueError(f"`model` has no norm to replace. Received: {model.name}")


def _swallowed(graph: Graph, olds: list) -> dict[int, keras.Layer]:
    """By the id of a norm, the activation that stands behind it, wherever it is called, and behind norms only."""
    behind = {}
    for old in olds:
        edges = [call.outputs[0] for call in graph.of(old)]
        readers = [reader for edge in edges for reader in edge.readers]
        layers = {id(reader.layer): reader.layer for reader in readers}
        alone = all(len(edge.readers) == 1 and not edge.is_output for edge in edges)
        if alone and len(layers) == 1 and _is_activation(readers[0].layer):
            behind[id(old)] = readers[0].layer
    return {
        key: activation
        for key, activation in behind.items()
        if all(call.inputs[0].producer and id(call.inputs[0].producer.layer) in behind for call in graph.of(activation))
    }


def _is_activation(layer: Any) -> bool:
    if isinstance(layer, L.Activation):
        return layer.activation not in (keras.activations.linear, keras.activations.softmax)
    return isinstance(layer, L.ReLU)


def _bare_linear_layers(graph: Graph, olds: list) -> list[keras.Layer]:
    """The linear layers without a bias right before the norms."""
    producers = [call.inputs[0].producer for old in olds for call in graph.of(old)]
    layers = [producer.layer for producer in producers if producer]
    return [layer for layer in layers if is_linear(layer) and not layer.use_bias]
