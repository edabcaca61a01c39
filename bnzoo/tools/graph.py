"""The graph of a functional model: the calls of its layers, those in nested models included."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from bnzoo.keras_internals import flatten_layers, functional_model, nodes
from bnzoo.layers import Recompute


@dataclass(eq=False)
class Edge:
    """A tensor between two calls.

    Attributes:
        shape: Tuple, with `None` for unknown sizes.
        producer: The call whose output it is, `None` for an input of the model.
        readers: The calls that have it as an input.
        is_output: Boolean, whether it is an output of the model.
    """

    shape: tuple
    producer: "Call | None" = None
    readers: list["Call"] = field(default_factory=list)
    is_output: bool = False


@dataclass(eq=False)
class Call:
    """One call of a layer.

    Attributes:
        layer: The layer, or an operation without weights such as an addition of tensors.
        name: String, the layer's name, after the names of the nested models around it.
        inputs: The edges of its arguments, that of the first argument first.
        outputs: The edges of its outputs.
        training: Boolean, the argument `training` of this call in the graph, or `None`.
    """

    layer: Any
    name: str
    inputs: list[Edge]
    outputs: list[Edge]
    training: bool | None


class Graph:
    """The calls of a model, in an order in which they can be made.

    The call of a nested model is replaced by the calls of its layers.

    Args:
        model: A functional or Sequential `keras.Model`.

    Attributes:
        calls: List of `Call`.
        outputs: List of `Edge`, in the order of the model's outputs.
    """

    def __init__(self, model: keras.Model) -> None:
        self.calls: list[Call] = []
        inputs = [Edge(tensor.shape) for tensor in functional_model(model).inputs]
        self.outputs = self._follow(model, inputs, (), None)
        for edge in self.outputs:
            edge.is_output = True

    def of(self, layer: Any) -> list[Call]:
        """Return the calls of a layer."""
        return [call for call in self.calls if call.layer is layer]

    def layers(self) -> list[Any]:
        """Return each layer once, in the order of the first calls."""
        return list({id(call.layer): call.layer for call in self.calls}.values())

    def _follow(self, model: keras.Model, inputs: list[Edge], path: tuple[str, ...], training: Any) -> list[Edge]:
        def call(node: Any, args: tuple, kwargs: dict) -> list[Edge]:
            layer = node.operation
            own = kwargs.get("training")  # Keras does not take it by position
            effective = training if own is None else own
            inner = inner_model(layer)
            if inner is not None:
                inner_inputs = inputs_in_order(inner, first_argument(args, kwargs))
                return self._follow(inner, inner_inputs, (*path, layer.name), effective)
            edges = [edge for edge in keras.tree.flatten((args, kwargs)) if isinstance(edge, Edge)]
            made = Call(layer, "/".join((*path, layer.name)), edges, [], effective)
            made.outputs = [Edge(tensor.shape, made) for tensor in node.outputs]
            for edge in edges:
                edge.readers.append(made)
            self.calls.append(made)
            return made.outputs

        return run(functional_model(model), inputs, call)


def require_functional(model: Any) -> None:
    """Raise `ValueError` unless the model has a graph, as a functional or Sequential model has."""
    if functional_model(model) is not None:
        return
    if isinstance(model, keras.Model) and not model.built:
        raise ValueError(
            f"`model` has no weights yet: build it, or call it on data once. Received: {model.name}, not built"
        )
    raise ValueError(
        "`model` must be a functional or Sequential keras.Model: a subclassed model has no graph of its layers. "
        f"Received: {type(model).__name__}"
    )


def inner_model(layer: Any) -> keras.Model | None:
    """Return the nested model whose layers are called when a layer is called; `None` if there is none."""
    inner = layer.layer if isinstance(layer, Recompute) else layer
    return inner if functional_model(inner) is not None else None


def hidden_layers(layer: Any) -> Iterator[keras.Layer]:
    """Return the layers inside a layer without a graph: a wrapper, a subclassed model, a layer made of layers."""
    if isinstance(layer, keras.Layer):
        yield from flatten_layers(layer, include_self=False)


def run(model: keras.Model, inputs: Sequence, call: Callable[[Any, tuple, dict], Any]) -> list:
    """Run a functional model on values of any kind.

    Args:
        model: The functional model.
        inputs: A value for each of `model.inputs`.
        call: Function of a node of the graph and the values of its arguments. Returns the values of its outputs.

    Returns:
        A value for each of `model.outputs`.
    """
    values = {id(tensor): value for tensor, value in zip(model.inputs, inputs, strict=True)}
    for node in nodes(model):
        if not node.is_input:
            args, kwargs = node.arguments.fill_in(values)
            outputs = keras.tree.flatten(call(node, args, kwargs))
            values.update((id(tensor), value) for tensor, value in zip(node.outputs, outputs, strict=True))
    return [values[id(tensor)] for tensor in model.outputs]


def first_argument(args: tuple, kwargs: dict) -> Any:
    """Return the first argument of a call, by position or by name."""
    return next(iter((*args, *kwargs.values())))


def inputs_in_order(model: keras.Model, inputs: Any) -> list:
    """Return the inputs of a call of a model as a list, in the order of `model.inputs`.

    For a model with a list of inputs, they may be a dict by the names of the inputs.
    """
    inner = functional_model(model)
    if isinstance(inputs, dict) and not isinstance(inner.input, dict):
        return [inputs[tensor.name] for tensor in inner.inputs]
    return keras.tree.flatten(inputs)
