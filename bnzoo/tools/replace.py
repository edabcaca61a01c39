"""Replacement of the norms of a model by another norm."""

from collections.abc import Callable
from typing import Any

import keras

from bnzoo import norms
from bnzoo.norms import Norm
from bnzoo.tools.activation_layers import is_activation
from bnzoo.tools.graph import Graph, hidden_layers, require_functional
from bnzoo.tools.linear import is_linear
from bnzoo.tools.rebuild import Rebuilt, copy_of
from bnzoo.tools.successor import carry_weights, check_function, copy_by_meaning, successors


def replace_norm(model: keras.Model, norm: Any, keep_function: bool = False) -> keras.Model:
    """Return a copy of a model with another norm in place of each norm.

    Weights and options with the same meaning in both norms are carried over: gamma and beta with their regularizers
    and constraints, where both norms apply them to values of unit scale; moving statistics, `momentum` and `epsilon`
    among the kinds of batch norm. Options of the new norm take precedence. A norm that replaces the activation
    (`filter_response`, `evonorm_s0`) replaces the activation right behind the old norm too. When such a norm is
    replaced, the activation that it generalizes (`relu`, `silu`) is added. With `None` the norms are left out, and the
    linear layers before them get biases.

    Args:
        model: A built functional or Sequential `keras.Model`, those of `keras.applications` included. It is not
            changed.
        norm: The new norm: a name of `bnzoo.norms.list_norms()`, a dict with a `name` and options, a `bnzoo.Norm` or
            `None`.
        keep_function: Boolean, whether the new model starts as the same function at inference. This is possible from a
            kind of batch norm or `"affine"` to another of these (`"affine"` gets its scale and shift from the
            statistics), and from any norm to itself.

    Returns:
        The new model, not compiled.

    Raises:
        ValueError: If the norm or an option is unknown, the model has no norm, a norm is inside a layer without a
            graph, or the function cannot be kept. That of a subclass of batch norm is unknown.

    Examples:
    >>> model = bnzoo.tools.replace_norm(keras.applications.ResNet50(weights=None), "group")
    >>> model = bnzoo.tools.replace_norm(trained, {"name": "affine"}, keep_function=True)
    """
    return _replaced(model, norms.get(norm), lambda name: name is not None, keep_function)


def synchronize_batch_norm(model: keras.Model) -> keras.Model:
    """Return a copy of a model with batch norms over the batches of all replicas, for training on several devices.

    Args:
        model: A built functional or Sequential `keras.Model`. It is not changed.

    Returns:
        A model of the same weights and the same function at inference, not compiled.

    Raises:
        ValueError: If the model has no batch norm, or a subclass of it, or the backend is not TensorFlow.

    Reference:
        - [Peng et al., 2018: MegDet](https://arxiv.org/abs/1711.07240), section 3.2
    """
    return _replaced(model, norms.get("sync_batch"), lambda name: name == "batch", keep_function=True)


def synchronized_copy(model: keras.Model) -> keras.Model:
    """Return a copy as `synchronize_batch_norm` does, or a plain one if the model has no batch norm."""
    every = (inner for layer in Graph(model).layers() for inner in (layer, *hidden_layers(layer)))
    has_batch_norm = any(isinstance(layer, keras.Layer) and norms.name_of(layer) == "batch" for layer in every)
    return synchronize_batch_norm(model) if has_batch_norm else Rebuilt(model, lambda layer: None).model


def unsynchronize_batch_norm(model: keras.Model) -> keras.Model:
    """Return a copy of a model in which each replica normalizes by its own batch: undo `synchronize_batch_norm`.

    Args:
        model: A built functional or Sequential `keras.Model`. It is not changed.

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
    _check_within_reach(model, graph, olds, chosen)
    for old in olds if keep_function else ():
        check_function(old, norm, graph.of(old))
    activations = _activations_behind(graph, olds) if norm.replaces_activation else {}
    biased = {id(layer) for layer in _bare_linear_layers(graph, olds)} if not norm else set()

    def remake(layer: Any) -> list[keras.Layer] | None:
        if any(layer is old for old in olds):
            return successors(layer, norm, id(layer) in activations, keep_function)
        if any(layer is activation for activation in activations.values()):
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


def _check_within_reach(model: keras.Model, graph: Graph, olds: list, chosen: Callable) -> None:
    for layer in graph.layers():
        for inner in hidden_layers(layer):
            if chosen(norms.name_of(inner)):
                raise ValueError(
                    f"`model` has a norm that cannot be replaced: {inner.name} is inside {layer.name}, a "
                    f"{type(layer).__name__} without a graph. Build the model with the other norm in it"
                )
    if not olds:
        raise ValueError(f"`model` has no norm to replace. Received: {model.name}")


def _activations_behind(graph: Graph, olds: list) -> dict[int, keras.Layer]:
    """Return, by the id of each norm, the activation that alone reads its outputs and reads nothing but norms."""
    behind = {}
    for old in olds:
        edges = [call.outputs[0] for call in graph.of(old)]
        readers = [reader for edge in edges for reader in edge.readers]
        layers = {id(reader.layer): reader.layer for reader in readers}
        alone = all(len(edge.readers) == 1 and not edge.is_output for edge in edges)
        if alone and len(layers) == 1 and is_activation(readers[0].layer):
            behind[id(old)] = readers[0].layer
    return {
        key: activation
        for key, activation in behind.items()
        if all(call.inputs[0].producer and id(call.inputs[0].producer.layer) in behind for call in graph.of(activation))
    }


def _bare_linear_layers(graph: Graph, olds: list) -> list[keras.Layer]:
    """Return the linear layers without a bias right before the norms."""
    producers = [call.inputs[0].producer for old in olds for call in graph.of(old)]
    layers = [producer.layer for producer in producers if producer]
    return [layer for layer in layers if is_linear(layer) and not layer.use_bias]
