"""DenseNet (Huang et al. 2017), for ImageNet and for CIFAR."""

from collections.abc import Sequence
from typing import Any

import keras

from bnzoo.blocks import (
    DENSE_ROWS,
    block_builder,
    concatenate,
    convolution,
    densely_connected_layer,
    rows,
    transition,
)
from bnzoo.errors import choice, number, positive_integer, positive_integers
from bnzoo.layers.axes import channel_axis
from bnzoo.models.arguments import preset, preset_variant, refuse_unknown, stage_depth, variant
from bnzoo.models.ends import IMAGES, Head, check_image_size, finished_model, image_shape, input_layer, pyramid_level
from bnzoo.models.stems import STEMS


@refuse_unknown
def DenseNet(
    blocks: Sequence[int],
    growth_rate: int = 32,
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "densenet",
    *,
    norm: Any = "batch",
    placement: str = "pre",
    activation: Any = "relu",
    residual_init: str | None = None,
    branch_scale: str | float | None = None,
    drop_path_rate: float = 0.0,
    features: bool = False,
    kernel_regularizer: Any = None,
    filters: int | None = None,
    bottleneck: bool = True,
    compression: float = 0.5,
    dropout_rate: float = 0.0,
    stem: str = "imagenet",
    weight_standardization: bool = False,
    memory_efficient: bool = False,
) -> keras.Model:
    """Build a densely connected network: each layer reads the outputs of all layers before it in its block.

    Args:
        blocks: Sequence of integers, the number of layers of each dense block, `(6, 12, 24, 16)` for DenseNet-121.
        growth_rate: Integer, the number of channels that a layer adds: k in the paper.
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
        placement: String, the position of the norm: `"pre"` (norm, activation, convolution, as in the paper), `"post"`
            (convolution, norm, activation) or `"act_norm"` (convolution, activation, norm).
        activation: Any activation of Keras.
        residual_init: `None`, since there is no residual branch.
        branch_scale: `None`, for the same reason.
        drop_path_rate: 0, for the same reason.
        features: Boolean, whether the model returns a dict of the outputs of its dense blocks: `P2` to `P5` with the
            ImageNet stem, whose sides are 1/4 to 1/32 of the image's. Only the last one includes the final norm. Needs
            `include_top=False`.
        kernel_regularizer: Any regularizer of Keras, for the kernels of all linear layers, never for a norm.
        filters: Integer, the number of channels of the stem. By default twice the growth rate.
        bottleneck: Boolean, whether a 1x1 convolution to four times the growth rate precedes each 3x3 (DenseNet-B).
        compression: Float, the share of the channels that a transition keeps (DenseNet-C if it is below 1).
        dropout_rate: Float, the rate of a dropout of the new features of each layer.
        stem: String, `"imagenet"` (7x7 with strides, max pooling), `"deep"`, `"cifar"` (3x3), as in `bnzoo.ResNet`.
        weight_standardization: Boolean, whether the kernels of convolutions are standardized. Use it with group norm.
        memory_efficient: Boolean, whether the backward pass computes the concatenation, norms and activations of each
            layer again instead of keeping them (Pleiss et al. 2017). The outputs are the same.

    Returns:
        A functional `keras.Model` with input `image` of shape `(batch, height, width, channels)` and output of shape
        `(batch, classes)`.

    Raises:
        ValueError: If an argument is unknown, does not apply, or the image is too small for the strides.

    Examples:
    >>> model = bnzoo.DenseNet((6, 12, 24, 16), growth_rate=32, norm="group", memory_efficient=True)

    Reference:
        - [Huang et al., 2017: Densely connected convolutional networks](https://arxiv.org/abs/1608.06993), table 1
    """
    blocks = positive_integers("blocks", blocks, "the numbers of layers of the blocks, as (6, 12, 24, 16)")
    growth_rate = positive_integer("growth_rate", growth_rate)
    filters = positive_integer("filters", 2 * growth_rate if filters is None else filters)
    number("compression", compression, above=0, at_most=1)
    if residual_init is not None or branch_scale is not None or drop_path_rate:
        raise ValueError(
            "`residual_init`, `branch_scale` and `drop_path_rate` do not apply: a DenseNet has no residual branch. "
            f"Received: residual_init={residual_init!r}, branch_scale={branch_scale!r}, "
            f"drop_path_rate={drop_path_rate!r}"
        )
    number("dropout_rate", dropout_rate, at_least=0, below=1)
    make_stem, size = STEMS[choice("stem", stem, STEMS)]
    build = block_builder(
        "densenet",
        DENSE_ROWS,
        norm,
        placement,
        activation,
        kernel_regularizer=kernel_regularizer,
        weight_standardization=weight_standardization,
    )
    head = Head(include_top, pooling, classes, classifier_activation, features, build.kernel_regularizer)
    inputs = input_layer(input_tensor, input_shape, image_shape(32 if stem == "cifar" else 224), IMAGES)
    check_image_size(inputs, size * 2 ** (len(blocks) - 1))

    after = rows.between(build.row)
    if stem != "cifar":
        after = after or build.start  # table 1: a norm and an activation follow the 7x7 convolution in every placement
    x = make_stem(inputs, filters, build, after)
    stages = {}
    for stage, layers in enumerate(blocks):
        if stage:
            kept = int(x.shape[channel_axis(4)] * compression)
            x, size = transition(x, convolution(kept, 1), build, f"pool{stage + 1}"), 2 * size
        outputs_so_far = [x]
        for i in range(layers):
            new = convolution(growth_rate, 3)
            outputs_so_far.append(
                densely_connected_layer(
                    outputs_so_far,
                    [convolution(4 * growth_rate, 1), new] if bottleneck else [new],
                    build,
                    f"conv{stage + 2}_block{i + 1}",
                    dropout_rate=dropout_rate,
                    memory_efficient=memory_efficient,
                )
            )
        x = stages[pyramid_level(size)] = concatenate(outputs_so_far, f"conv{stage + 2}")
    x = build(x, build.start, [], "final")
    outputs = head.outputs(x, {**stages, pyramid_level(size): x})
    return finished_model(inputs, outputs, name, weights)


