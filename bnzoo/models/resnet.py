"""ResNet (He et al. 2015, 2016), with its variants: ResNet-D, ResNeXt, wide, squeeze and excitation."""

from collections.abc import Sequence
from typing import Any

import keras

from bnzoo.blocks import (
    RESIDUAL_ROWS,
    Linear,
    averaged_projection_shortcut,
    block_builder,
    convolution,
    drop_path_rates,
    projection_shortcut,
    residual_block,
    rows,
    squeeze_and_excitation,
    subsampling_shortcut,
    zero_padding_shortcut,
)
from bnzoo.errors import choice, number, positive_integer, positive_integers
from bnzoo.layers.axes import channel_axis
from bnzoo.models.arguments import refuse_unknown
from bnzoo.models.ends import IMAGES, Head, check_image_size, finished_model, image_shape, input_layer, pyramid_level
from bnzoo.models.stems import STEMS

RESNET_PLACEMENTS = {
    "post": RESIDUAL_ROWS["original"],
    "pre": RESIDUAL_ROWS["full_preactivation"],
    "act_norm": RESIDUAL_ROWS["act_norm"],
    **RESIDUAL_ROWS,
}
_EXPANSION = {"basic": 1, "bottleneck": 4}
_SHORTCUTS = {
    "projection": lambda filters, strides: projection_shortcut(convolution(filters, 1, strides)),
    "avg_projection": averaged_projection_shortcut,
    "zero_padding": zero_padding_shortcut,
}


def _basic(channels: int, inner: int, strides: int, groups: int, dropout_rate: float) -> list[Linear]:
    """Return the convolutions of the basic block: He et al. 2015, figure 5, left."""
    return [
        convolution(inner, 3, strides, groups),
        convolution(channels, 3, groups=groups, dropout_rate=dropout_rate),
    ]


def _bottleneck(
    channels: int, inner: int, strides: int, groups: int, dropout_rate: float, stride_in_1x1: bool
) -> list[Linear]:
    """Return the convolutions of the bottleneck: He et al. 2015, figure 5, right."""
    first, second = (strides, 1) if stride_in_1x1 else (1, strides)
    return [
        convolution(inner, 1, first),
        convolution(inner, 3, second, groups),
        convolution(channels, 1, dropout_rate=dropout_rate),
    ]


