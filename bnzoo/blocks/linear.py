"""The linear layers of a block, and dropout."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

from bnzoo.layers import WeightStandardizedConv2D

if TYPE_CHECKING:
    from bnzoo.blocks.builder import BlockBuilder

# (tensor, builder, prefix of the name, word in the row, whether the row asks for a bias) -> tensor
Linear = Callable[[Any, "BlockBuilder", str, str, bool], Any]


def convolution(
    filters: int,
    kernel_size: int,
    strides: int = 1,
    groups: int = 1,
    *,
    dropout_rate: float = 0.0,
    use_bias: bool | None = None,
) -> Linear:
    """Return a convolution with equal padding on all sides.

    The padding `"same"` of Keras adds more at the end than at the beginning if the layer has strides. The networks of
    the papers, and all weights trained with PyTorch, have equal padding.

    Args:
        filters: Integer, the number of output channels.
        kernel_size: Integer, odd.
        strides: Integer.
        groups: Integer, the number of groups of channels.
        dropout_rate: Float, the rate of a dropout of the input.
        use_bias: Boolean; by default the row decides.
    """

    def apply(x: Any, build: "BlockBuilder", prefix: str, word: str, row_uses_bias: bool) -> Any:
        x = dropout(x, dropout_rate, prefix)
        padding = kernel_size // 2
        if strides > 1 and padding:
            x = keras.layers.ZeroPadding2D(padding, name=f"{prefix}_pad")(x)
        layer = WeightStandardizedConv2D if build.weight_standardization else keras.layers.Conv2D
        return layer(
            filters,
            kernel_size,
            strides=strides,
            groups=groups,
            padding="valid" if strides > 1 else "same",
            use_bias=row_uses_bias if use_bias is None else use_bias,
            kernel_initializer="he_normal",
            kernel_regularizer=build.kernel_regularizer,
            name=f"{prefix}_{word}",
        )(x)

    return apply


def dense(
    units: int, *, dropout_rate: float = 0.0, use_bias: bool | None = None, kernel_initializer: str = "he_normal"
) -> Linear:
    """Return a dense layer.

    Args:
        units: Integer, the number of output features.
        dropout_rate: Float, the rate of a dropout of the input.
        use_bias: Boolean; by default the row decides.
        kernel_initializer: String, any initializer of Keras.
    """

    def apply(x: Any, build: "BlockBuilder", prefix: str, word: str, row_uses_bias: bool) -> Any:
        x = dropout(x, dropout_rate, prefix)
        return keras.layers.Dense(
            units,
            use_bias=row_uses_bias if use_bias is None else use_bias,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=build.kernel_regularizer,
            name=f"{prefix}_{word}",
        )(x)

    return apply


def self_attention(heads: int, dropout_rate: float = 0.0) -> Linear:
    """Return multi-head self-attention, always with biases.

    Args:
        heads: Integer, a divisor of the width.
        dropout_rate: Float, the rate of the dropouts of the attention weights and of the output.

    Reference:
        - [Vaswani et al., 2017: Attention is all you need](https://arxiv.org/abs/1706.03762), section 3.2
    """

    def apply(x: Any, build: "BlockBuilder", prefix: str, word: str, row_uses_bias: bool) -> Any:
        y = keras.layers.MultiHeadAttention(
            heads,
            key_dim=x.shape[-1] // heads,
            dropout=dropout_rate,
            kernel_regularizer=build.kernel_regularizer,
            name=prefix,
        )(x, x)
        return dropout(y, dropout_rate, prefix)

    return apply


def dropout(x: Any, rate: float, prefix: str) -> Any:
    """Apply dropout if the rate is not zero."""
    return keras.layers.Dropout(rate, name=f"{prefix}_dropout")(x) if rate else x
