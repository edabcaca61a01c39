"""What may stand at the end of a residual branch, between its last norm and the addition."""

from collections.abc import Callable
from typing import Any

import keras

from bnzoo.blocks.parts import Parts
from bnzoo.layers import LayerScale, SkipInit
from bnzoo.layers.axes import channel_axis

# (tensor, parts, prefix of the name) -> tensor
Ending = Callable[[Any, Parts, str], Any]


def squeeze_and_excitation(ratio: float) -> Ending:
    """Each channel times a gate that the means of all channels decide.

    Args:
        ratio: Float, the channels between the gate's two layers, as a share of the branch's.

    Reference:
        - [Hu et al., 2018: Squeeze-and-excitation networks](https://arxiv.org/abs/1709.01507), figure 3
    """

    def apply(x: Any, parts: Parts, name: str) -> Any:
        channels = x.shape[channel_axis(4)]
        narrow, wide = (
            {"filters": filters, "kernel_size": 1, "kernel_regularizer": parts.kernel_regularizer}
            for filters in (max(1, round(channels * ratio)), channels)
        )
        gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_se_squeeze")(x)
        gate = keras.layers.Conv2D(**narrow, activation="relu", name=f"{name}_se_reduce")(gate)
        gate = keras.layers.Conv2D(**wide, activation="sigmoid", name=f"{name}_se_expand")(gate)
        return keras.layers.Multiply(name=f"{name}_se_excite")([x, gate])

    return apply


def layer_scale(init_value: float) -> Ending:
    """Each channel times a trainable factor that begins small.

    Reference:
        - [Touvron et al., 2021: Going deeper with image transformers](https://arxiv.org/abs/2103.17239), equation 4
    """

    def apply(x: Any, parts: Parts, name: str) -> Any:
        return LayerScale(init_value, name=f"{name}_scale")(x)

    return apply


def skip_init(x: Any, name: str) -> Any:
    """The branch times a trainable scalar that begins at zero.

    Reference:
        - [De & Smith, 2020: Batch normalization biases residual blocks](https://arxiv.org/abs/2002.10444), section 4
    """
    return SkipInit(name=f"{name}_skip_init")(x)


def drop_path(x: Any, rate: float, name: str) -> Any:
    """In training the whole branch is left out for a random share of the examples, and scaled up for the others.

    Reference:
        - [Huang et al., 2016: Deep networks with stochastic depth](https://arxiv.org/abs/1603.09382)
    """
    per_example = (None,) + (1,) * (len(x.shape) - 1)
    return keras.layers.Dropout(rate, noise_shape=per_example, name=f"{name}_drop_path")(x)


def drop_path_rates(rate: float, blocks: int) -> list[float]:
    """The rate of each block: rising in equal steps to that of the last, equation 4 of Huang et al. 2016."""
    return [rate * block / blocks for block in range(1, blocks + 1)]
