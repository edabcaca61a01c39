"""The linear layers: what figures call a weight. Each is made now and applied when a block's order says so."""

from collections.abc import Callable
from typing import Any

import keras

Weight = Callable[[Any, bool, str], Any]


def convolution(filters: int, kernel_size: int, strides: int = 1) -> Weight:
    """A convolution that keeps the size but for its strides, padded alike on all sides.

    Keras pads "same" with strides more at the end than at the beginning; the papers' networks, and all trained
    weights from PyTorch, do not.

    Args:
        filters: Integer, the number of output channels.
        kernel_size: Integer, odd.
        strides: Integer.

    Returns:
        A function of a tensor, whether there is a bias, and the layer's name.
    """

    def apply(x: Any, use_bias: bool, name: str) -> Any:
        padding = kernel_size // 2
        if strides > 1 and padding:
            x = keras.layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            strides=strides,
            padding="valid" if strides > 1 else "same",
            use_bias=use_bias,
            kernel_initializer="he_normal",
            name=f"{name}_conv",
        )(x)

    return apply


def dense(units: int) -> Weight:
    """A dense layer.

    Args:
        units: Integer, the number of output features.

    Returns:
        A function of a tensor, whether there is a bias, and the layer's name.
    """

    def apply(x: Any, use_bias: bool, name: str) -> Any:
        return keras.layers.Dense(units, use_bias=use_bias, kernel_initializer="he_normal", name=f"{name}_dense")(x)

    return apply
