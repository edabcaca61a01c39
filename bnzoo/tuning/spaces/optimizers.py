"""The optimizers that a space trains with, and what suits each unless something else is asked for."""

from dataclasses import dataclass
from typing import Any

import keras

from bnzoo.errors import choice, number
from bnzoo.tools import no_decay_variables

MOMENTUM = 0.9


@dataclass(frozen=True)
class Defaults:
    """What suits an optimizer.

    Attributes:
        learning_rates: The ends of the range to search.
        weight_decay: Float.
    """

    learning_rates: tuple[float, float]
    weight_decay: float


# the decay is a share of the learning rate, whose scale is another: Touvron et al. 2021 (arXiv:2012.12877), table 9
DEFAULTS = {"sgd": Defaults((1e-3, 3.0), 1e-4), "adamw": Defaults((1e-4, 0.1), 0.05)}


@dataclass(frozen=True)
class Optimizer:
    """An optimizer before its learning rate and its weight decay are known.

    Args:
        name: String, `"sgd"` or `"adamw"`.
        momentum: Float or `None` for 0.9, of SGD.

    Raises:
        ValueError: If the name is unknown, or the momentum is not possible or given for AdamW.
    """

    name: str
    momentum: float | None = None

    def __post_init__(self) -> None:
        choice("optimizer", self.name, DEFAULTS)
        if self.name == "sgd":
            momentum = MOMENTUM if self.momentum is None else self.momentum
            object.__setattr__(self, "momentum", number("momentum", momentum, at_least=0, below=1))
        elif self.momentum is not None:
            raise ValueError(
                f"`momentum` is for optimizer='sgd': AdamW has its own. Received: momentum={self.momentum!r}, "
                f"optimizer={self.name!r}"
            )

    @property
    def defaults(self) -> Defaults:
        """What suits it."""
        return DEFAULTS[self.name]

    def make(self, learning_rate: float, weight_decay: float, model: keras.Model) -> keras.Optimizer:
        """The optimizer for a model; `bnzoo.no_decay_variables` are left out of the decay."""
        if self.name == "sgd":
            decay = weight_decay or None
            made = keras.optimizers.SGD(learning_rate, momentum=self.momentum, weight_decay=decay)
        else:
            made = keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay)
        made.exclude_from_weight_decay(var_list=no_decay_variables(model))
        return made

    def get_config(self) -> dict[str, Any]:
        """As JSON."""
        return {"optimizer": self.name, **({} if self.momentum is None else {"momentum": self.momentum})}
