"""The multilayer perceptron, plain and residual, for tables and for small images."""

from collections.abc import Sequence
from typing import Any

import keras

from bnzoo.blocks import (
    RESIDUAL_ROWS,
    BlockBuilder,
    block_builder,
    dense,
    drop_path_rates,
    dropout,
    projection_shortcut,
    residual_block,
    rows,
)
from bnzoo.errors import number, positive_integer, positive_integers
from bnzoo.models.arguments import refuse_unknown
from bnzoo.models.cards import ModelCard
from bnzoo.models.ends import Head, finished_model, input_layer

_WORDS = {"post": "original", "pre": "full_preactivation", "act_norm": "act_norm"}
MLP_PLACEMENTS = {word: RESIDUAL_ROWS[panel].replace("conv", "dense") for word, panel in _WORDS.items()}


@refuse_unknown
def MLP(
    depth: int | None = None,
    width: int | None = None,
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int | None = 1000,
    classifier_activation: Any = "softmax",
    name: str = "mlp",
    *,
    norm: Any = "batch",
    placement: str = "post",
    activation: Any = "relu",
    residual_init: str | None = None,
    branch_scale: str | float | None = None,
    drop_path_rate: float = 0.0,
    features: bool = False,
    kernel_regularizer: Any = None,
    widths: Sequence[int] | None = None,
    residual: bool = False,
    dropout_rate: float = 0.0,
) -> keras.Model:
    """Build a multilayer perceptron.

    For regression, set `classifier_activation=None` and `classes` to the number of targets.

    Args:
        depth: Integer, the number of hidden layers, 3 by default. A residual MLP has an odd depth: one layer, then
            blocks of two layers.
        width: Integer, the number of units of each hidden layer, 128 by default.
        include_top: Boolean, whether the model has a classifier.
        weights: `None` (random) or the path of a `.weights.h5` file.
        input_tensor: Keras tensor, the input instead of a new one.
        input_shape: Tuple `(features,)`, or `(height, width, channels)` of images, which are flattened.
        pooling: `None`, since there is nothing to pool.
        classes: Integer, the number of classes, or `None` for a model without a classifier.
        classifier_activation: String or `None` (logits, or the predictions of a regression).
        name: String, the name of the model.
        norm: The norm: a name of `bnzoo.norms.list_norms()`, a dict with a `name` and options, a `bnzoo.Norm` or
            `None`.
        placement: String, the position of the norm: `"post"` (linear, norm, activation), `"pre"` (norm, activation,
            linear) or `"act_norm"` (linear, activation, norm). Without shortcuts, `"post"` and `"pre"` are the same
            function.
        activation: Any activation of Keras.
        residual_init: How a residual branch starts at zero: `"zero_gamma"` (with the gamma of its last norm, Goyal et
            al. 2017), `"skipinit"` (with a trainable scalar, De & Smith 2020) or `None` (not at all).
        branch_scale: The constant factor on each residual branch before the addition: `"1/sqrt(depth)"`, `"1/depth"`, a
            number above 0, or `None` for no factor. Here the depth is the number of residual branches, one per two
            layers after the first. It needs `residual=True`, as does `residual_init`.
        drop_path_rate: Float, the share of examples that skip the residual branch of the last block in training. It
            increases in equal steps from block to block (Huang et al. 2016). It needs `residual=True`.
        features: Boolean, whether the model returns a dict of the outputs of its hidden layers `hidden_1`, ... and
            blocks `block_1`, ... Needs `include_top=False`.
        kernel_regularizer: Any regularizer of Keras, for the kernels of all dense layers, never for a norm.
        widths: Sequence of integers, the units of each hidden layer, instead of `depth` and `width`.
        residual: Boolean, whether each two layers after the first are a residual block. If the width changes, the
            shortcut has a dense layer.
        dropout_rate: Float, the rate of a dropout after each hidden layer, or before the second layer of each residual
            block.

    Returns:
        A functional `keras.Model` with input `features` (or `image`) and output of shape `(batch, classes)`.

    Raises:
        ValueError: If an argument is unknown, does not apply, or is impossible.

    Examples:
    >>> model = bnzoo.MLP(depth=4, width=64, input_shape=(13,), classes=3, norm="layer", placement="act_norm")
    >>> model = bnzoo.MLP(widths=(256, 64), input_shape=(13,), classes=1, classifier_activation=None)
    """
    units = _widths(depth, width, widths)
    check_depth(len(units), residual)
    number("dropout_rate", dropout_rate, at_least=0, below=1)
    number("drop_path_rate", drop_path_rate, at_least=0, below=1)
    if not residual and (drop_path_rate or residual_init or branch_scale is not None):
        raise ValueError(
            "`drop_path_rate`, `residual_init` and `branch_scale` are for residual=True: without shortcuts there is no "
            f"branch. Received: drop_path_rate={drop_path_rate}, residual_init={residual_init!r}, "
            f"branch_scale={branch_scale!r}"
        )
    if pooling is not None:
        raise ValueError(f"`pooling` must be None: vectors have nothing to pool. Received: pooling={pooling!r}")
    build = block_builder(
        "mlp",
        MLP_PLACEMENTS,
        norm,
        placement,
        activation,
        residual_init,
        kernel_regularizer,
        branch_scale=branch_scale,
        branches=len(units) // 2,
    )
    top = include_top and classes is not None
    head = Head(top, None, classes or 0, classifier_activation, features, build.kernel_regularizer)
    inputs = input_layer(input_tensor, input_shape, None, {1: "(features,)", 3: "(height, width, channels)"})
    x = keras.layers.Flatten(name="flatten")(inputs) if len(inputs.shape) > 2 else inputs

    stages: dict[str, Any] = {}
    if residual:
        x = _residual(x, units, build, dropout_rate, drop_path_rate, stages)
    else:
        x = _plain(x, units, build, dropout_rate, stages)
    x = build(x, build.start, [], "final")
    outputs = head.outputs(x, {**stages, list(stages)[-1]: x})
    return finished_model(inputs, outputs, name, weights)


