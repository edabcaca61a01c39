"""Where the norms of a model stand: what is right behind each, and what is in front of it."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from bnzoo import norms
from bnzoo.tools.graph import Call, Edge, Graph, hidden_layers

L = keras.layers

_ACTIVATIONS = (L.Activation, L.ReLU, L.LeakyReLU, L.ELU, L.PReLU)
# what `keras.ops` puts into a graph when it is called on a symbolic tensor
_OPERATIONS = (
    *("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu", "Silu", "HardSilu"),
    *("Sigmoid", "HardSigmoid", "LogSigmoid", "Tanh", "HardTanh", "Softplus", "Softsign"),
)
_NOT_ELEMENTWISE = (keras.activations.softmax, keras.activations.log_softmax, keras.activations.glu)
_DROPOUTS = (L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D, L.SpatialDropout3D, L.GaussianDropout)
# what leaves the second moment that dropout has changed a changed one
_KEEP_VALUES = (
    *(L.Identity, L.Flatten, L.Reshape, L.Permute, L.ActivityRegularization),
    *(L.MaxPooling1D, L.MaxPooling2D, L.MaxPooling3D, L.AveragePooling1D, L.AveragePooling2D, L.AveragePooling3D),
    *(L.GlobalMaxPooling1D, L.GlobalMaxPooling2D, L.GlobalMaxPooling3D),
    *(L.GlobalAveragePooling1D, L.GlobalAveragePooling2D, L.GlobalAveragePooling3D),
)


@dataclass(frozen=True, eq=False)
class Place:
    """A norm and its neighbours.

    Attributes:
        name: String, the layer's name, with those of the nested models around it before it.
        norm: The layer.
        activation: The elementwise activation that alone reads its output, or `None`.
        dropout: The dropout in front of it with nothing between that mixes values, or `None`.
        rank: Integer, the number of axes of its output.
    """

    name: str
    norm: Any
    activation: Any
    dropout: Any
    rank: int

    @property
    def of_batch(self) -> bool:
        """Whether the norm keeps moving statistics of the batches."""
        return isinstance(self.norm, L.BatchNormalization)

    @property
    def is_initial(self) -> bool:
        """Whether the moving statistics are exactly those that the norm was made with."""
        norm = self.norm
        starts = norm.moving_mean_initializer, norm.moving_variance_initializer
        now = norm.moving_mean, norm.moving_variance
        pairs = ((value, start(value.shape, value.dtype)) for value, start in zip(now, starts, strict=True))
        return all(np.array_equal(*map(keras.ops.convert_to_numpy, pair)) for pair in pairs)

    @property
    def gamma(self) -> Any:
        """The variable that scales the output, which RMS norm calls `scale`; `None` if there is none."""
        return next((weight for weight in self.norm.weights if weight.name in ("gamma", "scale")), None)


def places(graph: Graph) -> list[Place]:
    """Every norm of a model in the order of the first calls."""
    firsts = [graph.of(layer)[0] for layer in graph.layers() if is_norm(layer)]
    return [
        Place(call.name, call.layer, _behind(call.outputs[0]), _in_front(call.inputs[0]), len(call.outputs[0].shape))
        for call in firsts
    ]


def hidden_norms(graph: Graph) -> list[str]:
    """The names of the norms inside layers that show no graph."""
    return [
        f"{graph.of(layer)[0].name}/{inner.name}"
        for layer in graph.layers()
        for inner in hidden_layers(layer)
        if is_norm(inner)
    ]


def is_norm(layer: Any) -> bool:
    """Whether a layer is a norm of the catalogue or a kind of batch norm."""
    return isinstance(layer, keras.Layer) and norms.name_of(layer) is not None


def _behind(edge: Edge) -> Any:
    while len(edge.readers) == 1 and not edge.is_output:
        reader = edge.readers[0]
        if _is_activation(reader.layer):
            return reader.layer
        if not _is_identity(reader.layer):
            return None
        edge = reader.outputs[0]
    return None


def _in_front(edge: Edge) -> Any:
    call: Call | None = edge.producer
    while call is not None and not (isinstance(call.layer, _DROPOUTS) and call.layer.rate > 0):
        passes = _is_activation(call.layer) or _is_identity(call.layer) or isinstance(call.layer, _KEEP_VALUES)
        call = call.inputs[0].producer if passes else None
    return call.layer if call else None


def _is_activation(layer: Any) -> bool:
    if isinstance(layer, L.Activation):
        return not _is_identity(layer) and layer.activation not in _NOT_ELEMENTWISE
    return isinstance(layer, _ACTIVATIONS) or type(layer).__name__ in _OPERATIONS


def _is_identity(layer: Any) -> bool:
    linear = isinstance(layer, L.Activation) and layer.activation is keras.activations.linear
    return linear or isinstance(layer, L.Identity)
