"""The optimizers of a space, with their default learning rates and weight decay."""

from dataclasses import dataclass
from typing import Any

import keras

from bnzoo.errors import choice, number
from bnzoo.tools import no_decay_variables

MOMENTUM = 0.9


@dataclass(frozen=True)
class Defaults:
    """Defaults of an optimizer.

    Attributes:
        learning_rates: Tuple of two floats, the range of a search.
        learning_rate: Float, the highest learning rate of a single training.
        weight_decay: Float.
    """

    learning_rates: tuple[float, float]
    learning_rate: float
    weight_decay: float


# AdamW: Touvron et al. 2021 (arXiv:2012.12877), table 9
DEFAULTS = {"sgd": Defaults((1e-3, 3.0), 0.1, 1e-4), "adamw": Defaults((1e-4, 0.1), 1e-3, 0.05)}


@dataclass(frozen=True)
class Optimizer:
    """An optimizer without its learning rate and weight decay.

    Args:
        name: String, `"sgd"` or `"adamw"`.
        momentum: Float, the momentum of SGD; `None` is 0.9.

    Raises:
        ValueError: If the name is unknown, the momentum is out of range, or AdamW is given a momentum.
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
        """The defaults of the optimizer."""
        return DEFAULTS[self.name]

    def make(self, learning_rate: float, weight_decay: float, model: keras.Model) -> keras.Optimizer:
        """Return the optimizer of a model. Weight decay excludes `bnzoo.no_decay_variables`."""
        if self.name == "sgd":
            decay = weight_decay or None
            made = keras.optimizers.SGD(learning_rate, momentum=self.momentum, weight_decay=decay)
        else:
            made = keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay)
        made.exclude_from_weight_decay(var_list=no_decay_variables(model))
        return made

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as JSON."""
        return {"optimizer": self.name, **({} if self.momentum is None else {"momentum": self.momentum})}
