"""The residual block, for images, vectors and tokens alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from bnzoo.blocks.branch import branch, step_name
from bnzoo.blocks.endings import Ending, drop_path, skip_init
from bnzoo.blocks.parts import Parts
from bnzoo.blocks.weights import Weight, convolution
from bnzoo.layers import ZeroPaddedShortcut


@dataclass(frozen=True)
class Shortcut:
    """What brings the trunk to the branch's shape.

    Attributes:
        apply: Function of the trunk, the parts and a name.
        opened: Boolean, whether it reads the trunk after the block's first norm and activation, where these stand
            before the weights: as a weight does, which expects its input normalized.
    """

    apply: Callable[[Any, Parts, str], Any]
    opened: bool = True


def residual_block(
    x: Any,
    weights: Sequence[Weight],
    parts: Parts,
    name: str,
    *,
    shortcut: Shortcut | None = None,
    first: bool = False,
    gate: Ending | None = None,
    dropout_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> Any:
    """`x + branch(x)`, with norm and activation where `parts.order` puts them.

    Args:
        x: Tensor, the trunk.
        weights: The linear layers of the branch: two 3x3 convolutions (basic), 1x1, 3x3, 1x1 (bottleneck), two dense
            layers (MLP), one sublayer (transformer).
        parts: The norm, its order, the activation.
        name: String, the prefix of the layers' names.
        shortcut: What brings the trunk to the branch's shape, where the branch changes it; `None` is the identity.
        first: Boolean, whether this is the first block of a convolutional network. It branches off after its first norm
            and activation, as blocks that change the shape do; the other pre-activation blocks before them.
        gate: What scales the channels at the end of the branch: squeeze and excitation, or a layer scale.
        dropout_rate: Float, of a dropout before the last weight.
        drop_path_rate: Float, the share of examples for which the branch is left out in training.

    Returns:
        Tensor, the trunk after the addition.

    Reference:
        - [He et al., 2015: Deep residual learning](https://arxiv.org/abs/1512.03385), figure 5
        - [He et al., 2016: Identity mappings in deep residual networks](https://arxiv.org/abs/1603.05027), figure 4
    """
    order = parts.order
    y = parts.apply(order.before, x, step_name(name, weights, 1))
    trunk = y if first or (shortcut and shortcut.opened) else x
    if shortcut:
        trunk = shortcut.apply(trunk, parts, f"{name}_0")

    after_last = (*order.after_last, "gate") if gate else order.after_last
    y = branch(
        y,
        weights,
        parts,
        name,
        ending=order.after_last,
        read_by=order.following(after_last, last=True),
        dropout_rate=dropout_rate,
        # with a norm on either side of a weight, the second is on the way out
        suffix="_out" if "norm" in order.before and "norm" in order.after_last else "",
        **({"gamma_initializer": "zeros"} if parts.residual_init == "zero_gamma" else {}),
    )
    if gate:
        y = gate(y, parts, name)
    if parts.residual_init == "skipinit":
        y = skip_init(y, name)
    if drop_path_rate:
        y = drop_path(y, drop_path_rate, name)

    x = keras.layers.Add(name=f"{name}_add")([trunk, y])
    return parts.apply(order.after_addition, x, f"{name}_out")


def projection_shortcut(weight: Weight) -> Shortcut:
    """A weight, with a norm where the branch ends with one: option B of He et al. 2015."""

    def apply(x: Any, parts: Parts, name: str) -> Any:
        words = parts.order.shortcut
        x = weight(x, parts, parts.bias(parts.order.following(words, last=True)), name)
        return parts.apply(words, x, name)

    return Shortcut(apply)


def averaged_projection_shortcut(filters: int, strides: int) -> Shortcut:
    """The mean of the pixels that a stride would skip, then a 1x1 convolution: He et al. 2019, figure 2c."""
    projection = projection_shortcut(convolution(filters, 1))

    def apply(x: Any, parts: Parts, name: str) -> Any:
        if strides > 1:
            # "same": an odd side keeps its last pixel, averaged over what there is
            x = keras.layers.AveragePooling2D(strides, padding="same", name=f"{name}_pool")(x)
        return projection.apply(x, parts, name)

    return Shortcut(apply)


def zero_padding_shortcut(filters: int, strides: int) -> Shortcut:
    """Subsampling and zeros for the new channels, no parameters: option A of He et al. 2015."""

    def apply(x: Any, parts: Parts, name: str) -> Any:
        return ZeroPaddedShortcut(filters, strides, name=f"{name}_pad")(x)

    return Shortcut(apply)


def subsampling_shortcut(strides: int) -> Shortcut:
    """Every `strides`-th pixel of the trunk itself, where a block changes nothing but the size."""

    def apply(x: Any, parts: Parts, name: str) -> Any:
        return keras.layers.MaxPooling2D(1, strides, name=f"{name}_pool")(x)

    return Shortcut(apply, opened=False)
