"""The norm, the activation and what else a model was asked for, bound once and handed to every block."""

from dataclasses import dataclass
from typing import Any

import keras

from bnzoo import norms
from bnzoo.blocks.orders import Order, Words, find_order, uses_bias
from bnzoo.errors import choice
from bnzoo.norms import Norm

RESIDUAL_INITS = ("zero_gamma", "skipinit", None)


@dataclass(frozen=True)
class Parts:
    """What a block is made of, beside its weights.

    Attributes:
        norm: What normalizes.
        order: Where it stands.
        activation: String or callable, any activation of Keras.
        residual_init: How a residual branch starts at zero: with the gamma of the norm that ends it (`"zero_gamma"`),
            with a trainable scalar (`"skipinit"`), or not at all (`None`).
        kernel_regularizer: For the kernels of linear layers, never for norms.
        weight_standardization: Boolean, whether the kernels of convolutions are standardised.
    """

    norm: Norm
    order: Order
    activation: Any
    residual_init: str | None = None
    kernel_regularizer: Any = None
    weight_standardization: bool = False

    @classmethod
    def bind(
        cls,
        family: str,
        norm: Any,
        placement: str,
        activation: Any,
        residual_init: str | None = None,
        kernel_regularizer: Any = None,
        weight_standardization: bool = False,
    ) -> "Parts":
        """The parts for a user's words.

        Raises:
            ValueError: If a word is unknown, or does not apply to the others.
        """
        norm = norms.get(norm)
        order = find_order(family, norm, placement)
        if norm.replaces_activation and activation != "relu":
            raise ValueError(
                f"`activation` does not apply: the norm {norm.label} takes the activation's place. Leave it out, or "
                f"choose another norm. Received: activation={activation!r}"
            )
        choice("residual_init", residual_init, RESIDUAL_INITS)
        if residual_init == "zero_gamma" and not (norm.can_start_at_zero and "norm" in order.after_last):
            raise ValueError(
                "`residual_init='zero_gamma'` needs a norm with a gamma at the end of the branch, which the norm "
                f"{norm.label} in the placement {placement!r} is not. Use residual_init='skipinit'"
            )
        return cls(
            norm,
            order,
            keras.activations.get(activation),
            residual_init,
            keras.regularizers.get(kernel_regularizer),
            weight_standardization,
        )

    def bias(self, read_by: Words) -> bool:
        """Whether the weight whose output these words read has a bias."""
        return uses_bias(self.norm, read_by)

    def apply(self, words: Words, x: Any, name: str, **overrides: Any) -> Any:
        """Norm and activation, in the order of the words.

        Args:
            words: The words of an order.
            x: Tensor.
            name: String, the prefix of the layers' names.
            **overrides: Arguments of the norm's layer that the place decides.
        """
        slots = list(words)
        while slots:
            if slots.pop(0) == "act":
                x = keras.layers.Activation(self.activation, name=f"{name}_act")(x)
            elif self.norm:
                if self.norm.replaces_activation:
                    overrides["apply_activation"] = slots[:1] == ["act"]
                    slots = slots[overrides["apply_activation"] :]
                x = self.norm.layer(x.shape, name=f"{name}_norm", **overrides)(x)
        return x
