"""The vision transformer (Dosovitskiy et al. 2021)."""

from typing import Any

import keras

from bnzoo.blocks import (
    TRANSFORMER_ROWS,
    block_builder,
    drop_path_rates,
    dropout,
    layer_scale,
    transformer_block,
)
from bnzoo.errors import number, positive_integer
from bnzoo.layers import ClassToken, PositionEmbedding
from bnzoo.layers.axes import channel_axis
from bnzoo.models.arguments import refuse_unknown, variant
from bnzoo.models.ends import IMAGES, Head, finished_model, image_shape, image_sides, input_layer


@refuse_unknown
def ViT(
    patch_size: int = 16,
    depth: int = 12,
    width: int = 768,
    heads: int = 12,
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "vit",
    *,
    norm: Any = "layer",
    placement: str = "pre",
    activation: Any = "gelu",
    residual_init: str | None = None,
    branch_scale: str | float | None = None,
    drop_path_rate: float = 0.0,
    features: bool = False,
    kernel_regularizer: Any = None,
    mlp_ratio: float = 4.0,
    class_token: bool = True,
    layer_scale_init: float | None = None,
    dropout_rate: float = 0.0,
) -> keras.Model:
    """Build a vision transformer.

    Layer norm is the default. With batch norm, training on images often fails unless the feed-forward network has a
    further batch norm inside, with which it is as accurate as layer norm and about 20 % faster (Yao et al. 2021). On
    text, the statistics of its batches fluctuate widely (Shen et al. 2020). `norm="batch"` replaces each layer norm and
    adds none: use it with large batches and `bnzoo.tools.recalibrate_batch_norm`.

    Args:
        patch_size: Integer, the side of a patch in pixels, a divisor of both sides of the image.
        depth: Integer, the number of blocks.
        width: Integer, the number of features of a token.
        heads: Integer, the number of attention heads, a divisor of the width.
        include_top: Boolean, whether the model has a classifier.
        weights: `None` (random), the path of a `.weights.h5` file that Keras has saved from this model, or
            `"imagenet"` for the weights of keras.applications, if it has any for this network.
        input_tensor: Keras tensor, the input instead of a new one.
        input_shape: Tuple without the batch dimension, `(224, 224, 3)` by default. The position embedding fixes the
            size of the image.
        pooling: `None`, `"avg"` or `"max"`, for `include_top=False`.
        classes: Integer, the number of classes.
        classifier_activation: String or `None` (logits).
        name: String, the name of the model.
        norm: The norm: a name of `bnzoo.norms.list_norms()`, a dict with a `name` and options, a `bnzoo.Norm` or
            `None`.
        placement: String, the position of the norm: `"pre"` (before each sublayer and after the last block), `"post"`
            (after each addition, as in the first transformer) or `"peri"` (before and after each sublayer).
        activation: Any activation of Keras, for the feed-forward network.
        residual_init: How a residual branch starts at zero: `"zero_gamma"` (with the gamma of its last norm, Goyal et
            al. 2017), `"skipinit"` (with a trainable scalar, De & Smith 2020) or `None` (not at all).
        branch_scale: The constant factor on each residual branch before the addition: `"1/sqrt(depth)"`, `"1/depth"`, a
            number above 0, or `None` for no factor. Here the depth is the number of residual branches, two per block.
            With `"1/depth"` the best learning rate of AdamW hardly depends on the depth in transformers with the
            placement `"pre"` (CompleteP, Dey et al. 2025, whose depth counts differ by a constant factor).
        drop_path_rate: Float, the share of examples that skip the residual branch of the last block in training. It
            increases in equal steps from block to block (Huang et al. 2016).
        features: Boolean, whether the model returns a dict of the outputs of its blocks `block1`, `block2`, ..., which
            are tokens. Only the last one includes the final norm. Needs `include_top=False`.
        kernel_regularizer: Any regularizer of Keras, for the kernels of all linear layers, never for a norm.
        mlp_ratio: Float, the width inside the feed-forward network as a multiple of `width`.
        class_token: Boolean, whether the classifier reads a class token. Otherwise it reads the mean of all tokens.
        layer_scale_init: Float, the initial value of a trainable factor on each channel of a residual branch (1e-5 in
            deep networks of Touvron et al. 2021), or `None` for no such factor.
        dropout_rate: Float, the rate of the dropouts of the embedding, the attention and the feed-forward network.

    Returns:
        A functional `keras.Model` with input `image` of shape `(batch, height, width, channels)` and output of shape
        `(batch, classes)`; without the classifier `(batch, tokens, width)`, the class token first.

    Raises:
        ValueError: If an argument is unknown, does not apply, or the patches do not cover the image.

    Examples:
    >>> model = bnzoo.ViT(patch_size=4, depth=6, width=192, heads=3, input_shape=(32, 32, 3), classes=10, norm="rms")

    Reference:
        - [Dosovitskiy et al., 2021: An image is worth 16x16 words](https://arxiv.org/abs/2010.11929), table 1
        - [Dey et al., 2025: CompleteP](https://arxiv.org/abs/2505.01618)
        - [Kim et al., 2025: Peri-LN](https://arxiv.org/abs/2502.02732), figure 2
        - [Shen et al., 2020: PowerNorm](https://arxiv.org/abs/2003.07845)
        - Yao et al., 2021: Leveraging batch normalization for vision transformers, ICCV workshops, pages 413-422
    """
    for argument, value in {"patch_size": patch_size, "depth": depth, "width": width, "heads": heads}.items():
        positive_integer(argument, value)
    if width % heads:
        raise ValueError(f"`heads` must divide `width`. Received: heads={heads}, width={width}")
    units = int(number("mlp_ratio", mlp_ratio, above=0) * width) or 1
    scale = (
        {}
        if layer_scale_init is None
        else {"scale": layer_scale(number("layer_scale_init", layer_scale_init, above=0))}
    )
    number("dropout_rate", dropout_rate, at_least=0, below=1)
    rates = drop_path_rates(number("drop_path_rate", drop_path_rate, at_least=0, below=1), depth)
    build = block_builder(
        "vit",
        TRANSFORMER_ROWS,
        norm,
        placement,
        activation,
        residual_init,
        kernel_regularizer,
        branch_scale=branch_scale,
        branches=2 * depth,
    )
    head = Head(include_top, pooling, classes, classifier_activation, features, build.kernel_regularizer)
    inputs = input_layer(input_tensor, input_shape, image_shape(224), IMAGES)

    x = _embedded(inputs, patch_size, width, class_token, build.kernel_regularizer)
    x = dropout(x, dropout_rate, "embedding")
    stages = {}
    for i, rate in enumerate(rates, start=1):
        x = stages[f"block{i}"] = transformer_block(
            x,
            build,
            f"block{i}",
            scale,
            heads=heads,
            units=units,
            dropout_rate=dropout_rate,
            drop_path_rate=rate,
        )
    x = build(x, build.start, [], "final")
    if class_token and include_top:
        x = x[:, 0]
    elif class_token and pooling:
        x = x[:, 1:]
    outputs = head.outputs(x, {**stages, f"block{depth}": x})
    return finished_model(inputs, outputs, name, weights)


