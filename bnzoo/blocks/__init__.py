"""The only code that knows an order: which of linear layer, norm and activation comes when."""

from bnzoo.blocks.branch import branch, chain
from bnzoo.blocks.densely_connected import concatenate, densely_connected_layer, transition
from bnzoo.blocks.endings import drop_path_rates, squeeze_and_excitation
from bnzoo.blocks.orders import ORDERS, Order, meaningful_placements
from bnzoo.blocks.parts import Parts
from bnzoo.blocks.residual import (
    Shortcut,
    averaged_projection_shortcut,
    projection_shortcut,
    residual_block,
    subsampling_shortcut,
    zero_padding_shortcut,
)
from bnzoo.blocks.transformer import transformer_block
from bnzoo.blocks.weights import Weight, convolution, dense, dropout

__all__ = [
    "ORDERS",
    "Order",
    "Parts",
    "Shortcut",
    "Weight",
    "averaged_projection_shortcut",
    "branch",
    "chain",
    "concatenate",
    "convolution",
    "dense",
    "densely_connected_layer",
    "drop_path_rates",
    "dropout",
    "meaningful_placements",
    "projection_shortcut",
    "residual_block",
    "squeeze_and_excitation",
    "subsampling_shortcut",
    "transformer_block",
    "transition",
    "zero_padding_shortcut",
]
