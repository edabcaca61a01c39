"""ResNet (He et al. 2015, 2016) and what grew out of it: -D, ResNeXt, wide, squeeze and excitation."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from bnzoo.blocks import (
    Parts,
    Shortcut,
    Weight,
    averaged_projection_shortcut,
    convolution,
    drop_path_rates,
    projection_shortcut,
    residual_block,
    squeeze_and_excitation,
    subsampling_shortcut,
    zero_padding_shortcut,
)
from bnzoo.errors import choice, number, positive_integer, positive_integers
from bnzoo.layers.axes import channel_axis
from bnzoo.models.arguments import family
from bnzoo.models.ends import IMAGES, Head, check_image_size, finished_model, image_shape, input_layer, pyramid_level
from bnzoo.models.stems import STEMS


def _basic(filters: int, inner: int, strides: tuple[int, int], groups: int) -> list[Weight]:
    return [convolution(inner, 3, max(strides), groups), convolution(filters, 3, 1, groups)]


def _bottleneck(filters: int, inner: int, strides: tuple[int, int], groups: int) -> list[Weight]:
    return [
        convolution(inner, 1, strides[0]),
        convolution(inner, 3, strides[1], groups),
        convolution(4 * filters, 1),
    ]


# name -> (the weights of a branch, its output channels as a multiple of `filters`)
_BLOCKS: dict[str, tuple[Callable[..., list[Weight]], int]] = {"basic": (_basic, 1), "bottleneck": (_bottleneck, 4)}
_SHORTCUTS: dict[str, Callable[[int, int], Shortcut]] = {
    "projection": lambda filters, strides: projection_shortcut(convolution(filters, 1, strides)),
    "avg_projection": averaged_projection_shortcut,
    "zero_padding": zero_padding_shortcut,
}


def _strides(blocks: Sequence[int], in_last_block: bool) -> Iterator[tuple[int, int, int]]:
    """Stage, block and strides, block by block: the size is halved between two stages."""
    for stage, repeats in enumerate(blocks):
        for i in range(repeats):
            halves = (i == repeats - 1 and stage < len(blocks) - 1) if in_last_block else (i == 0 and stage > 0)
            yield stage, i, 2 if halves else 1


@family
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
    """A residual network.

    The strides stand on the 3x3 convolution (the network that PyTorch calls v1.5), convolutions before a norm have no
    bias, and pre-activation networks get the norm and activation that are due after their last block.

    Args:
        blocks: Sequence of integers, the number of blocks of each stage, `(3, 4, 6, 3)` for ResNet-50. Each stage
            after the first halves the image and doubles the channels.
        block: String, `"basic"` (3x3, 3x3) or `"bottleneck"` (1x1, 3x3, 1x1 with four times the channels).
        {first}
            Default: `(224, 224, 3)`, with the CIFAR stem `(32, 32, 3)`.
        {then}
        placement: Where it stands: `"post"` or `"original"`, `"pre"` or `"full_preactivation"`, `"after_addition"`,
            `"relu_before_addition"`, `"relu_only_preactivation"`, `"act_norm"`.
        activation: Any activation of Keras.
        {residual}
        features: Boolean, whether the model gives a dict of its stages' outputs: with the ImageNet stem `P2` to `P5`,
            smaller than the image by 2 to that power. The last has the norm that is due, the others are the trunk as it
            is. Needs `include_top=False`.
        kernel_regularizer: A regularizer of Keras, for the kernels of all linear layers, never for a norm.
        filters: Integer, the width of the stem and of the first stage.
        widen_factor: Integer, by which the stages are wider than that, the stem is not (WRN-d-k: k).
        groups: Integer, the groups of the 3x3 convolutions (ResNeXt's cardinality).
        width_per_group: Integer, the channels of a group in the first stage of bottlenecks (ResNeXt-50 32x4d: 4; Wide
            ResNet-50-2: 128). By default `filters / groups`.
        se_ratio: Float, the width of a squeeze-and-excitation gate as a share of its channels (1/16 in the paper), or
            `None` for no gate.
        dropout_rate: Float, of a dropout before the last convolution of each block, as in wide residual networks.
        stem: String, `"imagenet"` (7x7 with strides, max pooling), `"deep"` (three 3x3 instead of the 7x7, ResNet-D),
            `"cifar"` (3x3), or `"imagenet_zero_pad"` (pooling over a border of zeros, as keras.applications' V2).
        shortcut: String, where a block changes the shape: `"projection"` (option B of the paper), `"avg_projection"`
            (ResNet-D) or `"zero_padding"` (option A, no parameters).
        stride_in_1x1: Boolean, whether the first 1x1 convolution of a bottleneck has the strides, as in the paper of
            2015, instead of the 3x3.
        stride_in_last_block: Boolean, whether the last block of a stage has the strides and passes over them by
            subsampling, as in keras.applications' V2, instead of the first block of the next.
        weight_standardization: Boolean, whether the kernels of convolutions are standardised; pair it with group norm
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
    make_branch, expansion = _BLOCKS[choice("block", block, _BLOCKS)]
    make_stem, stem_strides = STEMS[choice("stem", stem, STEMS)]
    make_shortcut = _SHORTCUTS[choice("shortcut", shortcut, _SHORTCUTS)]
    blocks = positive_integers("blocks", blocks, "the numbers of blocks of the stages, as (3, 4, 6, 3)")
    inner_width = _inner_width(block, filters, widen_factor, groups, width_per_group)
    if stride_in_1x1 and block == "basic":
        raise ValueError("`stride_in_1x1` is for block='bottleneck': a basic block has no 1x1. Received: block='basic'")
    gate = None if se_ratio is None else squeeze_and_excitation(number("se_ratio", se_ratio, above=0, at_most=1))
    number("dropout_rate", dropout_rate, at_least=0, below=1)
    rates = drop_path_rates(number("drop_path_rate", drop_path_rate, at_least=0, below=1), sum(blocks))
    parts = Parts.bind("resnet", norm, placement, activation, residual_init, kernel_regularizer, weight_standardization)
    head = Head(include_top, pooling, classes, classifier_activation, features, parts.kernel_regularizer)
    inputs = input_layer(input_tensor, input_shape, image_shape(32 if stem == "cifar" else 224), IMAGES)
    check_image_size(inputs, stem_strides * 2 ** (len(blocks) - 1))

    x = make_stem(inputs, filters, parts, None)
    stages, size = {}, stem_strides
    for (stage, i, strides), rate in zip(_strides(blocks, stride_in_last_block), rates, strict=True):
        width, size = widen_factor * filters * 2**stage, size * strides
        chosen = None
        if x.shape[channel_axis(4)] != width * expansion:
            chosen = make_shortcut(width * expansion, strides)
        elif strides > 1:
            chosen = subsampling_shortcut(strides)
        x = residual_block(
            x,
            make_branch(width, inner_width * 2**stage, (strides, 1) if stride_in_1x1 else (1, strides), groups),
            parts,
            f"conv{stage + 2}_block{i + 1}",
            shortcut=chosen,
            first=stage == i == 0,
            gate=gate,
            dropout_rate=dropout_rate,
            drop_path_rate=rate,
        )
        stages[pyramid_level(size)] = x
    x = parts.apply(parts.order.final, x, "final")
    outputs = head.outputs(x, {**stages, pyramid_level(size): x})
    return finished_model(inputs, outputs, name, weights)


def _inner_width(block: str, filters: int, widen_factor: int, groups: int, width_per_group: int | None) -> int:
    """The channels between the first and the last convolution of a block, in the first stage."""
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
