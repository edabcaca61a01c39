"""The layer of a dense block, and the transition between two blocks."""

from collections.abc import Sequence
from typing import Any

import keras

from bnzoo.blocks.branch import chain, step_name
from bnzoo.blocks.parts import Parts
from bnzoo.blocks.weights import Weight, dropout
from bnzoo.layers import Recompute
from bnzoo.layers.axes import channel_axis


def densely_connected_layer(
    features: Sequence[Any],
    weights: Sequence[Weight],
    parts: Parts,
    name: str,
    *,
    dropout_rate: float = 0.0,
    memory_efficient: bool = False,
) -> Any:
    """The new features that a layer computes from all the features before it.

    Args:
        features: The block's input and the output of every layer before.
        weights: A 3x3 convolution, or 1x1 and 3x3 (bottleneck).
        parts: The norm, its order, the activation.
        name: String, the prefix of the layers' names.
        dropout_rate: Float, of a dropout of the new features.
        memory_efficient: Boolean, whether the backward pass computes the layer again, instead of keeping its
            concatenation, norm and activation: what these hold grows with the square of the depth.

    Reference:
        - [Huang et al., 2017: Densely connected convolutional networks](https://arxiv.org/abs/1608.06993), equation 2
        - [Pleiss et al., 2017: Memory-efficient implementation of DenseNets](https://arxiv.org/abs/1707.06990)
    """

    def layer(features: Sequence[Any]) -> Any:
        x = concatenate(features, name)
        x = parts.apply(parts.order.before, x, step_name(name, weights, 1))
        return chain(x, weights, parts, name)

    if memory_efficient:
        inputs = [keras.Input(feature.shape[1:], dtype=feature.dtype) for feature in features]
        x = Recompute(keras.Model(inputs, layer(inputs), name=name), name=f"{name}_recompute")(list(features))
    else:
        x = layer(features)
    return dropout(x, dropout_rate, name)


def concatenate(features: Sequence[Any], name: str) -> Any:
    """The features as one tensor."""
    if len(features) == 1:
        return features[0]
    return keras.layers.Concatenate(channel_axis(4), name=f"{name}_concat")(list(features))


def transition(x: Any, weight: Weight, parts: Parts, name: str) -> Any:
    """A 1x1 convolution, then the mean of every two by two pixels.

    Reference:
        - [Huang et al., 2017: Densely connected convolutional networks](https://arxiv.org/abs/1608.06993), table 1
    """
    x = parts.apply(parts.order.before, x, name)
    x = chain(x, [weight], parts, name)
    return keras.layers.AveragePooling2D(2, name=f"{name}_pool")(x)
