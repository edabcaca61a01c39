"""The transformer block: two residual blocks of one sublayer each."""

from typing import Any

from bnzoo.blocks.endings import layer_scale
from bnzoo.blocks.parts import Parts
from bnzoo.blocks.residual import residual_block
from bnzoo.blocks.weights import feed_forward, self_attention


def transformer_block(
    x: Any,
    parts: Parts,
    name: str,
    *,
    heads: int,
    units: int,
    dropout_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    layer_scale_init: float | None = None,
) -> Any:
    """Self-attention, then the feed-forward network, each added to the trunk.

    Args:
        x: Tensor of shape `(batch, tokens, width)`.
        parts: The norm, its order, the activation of the feed-forward network.
        name: String, the prefix of the layers' names.
        heads: Integer, which divides the width.
        units: Integer, the width inside the feed-forward network.
        dropout_rate: Float, in both sublayers.
        drop_path_rate: Float, the share of examples for which a sublayer is left out in training.
        layer_scale_init: Float, where a layer scale begins, or `None` for none.

    Reference:
        - [Dosovitskiy et al., 2021: An image is worth 16x16 words](https://arxiv.org/abs/2010.11929), equations 2 and 3
        - [Kim et al., 2025: Peri-LN](https://arxiv.org/abs/2502.02732), figure 2, for the placements
    """
    gate = None if layer_scale_init is None else layer_scale(layer_scale_init)
    sublayers = {
        "attention": self_attention(heads, dropout_rate),
        "mlp": feed_forward(units, dropout_rate),
    }
    for sublayer, weight in sublayers.items():
        x = residual_block(x, [weight], parts, f"{name}_{sublayer}", gate=gate, drop_path_rate=drop_path_rate)
    return x
