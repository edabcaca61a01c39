"""The norm and the activation that a model was asked for, bound once and handed to every block."""

from dataclasses import dataclass
from typing import Any

import keras

from bnzoo import norms, placements
from bnzoo.blocks.orders import ORDERS, Order, uses_bias
from bnzoo.norms import Norm


@dataclass(frozen=True)
class Parts:
    """What a block is made of, beside its weights.

    Attributes:
        norm: What normalizes.
        order: Where it stands.
        activation: String or callable, any activation of Keras.
    """

    norm: Norm
    order: Order
    activation: Any

    @classmethod
    def bind(cls, family: str, norm: Any, placement: str, activation: Any) -> "Parts":
        """The parts for a user's words.

        Raises:
            ValueError: If a word is unknown.
        """
        return cls(norms.get(norm), ORDERS[placements.get(placement, family)], keras.activations.get(activation))

    def bias(self, words: tuple[str, ...], last: bool = False) -> bool:
        """Whether the weight before these words has a bias."""
        return uses_bias(self.norm, self.order.following(words, last))

    def apply(self, words: tuple[str, ...], x: Any, name: str) -> Any:
        """Norm and activation, in the order of the words."""
        for word in words:
            if word == "act":
                x = keras.layers.Activation(self.activation, name=f"{name}_act")(x)
            elif self.norm:
                x = self.norm.layer(x.shape, name=f"{name}_norm")(x)
        return x
