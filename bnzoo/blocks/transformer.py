"""The transformer block: two residual blocks, self-attention and the feed-forward network."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import keras

from bnzoo.blocks.builder import BlockBuilder, Operation
from bnzoo.blocks.linear import dense, self_attention
from bnzoo.blocks.residual import residual_block

# Kim et al. 2025, figure 2, one panel a row.
TRANSFORMER_ROWS = {
    "pre": "norm attention add, norm expand act contract add",
    "post": "attention add norm, expand act contract add norm",
    "peri": "norm attention norm add, norm expand act contract norm add",
}


def transformer_block(
    x: Any,
    build: BlockBuilder,
    name: str,
    operations: Mapping[str, Operation] = MappingProxyType({}),
    *,
    heads: int,
    units: int,
    dropout_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> Any:
    """Apply self-attention and the feed-forward network, each with a shortcut.

    Args:
        x: Tensor of shape `(batch, tokens, width)`.
        build: The block builder of the network.
        name: String, the prefix of the names of the layers.
        operations: Dict of further operations before each addition, such as a layer scale.
        heads: Integer, a divisor of the width.
        units: Integer, the width inside the feed-forward network.
        dropout_rate: Float, the rate of all dropouts.
        drop_path_rate: Float, the share of examples that skip a residual branch in training.

    Reference:
        - [Dosovitskiy et al., 2021: An image is worth 16x16 words](https://arxiv.org/abs/2010.11929), equations 2 and 3
        - [Kim et al., 2025: Peri-LN](https://arxiv.org/abs/2502.02732), figure 2, for the placements
    """

    def drop(x: Any, name: str) -> Any:
        return keras.layers.Dropout(dropout_rate, name=name)(x)

    attention, feed_forward = build.row.split(",")
    x = residual_block(
        x,
        [self_attention(heads, dropout_rate)],
        build,
        f"{name}_attention",
        operations,
        row=attention,
        drop_path_rate=drop_path_rate,
    )
    if dropout_rate:
        feed_forward = feed_forward.replace("contract", "expand_dropout contract contract_dropout")
        operations = {**dict.fromkeys(("expand_dropout", "contract_dropout"), drop), **operations}
    # layer norm does not remove a constant that differs between the channels: these layers always have a bias
    options: dict[str, Any] = {"use_bias": True, "kernel_initializer": "glorot_uniform"}
    return residual_block(
        x,
        [dense(units, **options), dense(x.shape[-1], **options)],
        build,
        f"{name}_mlp",
        operations,
        row=feed_forward,
        drop_path_rate=drop_path_rate,
    )