def _embedded(image: Any, patch_size: int, width: int, class_token: bool, kernel_regularizer: Any) -> Any:
    """Return the tokens: a linear map of each patch and the class token, with position embeddings."""
    if any(side is None or side % patch_size for side in image_sides(image)):
        raise ValueError(
            "`patch_size` must divide both sides of the image, which must be known. "
            f"Received: patch_size={patch_size}, an input of shape {tuple(image.shape[1:])}"
        )
    x = keras.layers.Conv2D(
        width, patch_size, strides=patch_size, kernel_regularizer=kernel_regularizer, name="patch_embedding"
    )(image)
    if channel_axis(4) == 1:
        x = keras.layers.Permute((2, 3, 1), name="channels_last")(x)
    x = keras.layers.Reshape((-1, width), name="tokens")(x)
    if class_token:
        x = ClassToken(name="class_token")(x)
    return PositionEmbedding(name="position_embedding")(x)


_TABLE_1 = "Dosovitskiy et al. 2021, table 1"
_DEIT = "Touvron et al. 2021, arXiv:2012.12877, table 1"
_DEIT_5 = "Touvron et al. 2021, table 5"
_TV = "torchvision, IMAGENET1K_V1"
_TI: dict[str, Any] = {"width": 192, "heads": 3}
_S: dict[str, Any] = {"width": 384, "heads": 6}
_B: dict[str, Any] = {"width": 768, "heads": 12}
_L: dict[str, Any] = {"depth": 24, "width": 1024, "heads": 16}

ViTTi16 = variant(ViT, "ViTTi16", "vit_ti16", _DEIT, (5_717_416, 1_074_851_328, 72.2, _DEIT_5), patch_size=16, **_TI)
ViTS16 = variant(ViT, "ViTS16", "vit_s16", _DEIT, (22_050_664, 4_241_218_560, 79.8, _DEIT_5), patch_size=16, **_S)
ViTB16 = variant(ViT, "ViTB16", "vit_b16", _TABLE_1, (86_567_656, 16_848_500_736, 81.072, _TV), patch_size=16, **_B)
ViTB32 = variant(ViT, "ViTB32", "vit_b32", _TABLE_1, (88_224_232, 4_363_106_304, 75.912, _TV), patch_size=32, **_B)
ViTL16 = variant(ViT, "ViTL16", "vit_l16", _TABLE_1, (304_326_632, 59_647_172_608, 79.662, _TV), patch_size=16, **_L)
ViTL32 = variant(ViT, "ViTL32", "vit_l32", _TABLE_1, (306_535_400, 15_254_659_072, 76.972, _TV), patch_size=32, **_L)