@refuse_unknown
def ResNet(
    blocks: Sequence[int],
    block: str = "bottleneck",
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet",
    *,
    norm: Any = "batch",
    placement: str = "post",
    activation: Any = "relu",
    residual_init: str | None = None,
    branch_scale: str | float | None = None,
    drop_path_rate: float = 0.0,
    features: bool = False,
    kernel_regularizer: Any = None,
    filters: int = 64,
    widen_factor: int = 1,
    groups: int = 1,
    width_per_group: int | None = None,
    se_ratio: float | None = None,
    dropout_rate: float = 0.0,
    stem: str = "imagenet",
    shortcut: str = "projection",
    stride_in_1x1: bool = False,
    stride_in_last_block: bool = False,
    weight_standardization: bool = False,
) -> keras.Model:
    """Build a residual network.

    The 3x3 convolution of a bottleneck has the strides (v1.5 in PyTorch). A convolution that a norm follows has no
    bias. Pre-activation networks have a norm and an activation after the last block.

    Args:
        blocks: Sequence of integers, the number of blocks of each stage, `(3, 4, 6, 3)` for ResNet-50. Each stage
            after the first halves the image and doubles the channels.
        block: String, `"basic"` (3x3, 3x3) or `"bottleneck"` (1x1, 3x3, 1x1 with four times the channels).
        include_top: Boolean, whether the model has a classifier.
        weights: `None` (random), the path of a `.weights.h5` file that Keras has saved from this model, or
            `"imagenet"` for the weights of keras.applications, if it has any for this network.
        input_tensor: Keras tensor, the input instead of a new one.
        input_shape: Tuple without the batch dimension; a side may be `None` (any size). The default is
            `(224, 224, 3)`, or `(32, 32, 3)` with the CIFAR stem.
        pooling: `None`, `"avg"` or `"max"`, for `include_top=False`.
        classes: Integer, the number of classes.
        classifier_activation: String or `None` (logits).
        name: String, the name of the model.
        norm: The norm: a name of `bnzoo.norms.list_norms()`, a dict with a `name` and options, a `bnzoo.Norm` or
            `None`.
        placement: String, the position of the norm: `"post"` or `"original"`, `"pre"` or `"full_preactivation"`,
            `"after_addition"`, `"relu_before_addition"`, `"relu_only_preactivation"`, `"act_norm"`.
        activation: Any activation of Keras.
        residual_init: How a residual branch starts at zero: `"zero_gamma"` (with the gamma of its last norm, Goyal et
            al. 2017), `"skipinit"` (with a trainable scalar, De & Smith 2020) or `None` (not at all).
        branch_scale: The constant factor on each residual branch before the addition: `"1/sqrt(depth)"`, `"1/depth"`, a
            number above 0, or `None` for no factor. The depth is the number of residual branches, `sum(blocks)`.
        drop_path_rate: Float, the share of examples that skip the residual branch of the last block in training. It
            increases in equal steps from block to block (Huang et al. 2016).
        features: Boolean, whether the model returns a dict of the outputs of its stages: `P2` to `P5` with the ImageNet
            stem, whose sides are 1/4 to 1/32 of the image's. Only the last one includes the final norm of
            pre-activation networks. Needs `include_top=False`.
        kernel_regularizer: Any regularizer of Keras, for the kernels of all linear layers, never for a norm.
        filters: Integer, the width of the stem and of the first stage.
        widen_factor: Integer, the factor by which the stages are wider than the stem (k of WRN-d-k).
        groups: Integer, the number of groups of the 3x3 convolutions (the cardinality of ResNeXt).
        width_per_group: Integer, the channels of a group in the first stage of bottlenecks (4 in ResNeXt-50 32x4d, 128
            in Wide ResNet-50-2). By default `filters / groups`.
        se_ratio: Float, the width of a squeeze-and-excitation gate as a share of its channels (1/16 in the paper), or
            `None` for no gate.
        dropout_rate: Float, the rate of a dropout before the last convolution of each block, as in wide residual
            networks.
        stem: String, `"imagenet"` (7x7 with strides, max pooling), `"deep"` (three 3x3 instead of the 7x7, ResNet-D),
            `"cifar"` (3x3), or `"imagenet_zero_pad"` (max pooling with zero padding, as in the V2 networks of
            keras.applications).
        shortcut: String, the shortcut of a block that changes the shape: `"projection"` (option B of the paper),
            `"avg_projection"` (ResNet-D) or `"zero_padding"` (option A, no parameters).
        stride_in_1x1: Boolean, whether the first 1x1 convolution of a bottleneck has the strides, as in the paper of
            2015, instead of the 3x3 convolution.
        stride_in_last_block: Boolean, whether the last block of a stage has the strides and a subsampling shortcut, as
            in the V2 networks of keras.applications, instead of the first block of the next stage.
        weight_standardization: Boolean, whether the kernels of convolutions are standardized. Use it with group norm
            (Qiao et al. 2019).

    Returns:
        A functional `keras.Model` with input `image` of shape `(batch, height, width, channels)` and output of shape
        `(batch, classes)`.

    Raises:
        ValueError: If an argument is unknown, does not apply, or the image is too small for the strides.

    Examples:
    >>> model = bnzoo.ResNet((3, 4, 6, 3), "bottleneck", norm={"name": "group", "groups": 16}, activation="silu")

    Reference:
        - [He et al., 2015: Deep residual learning](https://arxiv.org/abs/1512.03385), table 1
        - [He et al., 2016: Identity mappings in deep residual networks](https://arxiv.org/abs/1603.05027), table 2
        - [Zagoruyko & Komodakis, 2016: Wide residual networks](https://arxiv.org/abs/1605.07146), table 1
        - [Xie et al., 2017: Aggregated residual transformations](https://arxiv.org/abs/1611.05431), table 1
        - [Hu et al., 2018: Squeeze-and-excitation networks](https://arxiv.org/abs/1709.01507), table 1
        - [He et al., 2019: Bag of tricks](https://arxiv.org/abs/1812.01187), figure 2
    """
    expansion = _EXPANSION[choice("block", block, _EXPANSION)]
    make_stem, stem_strides = STEMS[choice("stem", stem, STEMS)]
    make_shortcut = _SHORTCUTS[choice("shortcut", shortcut, _SHORTCUTS)]
    blocks = positive_integers("blocks", blocks, "the numbers of blocks of the stages, as (3, 4, 6, 3)")
    inner_width = _inner_width(block, filters, widen_factor, groups, width_per_group)
    if stride_in_1x1 and block == "basic":
        raise ValueError("`stride_in_1x1` is for block='bottleneck': a basic block has no 1x1. Received: block='basic'")
    number("dropout_rate", dropout_rate, at_least=0, below=1)
    rates = iter(drop_path_rates(number("drop_path_rate", drop_path_rate, at_least=0, below=1), sum(blocks)))
    build = block_builder(
        "resnet",
        RESNET_PLACEMENTS,
        norm,
        placement,
        activation,
        residual_init,
        kernel_regularizer,
        weight_standardization,
        branch_scale,
        sum(blocks),
    )
    operations = {}
    if se_ratio is not None:
        ratio = number("se_ratio", se_ratio, above=0, at_most=1)
        operations["se"] = squeeze_and_excitation(ratio, build.kernel_regularizer)
    head = Head(include_top, pooling, classes, classifier_activation, features, build.kernel_regularizer)
    inputs = input_layer(input_tensor, input_shape, image_shape(32 if stem == "cifar" else 224), IMAGES)
    check_image_size(inputs, stem_strides * 2 ** (len(blocks) - 1))

    x = make_stem(inputs, filters, build, rows.between(build.row))
    stages, size = {}, stem_strides
    for stage, repeats in enumerate(blocks):
        channels, inner = expansion * widen_factor * filters * 2**stage, inner_width * 2**stage
        for i in range(repeats):
            # the strides are in the first block of every stage but the first, or in the last block of the stage before
            strided = (i == repeats - 1 and stage < len(blocks) - 1) if stride_in_last_block else (i == 0 and stage > 0)
            strides = 2 if strided else 1
            if block == "basic":
                layers = _basic(channels, inner, strides, groups, dropout_rate)
            else:
                layers = _bottleneck(channels, inner, strides, groups, dropout_rate, stride_in_1x1)
            projects = x.shape[channel_axis(4)] != channels
            x = residual_block(
                x,
                layers,
                build,
                f"conv{stage + 2}_block{i + 1}",
                operations,
                shortcut=make_shortcut(channels, strides) if projects else subsampling_shortcut(strides),
                preactivated=projects or stage == i == 0,
                drop_path_rate=next(rates),
            )
            size *= strides
            stages[pyramid_level(size)] = x
    x = build(x, build.start, [], "final")
    outputs = head.outputs(x, {**stages, pyramid_level(size): x})
    return finished_model(inputs, outputs, name, weights)


def _inner_width(block: str, filters: int, widen_factor: int, groups: int, width_per_group: int | None) -> int:
    """Return the number of channels between the first and the last convolution of a block of the first stage."""
    for name, value in {"filters": filters, "widen_factor": widen_factor, "groups": groups}.items():
        positive_integer(name, value)
    if width_per_group is not None:
        if block == "basic":
            raise ValueError(
                "`width_per_group` is for block='bottleneck': a basic block has no narrower inside. "
                f"Received: width_per_group={width_per_group}, block='basic'"
            )
        return groups * positive_integer("width_per_group", width_per_group)
    if filters * widen_factor % groups:
        raise ValueError(
            "`groups` must divide the channels of the first stage, unless `width_per_group` is given. "
            f"Received: groups={groups}, filters={filters}, widen_factor={widen_factor}"
        )
    return filters * widen_factor
