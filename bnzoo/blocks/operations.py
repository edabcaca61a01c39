"""The operations between the last norm of a residual branch and the addition."""

from typing import Any

import keras

from bnzoo.blocks.builder import Operation
from bnzoo.layers import LayerScale
from bnzoo.layers.axes import channel_axis


def squeeze_and_excitation(ratio: float, kernel_regularizer: Any = None) -> Operation:
    """Return the multiplication of each channel by a gate that depends on the means of all channels.

    Args:
        ratio: Float, the number of channels between the two layers of the gate, as a share of the channels.
        kernel_regularizer: Regularizer for the kernels of the gate.

    Reference:
        - [Hu et al., 2018: Squeeze-and-excitation networks](https://arxiv.org/abs/1709.01507), figure 3
    """

    def apply(x: Any, name: str) -> Any:
        channels = x.shape[channel_axis(4)]
        narrow, wide = (
            {"filters": filters, "kernel_size": 1, "kernel_regularizer": kernel_regularizer}
            for filters in (max(1, round(channels * ratio)), channels)
        )
        gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
        gate = keras.layers.Conv2D(**narrow, activation="relu", name=f"{name}_reduce")(gate)
        gate = keras.layers.Conv2D(**wide, activation="sigmoid", name=f"{name}_expand")(gate)
        return keras.layers.Multiply(name=f"{name}_excite")([x, gate])

    return apply


def layer_scale(init_value: float) -> Operation:
    """Return the multiplication of each channel by a trainable factor.

    Args:
        init_value: Float, the initial value of the factors.

    Reference:
        - [Touvron et al., 2021: Going deeper with image transformers](https://arxiv.org/abs/2103.17239), equation 4
    """
    return lambda x, name: LayerScale(init_value, name=name)(x)


def branch_scale(factor: float) -> Operation:
    """Return the multiplication by a constant.

    Args:
        factor: Float.

    Reference:
        - [Dey et al., 2025: CompleteP](https://arxiv.org/abs/2505.01618)
    """
    return lambda x, name: keras.layers.Rescaling(factor, name=name)(x)


def drop_path(rate: float) -> Operation:
    """Return stochastic depth: in training, random examples skip the residual branch, and the others scale it up.

    Args:
        rate: Float, the share of examples that skip the branch.

    Reference:
        - [Huang et al., 2016: Deep networks with stochastic depth](https://arxiv.org/abs/1603.09382)
    """

    def apply(x: Any, name: str) -> Any:
        per_example = (None,) + (1,) * (len(x.shape) - 1)
        return keras.layers.Dropout(rate, noise_shape=per_example, name=name)(x)

    return apply


def drop_path_rates(rate: float, blocks: int) -> list[float]:
    """Return the rate of each block, in equal steps up to that of the last: equation 4 of Huang et al. 2016."""
    return [rate * block / blocks for block in range(1, blocks + 1)]