def _widths(depth: int | None, width: int | None, widths: Sequence[int] | None) -> tuple[int, ...]:
    if widths is None:
        depth, width = 3 if depth is None else depth, 128 if width is None else width
        return (positive_integer("width", width),) * positive_integer("depth", depth)
    if depth is not None or width is not None:
        raise ValueError(
            "`widths` replaces `depth` and `width`. Pass either `widths` or the other two. "
            f"Received: widths={widths!r}, depth={depth}, width={width}"
        )
    return positive_integers("widths", widths, "the units of each hidden layer, as (256, 64)")


def check_depth(depth: int, residual: bool) -> None:
    """Raise `ValueError` if there is no MLP of this depth."""
    positive_integer("depth", depth)
    if residual and depth % 2 == 0:
        raise ValueError(
            f"`depth` of a residual MLP must be odd: one hidden layer, then blocks of two. Received: depth={depth}"
        )


def _plain(x: Any, units: tuple[int, ...], build: BlockBuilder, dropout_rate: float, stages: dict[str, Any]) -> Any:
    after = rows.between(build.row)
    for i, width in enumerate(units, start=1):
        name, before = f"hidden_{i}", build.start if i > 1 else ""
        x = build(x, f"{before} dense {after}", [dense(width)], name)
        x = stages[name] = dropout(x, dropout_rate, name)
    return x


def _residual(
    x: Any,
    units: tuple[int, ...],
    build: BlockBuilder,
    dropout_rate: float,
    drop_path_rate: float,
    stages: dict[str, Any],
) -> Any:
    x = stages["hidden_1"] = build(x, f"dense {rows.between(build.row)}", [dense(units[0])], "hidden_1")
    rates = drop_path_rates(drop_path_rate, len(units) // 2)
    for i, (inner, outer, rate) in enumerate(zip(units[1::2], units[2::2], rates, strict=True), start=1):
        projects = x.shape[-1] != outer
        x = stages[f"block_{i}"] = residual_block(
            x,
            [dense(inner), dense(outer, dropout_rate=dropout_rate)],
            build,
            f"block_{i}",
            shortcut=projection_shortcut(dense(outer)) if projects else None,
            preactivated=projects or i == 1,
            drop_path_rate=rate,
        )
    return x


vars(MLP)["card"] = ModelCard(MLP, "mlp", "Rumelhart et al. 1986", dataset="")
