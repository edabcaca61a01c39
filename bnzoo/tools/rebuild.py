"""Copies of models in which some layers are replaced or left out."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras

from bnzoo.keras_internals import functional_model, operation_of
from bnzoo.layers import Recompute
from bnzoo.layers.batch_normalization import CUSTOM_OBJECTS
from bnzoo.tools.graph import first_argument, inner_model, run
from bnzoo.tools.state import copy_assets, copy_variables

# Function of a layer. Returns the layers that replace it, called one after another; an empty sequence to leave it out;
# or `None` for a copy of it.
Remake = Callable[[Any], Sequence[keras.Layer] | None]


class Rebuilt:
    """A copy of a functional or Sequential model: layers and structure, nested models included, names, weights, assets.

    Shared layers stay shared. The original model is not changed. The copy is not compiled.

    Args:
        model: The original model.
        remake: Function of a layer that returns the layers that replace it, called one after another. For an empty
            sequence the layer is left out, and its input is passed on; for `None` the layer is copied with its weights.
        copy: Function of a layer that returns a copy of it, without weights; by default with the same arguments. The
            inputs of nested models are copied with it too, the inputs of the model itself stay as they are.

    Attributes:
        model: The copy.
    """

    def __init__(self, model: keras.Model, remake: Remake, copy: Callable[[Any], Any] | None = None) -> None:
        self._remake = remake
        self._copy_of = copy or copy_of
        self._made: dict[int, tuple[Any, ...]] = {}
        self._placeholders: dict[int, keras.layers.Identity] = {}
        self._copied: list[tuple[Any, Any]] = []
        self.model: keras.Model = self._model(model, copy_of)
        for old, new in self._copied:
            copy_variables(old, new)

    def __getitem__(self, layer: Any) -> tuple[Any, ...]:
        """Return the layers that replace a layer of the original model, or its copy."""
        return self._made[id(layer)]

    def _model(self, model: keras.Model, copy_input: Callable[[Any], Any]) -> keras.Model:
        inputs = [copy_input(operation_of(tensor)) for tensor in functional_model(model).inputs]
        return self._sequential(model, inputs) if type(model) is keras.Sequential else self._functional(model, inputs)

    def _sequential(self, model: keras.Sequential, inputs: list[Any]) -> keras.Sequential:
        layers = [made for layer in model.layers for made in self._layers(layer)]
        if not self._layers(model.layers[-1]):  # an output has the name of its layer
            layers.append(self._placeholder(model.layers[-1]))
        return keras.Sequential([*inputs, *layers], name=model.name, trainable=model.trainable)

    def _functional(self, model: keras.Model, inputs: list[Any]) -> keras.Model:
        ends = {id(tensor) for tensor in model.outputs}

        def call(node: Any, args: tuple, kwargs: dict) -> Any:
            layers = self._layers(node.operation)
            if len(layers) == 1 and type(layers[0]) is type(node.operation):
                return layers[0](*args, **kwargs)
            x = first_argument(args, kwargs)
            options = _options(node.operation, args, kwargs)
            for layer in layers:
                x = layer(x, **{name: value for name, value in options.items() if _takes(layer, name)})
            if not layers and (id(node.outputs[0]) in ends or x.dtype != node.outputs[0].dtype):
                x = self._placeholder(node.operation)(x)
            return x

        tensors = [layer.output for layer in inputs]
        outputs = run(model, tensors, call)
        return keras.Model(
            keras.tree.pack_sequence_as(model.input, tensors),
            keras.tree.pack_sequence_as(model.output, outputs),
            name=model.name,
            trainable=model.trainable,
        )

    def _layers(self, layer: Any) -> tuple[Any, ...]:
        if id(layer) not in self._made:
            self._made[id(layer)] = self._make(layer)
        return self._made[id(layer)]

    def _make(self, layer: Any) -> tuple[Any, ...]:
        inner = inner_model(layer)
        if inner is None:
            made = self._remake(layer)
            return (self._copy(layer),) if made is None else tuple(made)
        if isinstance(layer, Recompute):
            return (Recompute(*self._layers(inner), name=layer.name, trainable=layer.trainable),)
        return (self._model(inner, self._copy_of),)

    def _copy(self, layer: Any) -> Any:
        copy = self._copy_of(layer)
        if isinstance(layer, keras.Layer):  # an operation has no state
            copy_assets(layer, copy)  # before the first call, since the shape of the output may depend on a vocabulary
            self._copied.append((layer, copy))
        return copy

    def _placeholder(self, layer: Any) -> keras.Layer:
        """Return a layer that keeps the name and the dtype of an output whose layer is left out."""
        if id(layer) not in self._placeholders:
            dtype = layer.dtype_policy.name if isinstance(layer, keras.Layer) else layer.output.dtype
            self._placeholders[id(layer)] = keras.layers.Identity(name=layer.name, dtype=dtype)
        return self._placeholders[id(layer)]


def copy_of(layer: Any, **changes: Any) -> Any:
    """Return a new layer with the arguments of another, some of them changed.

    Args:
        layer: The layer or operation to copy.
        **changes: Arguments with another value in the copy.

    Raises:
        ValueError: If the class cannot be created from its `get_config()`.
    """
    try:
        config = {**layer.get_config(), **changes}
        from_config = type(layer).from_config
        # The layer exists already, so that no unknown code is loaded. A wrapper also creates the layer that it wraps.
        options = {"safe_mode": False, "custom_objects": CUSTOM_OBJECTS}
        accepted = inspect.signature(from_config).parameters.keys() & options
        copy = from_config(config, **{name: options[name] for name in accepted})
    except (NotImplementedError, TypeError) as error:
        raise ValueError(
            f"`model` cannot be copied: the layer {layer.name!r} ({type(layer).__name__}) cannot be created from its "
            f"`get_config()` ({error}). Give the class a `get_config` that returns the arguments of `__init__`"
        ) from error
    if "name" not in config:  # a class whose `get_config` omits those of `keras.layers.Layer`
        copy.name = layer.name
    return copy


def _options(layer: Any, args: tuple, kwargs: dict) -> dict[str, Any]:
    """Return the arguments of a call but the first, by name."""
    bound = inspect.signature(layer.call).bind_partial(*args, **kwargs).arguments
    return dict(list(bound.items())[1:])


def _takes(layer: keras.Layer, name: str) -> bool:
    return name in inspect.signature(layer.call).parameters
