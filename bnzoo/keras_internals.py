"""The private members of Keras and TensorFlow that bnzoo needs, one function each. No other file of bnzoo uses any."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

_WEIGHT_DECAY_EXCLUSIONS = (
    "_exclude_from_weight_decay",
    "_exclude_from_weight_decay_pattern",
    "_exclude_from_weight_decay_cache",
)


def flatten_layers(layer: keras.Layer, include_self: bool = True, recursive: bool = True) -> list[Any]:
    """Return a layer and all layers inside it, at any depth; a model is a layer too.

    Args:
        layer: The layer or model.
        include_self: Boolean, whether the layer itself is the first of the list.
        recursive: Boolean, whether the layers inside the inner layers are in the list.
    """
    return layer._flatten_layers(include_self=include_self, recursive=recursive)


def functional_model(model: Any) -> Any:
    """Return the functional model that a model is, or that a built Sequential one wraps; `None` for any other."""
    if type(model) is keras.Sequential:
        return model._functional
    # a subclass that overrides `call` need not follow its graph
    follows_graph = hasattr(model, "_nodes_by_depth") and type(model).call.__qualname__ == "Functional.call"
    return model if follows_graph else None


def nodes(model: Any) -> Iterator[Any]:
    """Return the nodes of a functional model's graph, in an order in which its operations can be called."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        yield from model._nodes_by_depth[depth]


def operation_of(tensor: Any) -> Any:
    """Return the layer or operation that made a symbolic tensor."""
    return tensor._keras_history.operation


def input_shape(layer: keras.Layer) -> tuple:
    """Return the shape of the first input of a layer's first call in a graph."""
    return tuple(layer._inbound_nodes[0].input_tensors[0].shape)


def output_shape(layer: keras.Layer) -> tuple:
    """Return the shape of the first output of a layer's first call in a graph."""
    return tuple(layer._inbound_nodes[0].outputs[0].shape)


def seed_generators(layer: Any) -> list[keras.random.SeedGenerator]:
    """Return the seed generators that a layer holds itself."""
    return getattr(layer, "_seed_generators", [])


def global_seed_generator() -> keras.random.SeedGenerator:
    """Return the seed generator of random operations without a seed of their own."""
    from keras.src.random import seed_generator

    return seed_generator.global_seed_generator()


def schedule_of(optimizer: Any) -> Any:
    """Return the schedule or the function that is the learning rate of an optimizer; `None` for a number."""
    rate = optimizer._learning_rate
    return None if isinstance(rate, keras.Variable) else rate


def forget_losses(layer: keras.Layer, losses: Iterable[Any]) -> None:
    """Let a layer and the layers inside it forget losses that they have recorded by their ids."""
    ids = {id(loss) for loss in losses}
    for inner in flatten_layers(layer):
        inner._loss_ids -= ids


def compile_arguments(model: keras.Model) -> dict[str, Any]:
    """Return the arguments that a compiled model was compiled with, as objects."""
    return model._compile_config.config


def optimized_variables(optimizer: Any) -> list[keras.Variable]:
    """Return the variables that an optimizer was built for."""
    return optimizer._trainable_variables


def copy_weight_decay_exclusions(source: Any, target: Any) -> None:
    """Copy the variables that an optimizer excludes from weight decay, which its config leaves out."""
    for name in _WEIGHT_DECAY_EXCLUSIONS:
        if hasattr(source, name):
            setattr(target, name, getattr(source, name))


def excluded_from_weight_decay(optimizer: Any, variables: Iterable[keras.Variable]) -> list[keras.Variable]:
    """Return those of some variables that an optimizer excludes from weight decay."""
    return [variable for variable in variables if not optimizer._use_weight_decay(variable)]


def apply_weight_decay(optimizer: Any, variables: Iterable[keras.Variable]) -> None:
    """Apply weight decay as optimizers without a rule of their own do."""
    keras.optimizers.Optimizer._apply_weight_decay(optimizer, variables)


def schedule_free_points(optimizer: keras.optimizers.ScheduleFreeAdamW) -> list[keras.Variable]:
    """Return the points z of a schedule-free optimizer, which follow the gradients."""
    return optimizer._momentums


def unpickle(file: Any) -> Any:
    """Rebuild a layer of any class from its pickled bytes."""
    return keras.layers.Layer._unpickle_model(file)


@contextmanager
def temporary_gradients() -> Iterator[None]:
    """Remove the gradients that `tf.custom_gradient` registers in the context.

    TensorFlow keeps them for the rest of the process, with the graphs in which they were made. They are needed until
    the gradients of these graphs have been traced.
    """
    from tensorflow.python.framework import ops

    registered = ops.gradient_registry._registry
    before = set(registered)
    try:
        yield
    finally:
        for name in set(registered) - before:
            del registered[name]