@preset(DenseNet, filters=None, compression=None, stem="cifar", classes=10, name=None)
def DenseNetCifar(depth: int, growth_rate: int = 12, bottleneck: bool = True, **options: Any) -> keras.Model:
    """Build the DenseNet for small images: three dense blocks of equal depth, 32, 16 and 8 pixels wide.

    Args:
        depth: Integer, 6n+4 with bottlenecks (100, 190, 250), 3n+4 without (40, 100).
        growth_rate: Integer, the number of channels that a layer adds: k in the paper.
        bottleneck: Boolean. `True` is DenseNet-BC, with bottlenecks and transitions that keep half of the channels.
            `False` is the plain DenseNet.
        **options: The arguments of `bnzoo.DenseNet`. The defaults of `stem` and `classes` are `"cifar"` and 10. The
            default of `filters` is twice the growth rate, 16 without bottlenecks.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If there is no network of this depth, or an argument is wrong.

    Examples:
    >>> model = bnzoo.DenseNetCifar(100, 12)

    Reference:
        - [Huang et al., 2017: Densely connected convolutional networks](https://arxiv.org/abs/1608.06993), table 2
    """
    layers = (cifar_layers(depth, bottleneck),) * 3
    positive_integer("growth_rate", growth_rate)
    if options["filters"] is None:
        options["filters"] = 2 * growth_rate if bottleneck else 16
    if options["compression"] is None:
        options["compression"] = 0.5 if bottleneck else 1.0
    options["name"] = options["name"] or f"densenet{'_bc' if bottleneck else ''}{depth}_{growth_rate}"
    return DenseNet(layers, growth_rate, bottleneck=bottleneck, **options)


def cifar_layers(depth: int, bottleneck: bool = True) -> int:
    """Return the number of layers of each dense block.

    Raises:
        ValueError: If there is no network of this depth.
    """
    return stage_depth(depth, 6 if bottleneck else 3, 4)


_TABLE_1 = "Huang et al. 2017, table 1"
_TABLE_2 = "Huang et al. 2017, table 2"
_TABLE_3 = "Huang et al. 2017, table 3"
_TV = "torchvision, IMAGENET1K_V1"
_C10 = "CIFAR-10"
_161: dict[str, Any] = {"blocks": (6, 12, 36, 24), "growth_rate": 48, "filters": 96}
_40: dict[str, Any] = {"depth": 40, "growth_rate": 12, "bottleneck": False}
_100: dict[str, Any] = {"depth": 100, "growth_rate": 12}
_190: dict[str, Any] = {"depth": 190, "growth_rate": 40}

# fmt: off
# the figures are those of `ModelCard`: parameters, multiply-accumulates, published accuracy and its source
DenseNet121 = variant(DenseNet, "DenseNet121", "densenet121", _TABLE_1,
    (7_978_856, 2_834_161_664, 74.434, _TV), blocks=(6, 12, 24, 16))
DenseNet161 = variant(DenseNet, "DenseNet161", "densenet161", _TABLE_1,
    (28_681_000, 7_727_907_072, 77.138, _TV), **_161)
DenseNet169 = variant(DenseNet, "DenseNet169", "densenet169", _TABLE_1,
    (14_149_480, 3_359_843_328, 75.6, _TV), blocks=(6, 12, 32, 32))
DenseNet201 = variant(DenseNet, "DenseNet201", "densenet201", _TABLE_1,
    (20_013_928, 4_291_365_888, 76.896, _TV), blocks=(6, 12, 48, 32))
DenseNet264 = variant(DenseNet, "DenseNet264", "densenet264", _TABLE_1,
    (33_337_704, 5_751_653_376, 77.85, _TABLE_3), blocks=(6, 12, 64, 48))
DenseNet40_12 = preset_variant(DenseNetCifar, "DenseNet40_12", "densenet40_12", _TABLE_2,
    (1_019_722, 264_812_928, 94.76, _TABLE_2, _C10), **_40)
DenseNetBC100_12 = preset_variant(DenseNetCifar, "DenseNetBC100_12", "densenet_bc100_12", _TABLE_2,
    (769_162, 287_929_692, 95.49, _TABLE_2, _C10), **_100)
DenseNetBC190_40 = preset_variant(DenseNetCifar, "DenseNetBC190_40", "densenet_bc190_40", _TABLE_2,
    (25_624_430, 9_301_945_740, 96.54, _TABLE_2, _C10), **_190)
# fmt: on
