"""ResNet (He et al. 2015, 2016), for ImageNet and for CIFAR."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from bnzoo.blocks import Parts, convolution, projection_shortcut, residual_block, zero_padding_shortcut
from bnzoo.blocks.residual import Shortcut
from bnzoo.blocks.weights import Weight
from bnzoo.errors import positive_integer, unknown
from bnzoo.layers.axes import channel_axis
from bnzoo.models.ends import classifier, finished_model, input_layer


def _basic(filters: int, strides: int) -> list[Weight]:
    return [convolution(filters, 3, strides), convolution(filters, 3)]


def _bottleneck(filters: int, strides: int) -> list[Weight]:
    return [convolution(filters, 1), convolution(filters, 3, strides), convolution(4 * filters, 1)]


# name -> (the weights of a branch, its output channels as a multiple of `filters`)
_BLOCKS: dict[str, tuple[Callable[[int, int], list[Weight]], int]] = {
    "basic": (_basic, 1),
    "bottleneck": (_bottleneck, 4),
}
_SHORTCUTS: dict[str, Callable[[int, int], Shortcut]] = {
    "projection": projection_shortcut,
    "zero_padding": zero_padding_shortcut,
}


def _imagenet_stem(x: Any, filters: int, parts: Parts) -> Any:
    x = convolution(filters, 7, strides=2)(x, parts.bias(parts.order.after), "conv1")
    x = parts.apply(parts.order.after, x, "conv1")
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return keras.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def _cifar_stem(x: Any, filters: int, parts: Parts) -> Any:
    x = convolution(filters, 3)(x, parts.bias(parts.order.after), "conv1")
    return parts.apply(parts.order.after, x, "conv1")


_STEMS = {"imagenet": (_imagenet_stem, 4), "cifar": (_cifar_stem, 1)}


def _choice(argument: str, value: Any, table: dict[str, Any]) -> Any:
    if value not in table:
        raise ValueError(unknown(f"`{argument}`", value, table))
    return table[value]


def _check_size(x: Any, strides: int) -> None:
    channels = channel_axis(4) % 4
    sizes = [size for axis, size in enumerate(x.shape) if axis not in (0, channels)]
    if any(size is not None and size < strides for size in sizes):
        raise ValueError(
            f"The image is too small: this network has strides of {strides} in all, so each side must be at least "
            f"{strides}. Use stem='cifar' or fewer stages. Received: an input of shape {tuple(x.shape[1:])}"
        )


def ResNet(
    blocks: Sequence[int],
    block: str = "bottleneck",
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "resnet",
    *,
    norm: Any = "batch",
    placement: str = "post",
    activation: Any = "relu",
    filters: int = 64,
    stem: str = "imagenet",
    shortcut: str = "projection",
) -> keras.Model:
    """A residual network.

    The strides stand on the 3x3 convolution (the network that PyTorch calls v1.5), convolutions before a norm have no
    bias, and pre-activation networks get the norm and activation that are due after their last block.

    Args:
        blocks: Sequence of integers, the number of blocks of each stage, `(3, 4, 6, 3)` for ResNet-50. Each stage
            after the first halves the image and doubles the channels.
        block: String, `"basic"` (3x3, 3x3) or `"bottleneck"` (1x1, 3x3, 1x1 with four times the channels).
        include_top: Boolean, whether the classifier is part of the model.
        weights: `None` (random) or the path of a `.weights.h5` file.
        input_tensor: Keras tensor to start from, instead of a new input.
        input_shape: Tuple `(height, width, channels)`; `None` for a side of any size. Default: `(224, 224, 3)` for
            the ImageNet stem, `(32, 32, 3)` for the CIFAR stem.
        pooling: `None`, `"avg"` or `"max"`, for `include_top=False`.
        classes: Integer, the number of classes.
        classifier_activation: String or `None` (logits).
        name: String, the name of the model.
        norm: What normalizes: a name of `bnzoo.norms.list_norms()`, a dict, a `bnzoo.Norm` or `None`.
        placement: Where it stands: `"post"` or `"original"`, `"pre"` or `"full_preactivation"`, `"after_addition"`,
            `"relu_before_addition"`, `"relu_only_preactivation"`, `"act_norm"`.
        activation: Any activation of Keras.
        filters: Integer, the width of the first stage.
        stem: String, `"imagenet"` (7x7 with strides, max pooling) or `"cifar"` (3x3).
        shortcut: String, where a block changes the shape: `"projection"` (option B of the paper) or
            `"zero_padding"` (option A, no parameters).

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
    """
    branch, expansion = _choice("block", block, _BLOCKS)
    make_stem, stem_strides = _choice("stem", stem, _STEMS)
    make_shortcut = _choice("shortcut", shortcut, _SHORTCUTS)
    if not isinstance(blocks, Sequence) or isinstance(blocks, str) or not blocks:
        raise ValueError(f"`blocks` must be the numbers of blocks of the stages, as (3, 4, 6, 3). Received: {blocks!r}")
    filters = positive_integer("filters", filters)
    parts = Parts.bind("resnet", norm, placement, activation)
    side = 224 if stem == "imagenet" else 32
    default = (3, side, side) if channel_axis(4) == 1 else (side, side, 3)
    inputs = input_layer(input_tensor, input_shape, default, {3: "(height, width, channels)"})
    _check_size(inputs, stem_strides * 2 ** (len(blocks) - 1))

    x = make_stem(inputs, filters, parts)
    for stage, repeats in enumerate(blocks):
        width = filters * 2**stage
        for i in range(positive_integer("blocks", repeats)):
            first, strides = stage == i == 0, 2 if stage and not i else 1
            changes = strides > 1 or x.shape[channel_axis(4)] != width * expansion
            x = residual_block(
                x,
                branch(width, strides),
                parts,
                f"conv{stage + 2}_block{i + 1}",
                shortcut=make_shortcut(width * expansion, strides) if changes else None,
                first=first,
            )
    x = parts.apply(parts.order.final, x, "final")
    x = classifier(x, include_top, pooling, classes, classifier_activation)
    return finished_model(inputs, x, name, weights)


def ResNetCifar(depth: int, *arguments: Any, **options: Any) -> keras.Model:
    """The residual network for small images, of depth 6n+2: three stages of n basic blocks with 16, 32, 64 channels.

    Args:
        depth: Integer, 6n+2: 8, 14, 20, 32, 44, 56, 110.
        *arguments: `include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name`, as
            in `bnzoo.ResNet`; `classes` is 10.
        **options: The arguments of `bnzoo.ResNet`. `shortcut` is `"zero_padding"`, as in the paper.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If the depth is not 6n+2.

    Reference:
        - [He et al., 2015: Deep residual learning](https://arxiv.org/abs/1512.03385), section 4.2
    """
    blocks, rest = divmod(depth - 2, 6) if isinstance(depth, int) else (0, 0)
    if rest or blocks < 1:
        near = max(8, 6 * round((depth - 2) / 6) + 2) if isinstance(depth, int) else 20
        raise ValueError(f"`depth` must be 6n+2 (8, 14, 20, ...), nearest: {near}. Received: depth={depth!r}")
    defaults = {"filters": 16, "stem": "cifar", "shortcut": "zero_padding"}
    if len(arguments) < 6:
        defaults["classes"] = 10
    if len(arguments) < 8:
        defaults["name"] = f"resnet{depth}_cifar"
    return ResNet((blocks,) * 3, "basic", *arguments, **{**defaults, **options})


def _variant(builder: Callable[..., keras.Model], name: str, paper: str, *fixed: Any) -> Callable[..., keras.Model]:
    def build(*arguments: Any, **options: Any) -> keras.Model:
        if len(arguments) < 8:
            options.setdefault("name", name.lower())
        return builder(*fixed, *arguments, **options)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""{name} of {paper}: `bnzoo.{builder.__name__}({", ".join(map(repr, fixed))}, ...)`.

    Args:
        *arguments: `include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name`.
        **options: The same by name, and `norm`, `placement`, `activation` and the others of `bnzoo.ResNet`.

    Returns:
        A functional `keras.Model`.
    """
    return build


_TABLE_1 = "He et al. 2015, table 1"
_SECTION_4_2 = "He et al. 2015, section 4.2"

ResNet18 = _variant(ResNet, "ResNet18", _TABLE_1, (2, 2, 2, 2), "basic")
ResNet34 = _variant(ResNet, "ResNet34", _TABLE_1, (3, 4, 6, 3), "basic")
ResNet50 = _variant(ResNet, "ResNet50", _TABLE_1, (3, 4, 6, 3), "bottleneck")
ResNet101 = _variant(ResNet, "ResNet101", _TABLE_1, (3, 4, 23, 3), "bottleneck")
ResNet152 = _variant(ResNet, "ResNet152", _TABLE_1, (3, 8, 36, 3), "bottleneck")
ResNet20Cifar = _variant(ResNetCifar, "ResNet20Cifar", _SECTION_4_2, 20)
ResNet32Cifar = _variant(ResNetCifar, "ResNet32Cifar", _SECTION_4_2, 32)
ResNet44Cifar = _variant(ResNetCifar, "ResNet44Cifar", _SECTION_4_2, 44)
ResNet56Cifar = _variant(ResNetCifar, "ResNet56Cifar", _SECTION_4_2, 56)
ResNet110Cifar = _variant(ResNetCifar, "ResNet110Cifar", _SECTION_4_2, 110)
