"""The norms of a model with their neighbours: the activation behind each norm and the dropout in front of it."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from bnzoo import norms
from bnzoo.tools.activation_layers import is_activation, is_identity
from bnzoo.tools.graph import Call, Edge, Graph, hidden_layers

L = keras.layers

_DROPOUTS = (L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D, L.SpatialDropout3D, L.GaussianDropout)
# layers behind a dropout whose outputs still have the second moment that the dropout has changed
_KEEP_VALUES = (
    *(L.Flatten, L.Reshape, L.Permute, L.ActivityRegularization),
    *(L.MaxPooling1D, L.MaxPooling2D, L.MaxPooling3D, L.AveragePooling1D, L.AveragePooling2D, L.AveragePooling3D),
    *(L.GlobalMaxPooling1D, L.GlobalMaxPooling2D, L.GlobalMaxPooling3D),
    *(L.GlobalAveragePooling1D, L.GlobalAveragePooling2D, L.GlobalAveragePooling3D),
)


@dataclass(frozen=True, eq=False)
class PlacedNorm:
    """A norm and its neighbours.

    Attributes:
        name: String, the layer's name, after the names of the nested models around it.
        norm: The layer.
        activation: The elementwise activation that alone reads its output, or `None`.
        dropout: The dropout in front of it, with no layer in between that mixes values; or `None`.
        rank: Integer, the number of axes of its output.
    """

    name: str
    norm: Any
    activation: Any
    dropout: Any
    rank: int

    @property
    def has_moving_statistics(self) -> bool:
        """`True` if the norm is a kind of batch norm."""
        return isinstance(self.norm, L.BatchNormalization)

    @property
    def is_initial(self) -> bool:
        """`True` if the moving statistics have exactly their initial values."""
        norm = self.norm
        initializers = norm.moving_mean_initializer, norm.moving_variance_initializer
        statistics = norm.moving_mean, norm.moving_variance
        pairs = (
            (value, initializer(value.shape, value.dtype))
            for value, initializer in zip(statistics, initializers, strict=True)
        )
        return all(np.array_equal(*map(keras.ops.convert_to_numpy, pair)) for pair in pairs)

    @property
    def gamma(self) -> Any:
        """The variable that scales the output, called `scale` in RMS norm; `None` if there is none."""
        return next((weight for weight in self.norm.weights if weight.name in ("gamma", "scale")), None)


def placed_norms(graph: Graph) -> list[PlacedNorm]:
    """Return every norm of a model in the order of the first calls."""
    first_calls = [graph.of(layer)[0] for layer in graph.layers() if is_norm(layer)]
    return [
        PlacedNorm(
            call.name,
            call.layer,
            _activation_behind(call.outputs[0]),
            _dropout_in_front(call.inputs[0]),
            len(call.outputs[0].shape),
        )
        for call in first_calls
    ]


def hidden_norms(graph: Graph) -> list[str]:
    """Return the names of the norms inside layers without a graph."""
    return [
        f"{graph.of(layer)[0].name}/{inner.name}"
        for layer in graph.layers()
        for inner in hidden_layers(layer)
        if is_norm(inner)
    ]


def is_norm(layer: Any) -> bool:
    """Return whether a layer is a norm that bnzoo knows."""
    return isinstance(layer, keras.Layer) and norms.name_of(layer) is not None


def _activation_behind(edge: Edge) -> Any:
    while len(edge.readers) == 1 and not edge.is_output:
        reader = edge.readers[0]
        if is_activation(reader.layer):
            return reader.layer
        if not is_identity(reader.layer):
            return None
        edge = reader.outputs[0]
    return None


def _dropout_in_front(edge: Edge) -> Any:
    call: Call | None = edge.producer
    while call is not None and not (isinstance(call.layer, _DROPOUTS) and call.layer.rate > 0):
        passes = is_activation(call.layer) or is_identity(call.layer) or isinstance(call.layer, _KEEP_VALUES)
        call = call.inputs[0].producer if passes else None
    return call.layer if call else None
