"""The residual block, for images and for vectors alike."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from bnzoo.blocks.parts import Parts
from bnzoo.blocks.weights import Weight, convolution
from bnzoo.layers import ZeroPaddedShortcut

Shortcut = Callable[[Any, Parts, str], Any]


def residual_block(
    x: Any, weights: Sequence[Weight], parts: Parts, name: str, *, shortcut: Shortcut | None = None, first: bool = False
) -> Any:
    """`x + branch(x)`, with norm and activation where `parts.order` puts them.

    Args:
        x: Tensor, the trunk.
        weights: The linear layers of the branch: two 3x3 convolutions (basic), 1x1, 3x3, 1x1 (bottleneck), two dense
            layers (MLP).
        parts: The norm, its order, the activation.
        name: String, the prefix of the layers' names.
        shortcut: What brings the trunk to the branch's shape, where the branch changes it; `None` is the identity.
        first: Whether this is the first block of the network. It and the blocks that change the shape
            branch off after their first norm and activation, the other pre-activation blocks before them.

    Returns:
        Tensor, the trunk after the addition.

    Reference:
        - [He et al., 2015: Deep residual learning](https://arxiv.org/abs/1512.03385), figure 5
        - [He et al., 2016: Identity mappings in deep residual networks](https://arxiv.org/abs/1603.05027), figure 4
    """
    order = parts.order
    y = parts.apply(order.before, x, f"{name}_1")
    trunk = y if first or shortcut else x
    if shortcut:
        trunk = shortcut(trunk, parts, f"{name}_0")

    for i, weight in enumerate(weights, start=1):
        last = i == len(weights)
        after = order.after_last if last else order.after
        if i > 1:
            y = parts.apply(order.before, y, f"{name}_{i}")
        y = weight(y, parts.bias(after, last), f"{name}_{i}")
        y = parts.apply(after, y, f"{name}_{i}")

    x = keras.layers.Add(name=f"{name}_add")([trunk, y])
    return parts.apply(order.after_addition, x, f"{name}_out")


def projection_shortcut(filters: int, strides: int) -> Shortcut:
    """A 1x1 convolution, with a norm where the branch ends with one: option B of He et al. 2015."""

    def apply(x: Any, parts: Parts, name: str) -> Any:
        words = parts.order.shortcut
        x = convolution(filters, 1, strides)(x, parts.bias(words, last=True), name)
        return parts.apply(words, x, name)

    return apply


def zero_padding_shortcut(filters: int, strides: int) -> Shortcut:
    """Subsampling and zeros for the new channels, no parameters: option A of He et al. 2015."""

    def apply(x: Any, parts: Parts, name: str) -> Any:
        return ZeroPaddedShortcut(filters, strides, name=f"{name}_pad")(x)

    return apply
