"""Blocks: each is a row of operations, as a figure draws it, and one interpreter applies the rows."""

from bnzoo.blocks import rows
from bnzoo.blocks.builder import BlockBuilder, Operation, Shortcut, block_builder
from bnzoo.blocks.densely_connected import DENSE_ROWS, concatenate, densely_connected_layer, transition
from bnzoo.blocks.linear import Linear, convolution, dense, dropout, self_attention
from bnzoo.blocks.operations import drop_path_rates, layer_scale, squeeze_and_excitation
from bnzoo.blocks.residual import (
    RESIDUAL_ROWS,
    averaged_projection_shortcut,
    projection_shortcut,
    residual_block,
    subsampling_shortcut,
    zero_padding_shortcut,
)
from bnzoo.blocks.transformer import TRANSFORMER_ROWS, transformer_block

__all__ = [
    "DENSE_ROWS",
    "RESIDUAL_ROWS",
    "TRANSFORMER_ROWS",
    "BlockBuilder",
    "Linear",
    "Operation",
    "Shortcut",
    "averaged_projection_shortcut",
    "block_builder",
    "concatenate",
    "convolution",
    "dense",
    "densely_connected_layer",
    "drop_path_rates",
    "dropout",
    "layer_scale",
    "projection_shortcut",
    "residual_block",
    "rows",
    "self_attention",
    "squeeze_and_excitation",
    "subsampling_shortcut",
    "transformer_block",
    "transition",
    "zero_padding_shortcut",
]
