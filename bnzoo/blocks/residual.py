"""The residual block, for images, vectors and tokens."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras

from bnzoo.blocks import rows
from bnzoo.blocks.builder import BlockBuilder, Operation, Shortcut
from bnzoo.blocks.linear import Linear, convolution
from bnzoo.blocks.operations import branch_scale, drop_path
from bnzoo.layers import SkipInit, ZeroPaddedShortcut

# He et al. 2016, figure 4, one panel a row. The last row is the order of Mishkin et al. 2016.
RESIDUAL_ROWS = {
    "original": "conv norm act conv norm add act",
    "after_addition": "conv norm act conv add norm act",
    "relu_before_addition": "conv norm act conv norm act add",
    "relu_only_preactivation": "act conv norm act conv norm add",
    "full_preactivation": "norm act conv norm act conv add",
    "act_norm": "conv act norm conv act norm add",
}


def residual_block(
    x: Any,
    layers: Sequence[Linear],
    build: BlockBuilder,
    name: str,
    operations: Mapping[str, Operation] = MappingProxyType({}),
    *,
    row: str | None = None,
    shortcut: Shortcut | None = None,
    preactivated: bool = False,
    drop_path_rate: float = 0.0,
) -> Any:
    """Return `shortcut(x) + branch(x)`, with the operations in the order of the row.

    Args:
        x: Tensor.
        layers: The linear layers of the branch: two 3x3 convolutions (basic), 1x1, 3x3 and 1x1 (bottleneck), two dense
            layers (MLP).
        build: The block builder of the network.
        name: String, the prefix of the names of the layers.
        operations: Dict from further words to functions of a tensor and a name, such as squeeze and excitation. Words
            that are not in the row are inserted before the addition, in this order.
        row: String, one of the two rows of a transformer's placement. By default the row of the placement.
        shortcut: Function that gives the shortcut the shape of the branch; by default the identity.
        preactivated: Boolean, whether the shortcut starts at the input of the first linear layer instead of the input
            of the block. It does in the first block, and if the block changes the number of channels.
        drop_path_rate: Float, the share of examples that skip the branch in training.

    Returns:
        Tensor.

    Reference:
        - [He et al., 2015: Deep residual learning](https://arxiv.org/abs/1512.03385), figure 5
        - [He et al., 2016: Identity mappings in deep residual networks](https://arxiv.org/abs/1603.05027), figure 4
        - [De & Smith, 2020: Batch normalization biases residual blocks](https://arxiv.org/abs/2002.10444), section 4
    """
    operations = dict(operations)
    if build.residual_init == "skipinit":
        operations["skip_init"] = lambda y, name: SkipInit(name=name)(y)
    if build.branch_factor is not None:
        operations["branch_scale"] = branch_scale(build.branch_factor)
    if drop_path_rate:
        operations["drop_path"] = drop_path(drop_path_rate)
    row = rows.repeated(row or build.row, len(layers))
    further = [word for word in operations if word not in row.split()]
    return build(
        x, rows.before_addition(row, *further), layers, name, operations, shortcut=shortcut, preactivated=preactivated
    )


def projection_shortcut(layer: Linear, pool: Operation | None = None) -> Shortcut:
    """Return a linear layer, with a norm if the branch ends with one: option B of He et al. 2015.

    Args:
        layer: The linear layer.
        pool: Function of a tensor and a name, a pooling before it.
    """

    def apply(x: Any, build: BlockBuilder, name: str, next_operations: str) -> Any:
        row = "conv" if len(x.shape) == 4 else "dense"
        if "norm" in rows.end(build.row):
            row = f"{row} norm"
        if pool:
            return build(x, f"pool {row}", [layer], name, {"pool": pool}, next_operations=next_operations)
        return build(x, row, [layer], name, next_operations=next_operations)

    return apply


def averaged_projection_shortcut(filters: int, strides: int) -> Shortcut:
    """Return the average over the strides, then a 1x1 convolution: He et al. 2019, figure 2c."""
    if strides == 1:
        return projection_shortcut(convolution(filters, 1))
    # With "same", the last pixel of an odd side is kept.
    return projection_shortcut(
        convolution(filters, 1),
        lambda x, name: keras.layers.AveragePooling2D(strides, padding="same", name=name)(x),
    )


def zero_padding_shortcut(filters: int, strides: int) -> Shortcut:
    """Return subsampling with zeros in the new channels, without parameters: option A of He et al. 2015."""
    return lambda x, build, name, next_operations: ZeroPaddedShortcut(filters, strides, name=f"{name}_pad")(x)


def subsampling_shortcut(strides: int) -> Shortcut | None:
    """Return subsampling, for a block that may change the size but not the number of channels."""
    if strides == 1:
        return None
    return lambda x, build, name, next_operations: keras.layers.MaxPooling2D(1, strides, name=f"{name}_pool")(x)
