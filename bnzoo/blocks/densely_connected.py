"""The layer of a dense block, and the transition between two dense blocks."""

from collections.abc import Sequence
from typing import Any

import keras

from bnzoo.blocks import rows
from bnzoo.blocks.builder import BlockBuilder
from bnzoo.blocks.linear import Linear, dropout
from bnzoo.layers import Recompute
from bnzoo.layers.axes import channel_axis

# Huang et al. 2017, section 3: the rows of a layer with a bottleneck. A layer without one has half of the row.
DENSE_ROWS = {
    "pre": "norm act conv norm act conv",
    "post": "conv norm act conv norm act",
    "act_norm": "conv act norm conv act norm",
}


def densely_connected_layer(
    features: Sequence[Any],
    layers: Sequence[Linear],
    build: BlockBuilder,
    name: str,
    *,
    dropout_rate: float = 0.0,
    memory_efficient: bool = False,
) -> Any:
    """Compute new features from all features before them.

    Args:
        features: The input of the block and the output of every layer before.
        layers: A 3x3 convolution, or 1x1 and 3x3 (bottleneck).
        build: The block builder of the network.
        name: String, the prefix of the names of the layers.
        dropout_rate: Float, the rate of a dropout of the new features.
        memory_efficient: Boolean, whether the backward pass computes the layer again. It then does not keep the
            concatenation, the norm and the activation, which grow with the square of the depth.

    Reference:
        - [Huang et al., 2017: Densely connected convolutional networks](https://arxiv.org/abs/1608.06993), equation 2
        - [Pleiss et al., 2017: Memory-efficient implementation of DenseNets](https://arxiv.org/abs/1707.06990)
    """

    def layer(features: Sequence[Any]) -> Any:
        return build(concatenate(features, name), rows.repeated(build.row, len(layers)), layers, name)

    if memory_efficient:
        inputs = [keras.Input(feature.shape[1:], dtype=feature.dtype) for feature in features]
        x = Recompute(keras.Model(inputs, layer(inputs), name=name), name=f"{name}_recompute")(list(features))
    else:
        x = layer(features)
    return dropout(x, dropout_rate, name)


def concatenate(features: Sequence[Any], name: str) -> Any:
    """Return the features as one tensor."""
    if len(features) == 1:
        return features[0]
    return keras.layers.Concatenate(channel_axis(4), name=f"{name}_concat")(list(features))


def transition(x: Any, layer: Linear, build: BlockBuilder, name: str) -> Any:
    """Apply a 1x1 convolution, then the average of every two by two pixels.

    Reference:
        - [Huang et al., 2017: Densely connected convolutional networks](https://arxiv.org/abs/1608.06993), table 1
    """
    row = f"{rows.repeated(build.row, 1)} pool"
    return build(x, row, [layer], name, {"pool": lambda x, name: keras.layers.AveragePooling2D(2, name=name)(x)})
