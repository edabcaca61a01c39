"""The only code that knows an order: which of linear layer, norm and activation comes when."""

from bnzoo.blocks.orders import ORDERS, Order
from bnzoo.blocks.parts import Parts
from bnzoo.blocks.residual import projection_shortcut, residual_block, zero_padding_shortcut
from bnzoo.blocks.weights import convolution, dense

__all__ = [
    "ORDERS",
    "Order",
    "Parts",
    "convolution",
    "dense",
    "projection_shortcut",
    "residual_block",
    "zero_padding_shortcut",
]
