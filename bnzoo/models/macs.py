"""The number of multiply-accumulates of a model."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

from bnzoo.layers.axes import channel_axis, position_axes

_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)


class Macs(NamedTuple):
    """Multiply-accumulates for one example.

    Attributes:
        linear: Integer, those of convolutions and dense layers, including the ones of attention. Papers state these.
        attention: Integer, those of the products of queries and keys, and of attention weights and values.
    """

    linear: int
    attention: int


def count_macs(model: keras.Model) -> Macs:
    """Count the multiply-accumulates of a model for one example of its input shape.

    Args:
        model: A functional or sequential `keras.Model` of convolutions, dense layers and self-attention.

    Returns:
        A `Macs`.

    Raises:
        ValueError: If the input has a side of unknown size.

    Examples:
    >>> bnzoo.models.count_macs(bnzoo.ResNet50()).linear
    4089184256
    """
    counts = [_macs(layer) for layer in _layers(model)]
    return Macs(sum(count.linear for count in counts), sum(count.attention for count in counts))


def _layers(model: Any) -> Iterator[keras.Layer]:
    """Yield the layers of a model, of its nested models and of wrapped models."""
    for layer in model.layers:
        inner = layer if isinstance(layer, keras.Model) else getattr(layer, "layer", None)
        if isinstance(inner, keras.Model):
            yield from _layers(inner)
        else:
            yield layer if inner is None else inner


def _macs(layer: keras.Layer) -> Macs:
    if isinstance(layer, (*_CONVOLUTIONS, keras.layers.Dense)):
        return Macs(math.prod(layer.kernel.shape) * _positions(layer), 0)
    if isinstance(layer, keras.layers.MultiHeadAttention):
        tokens, width = _positions(layer), layer.num_heads * layer.key_dim
        kernels = [math.prod(weight.shape) for weight in layer.weights if weight.name == "kernel"]
        return Macs(tokens * sum(kernels), 2 * tokens**2 * width)
    return Macs(0, 0)


def _positions(layer: keras.Layer) -> int:
    """Return the number of pixels or tokens at which a layer is applied."""
    shape = layer.output.shape
    sizes = [shape[i] for i in position_axes(len(shape), channel_axis(len(shape)))]
    if None in sizes:
        raise ValueError(
            f"The number of multiplications depends on the size of the image, which is unknown. Received: an output of "
            f"shape {shape} in the layer {layer.name!r}. Build the model with an `input_shape` of known sides"
        )
    return math.prod(sizes)
