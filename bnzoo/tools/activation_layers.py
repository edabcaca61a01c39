"""Layers and operations that apply an activation function."""

from typing import Any

import keras

from bnzoo.keras_internals import functional_model
from bnzoo.tools.graph import Edge, Graph

L = keras.layers

_LAYERS = (L.ReLU, L.LeakyReLU, L.ELU, L.PReLU)
# the class names of the operations of `keras.ops` in a graph
_OPERATIONS = (
    *("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu", "Silu", "HardSilu"),
    *("Sigmoid", "HardSigmoid", "LogSigmoid", "Tanh", "HardTanh", "Softplus", "Softsign"),
)
_NOT_ELEMENTWISE = (keras.activations.softmax, keras.activations.log_softmax, keras.activations.glu)


def is_activation(layer: Any) -> bool:
    """Return whether a layer or operation only applies an elementwise activation function, not the identity."""
    if isinstance(layer, L.Activation):
        return layer.activation not in (keras.activations.linear, *_NOT_ELEMENTWISE)
    return isinstance(layer, _LAYERS) or type(layer).__name__ in _OPERATIONS


def ends_in(model: keras.Model, activation: Any) -> bool:
    """Return whether an activation function, `keras.activations.softmax` or `sigmoid`, makes the outputs of a model.

    It is not known of a model that is neither functional nor Sequential.
    """
    return functional_model(model) is not None and all(is_made_by(activation, edge) for edge in Graph(model).outputs)


def is_made_by(activation: Any, edge: Edge) -> bool:
    """Return whether an activation function makes a tensor, in a layer or operation of its own or of a layer."""
    layer = edge.producer and edge.producer.layer
    # the class of the layer and of the operation has the name of the function
    is_its_own = type(layer).__name__ == activation.__name__.capitalize()
    return is_its_own or getattr(layer, "activation", None) is activation


def is_identity(layer: Any) -> bool:
    """Return whether a layer returns its input unchanged. A subclass may compute something else."""
    is_linear = type(layer) is L.Activation and layer.activation is keras.activations.linear
    return is_linear or type(layer) is L.Identity
