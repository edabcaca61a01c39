"""The linear layers: what figures call a weight. Each is made now and applied when a block's order says so."""

from collections.abc import Callable
from typing import Any

import keras

from bnzoo.blocks.parts import Parts
from bnzoo.layers import WeightStandardizedConv2D

# (tensor, parts, whether there is a bias, prefix of the name) -> tensor
Weight = Callable[[Any, Parts, bool, str], Any]


def convolution(filters: int, kernel_size: int, strides: int = 1, groups: int = 1) -> Weight:
    """A convolution that keeps the size but for its strides, padded alike on all sides.

    Keras pads "same" with strides more at the end than at the beginning; the papers' networks, and all trained
    weights from PyTorch, do not.

    Args:
        filters: Integer, the number of output channels.
        kernel_size: Integer, odd.
        strides: Integer.
        groups: Integer, into which the channels are split.
    """

    def apply(x: Any, parts: Parts, use_bias: bool, name: str) -> Any:
        padding = kernel_size // 2
        if strides > 1 and padding:
            x = keras.layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
        layer = WeightStandardizedConv2D if parts.weight_standardization else keras.layers.Conv2D
        return layer(
            filters,
            kernel_size,
            strides=strides,
            groups=groups,
            padding="valid" if strides > 1 else "same",
            use_bias=use_bias,
            kernel_initializer="he_normal",
            kernel_regularizer=parts.kernel_regularizer,
            name=f"{name}_conv",
        )(x)

    return apply


def dense(units: int) -> Weight:
    """A dense layer.

    Args:
        units: Integer, the number of output features.
    """

    def apply(x: Any, parts: Parts, use_bias: bool, name: str) -> Any:
        return keras.layers.Dense(
            units,
            use_bias=use_bias,
            kernel_initializer="he_normal",
            kernel_regularizer=parts.kernel_regularizer,
            name=f"{name}_dense",
        )(x)

    return apply


def self_attention(heads: int, dropout_rate: float = 0.0) -> Weight:
    """Multi-head self-attention, which keeps its biases: it is a whole sublayer, whatever reads it.

    Args:
        heads: Integer, which divides the width.
        dropout_rate: Float, of the attention's weights and of the output.

    Reference:
        - [Vaswani et al., 2017: Attention is all you need](https://arxiv.org/abs/1706.03762), section 3.2
    """

    def apply(x: Any, parts: Parts, use_bias: bool, name: str) -> Any:
        y = keras.layers.MultiHeadAttention(
            heads,
            key_dim=x.shape[-1] // heads,
            dropout=dropout_rate,
            kernel_regularizer=parts.kernel_regularizer,
            name=name,
        )(x, x)
        return dropout(y, dropout_rate, name)

    return apply


def feed_forward(units: int, dropout_rate: float = 0.0) -> Weight:
    """Two dense layers with the activation between, which keep their biases: the other sublayer of a transformer.

    Args:
        units: Integer, the width between the two.
        dropout_rate: Float, after each of them.

    Reference:
        - [Vaswani et al., 2017: Attention is all you need](https://arxiv.org/abs/1706.03762), section 3.3
    """

    def apply(x: Any, parts: Parts, use_bias: bool, name: str) -> Any:
        width, regularizer = x.shape[-1], parts.kernel_regularizer
        x = keras.layers.Dense(units, kernel_regularizer=regularizer, name=f"{name}_expand")(x)
        x = keras.layers.Activation(parts.activation, name=f"{name}_act")(x)
        x = dropout(x, dropout_rate, f"{name}_expand")
        x = keras.layers.Dense(width, kernel_regularizer=regularizer, name=f"{name}_contract")(x)
        return dropout(x, dropout_rate, f"{name}_contract")

    return apply


def dropout(x: Any, rate: float, name: str) -> Any:
    """Dropout, where there is any."""
    return keras.layers.Dropout(rate, name=f"{name}_dropout")(x) if rate else x
