"""The optimizers of trainings and spaces, with their default learning rates, momentum and weight decay."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from bnzoo.errors import choice, number
from bnzoo.optimizers import Muon, ScheduleFreeAdamW
from bnzoo.tools import no_decay_variables


@dataclass(frozen=True)
class Defaults:
    """The defaults of an optimizer.

    Attributes:
        make: Function of the learning rate, the weight decay, the momentum and the model that returns the optimizer.
        learning_rates: Tuple of two floats, the range of a search.
        learning_rate: Float, the highest learning rate of a single training.
        weight_decay: Float.
        momentum: Float; `None` if the optimizer has no such argument.
        schedule_free: Boolean, whether the optimizer averages the weights itself.
    """

    make: Callable[[float, float | None, float, keras.Model], keras.Optimizer]
    learning_rates: tuple[float, float]
    learning_rate: float
    weight_decay: float
    momentum: float | None = None
    schedule_free: bool = False


def _sgd(rate: float, decay: float | None, momentum: float, model: keras.Model) -> keras.Optimizer:
    return keras.optimizers.SGD(rate, momentum=momentum, weight_decay=decay)


def _adamw(rate: float, decay: float | None, momentum: float, model: keras.Model) -> keras.Optimizer:
    return keras.optimizers.AdamW(rate, weight_decay=decay or 0.0)


def _muon(rate: float, decay: float | None, momentum: float, model: keras.Model) -> keras.Optimizer:
    """Return Muon, with AdamW for the last linear layer, as its authors recommend."""
    kernels = [variable.path for variable in model.trainable_variables if variable.path.endswith("kernel")]
    last = [f"^{re.escape(path)}$" for path in kernels[-1:]]
    return Muon(rate, weight_decay=decay, momentum=momentum, exclude_layers=last)


def _schedule_free_adamw(rate: float, decay: float | None, momentum: float, model: keras.Model) -> keras.Optimizer:
    return ScheduleFreeAdamW(rate, weight_decay=decay)


# SGD: Zagoruyko and Komodakis 2016 (arXiv:1605.07146), section 3, add a decay of 5e-4 to the gradient, so that a
# momentum of 0.9 multiplies it by 10; the decay of Keras bypasses the momentum. AdamW: Touvron et al. 2021
# (arXiv:2012.12877), table 9. Muon, whose updates have the size of those of AdamW, takes its rates (Liu et al. 2025,
# arXiv:2502.16982). Schedule-free AdamW: Defazio et al. 2024 (arXiv:2405.15682)
DEFAULTS = {
    "sgd": Defaults(_sgd, (1e-3, 3.0), 0.1, 5e-3, momentum=0.9),
    "adamw": Defaults(_adamw, (1e-4, 0.1), 1e-3, 0.05),
    "muon": Defaults(_muon, (1e-4, 0.1), 1e-3, 0.05, momentum=0.95),
    "schedule_free_adamw": Defaults(_schedule_free_adamw, (1e-4, 0.1), 2.5e-3, 0.05, schedule_free=True),
}
WITH_MOMENTUM = tuple(name for name, defaults in DEFAULTS.items() if defaults.momentum is not None)


@dataclass(frozen=True)
class Optimizer:
    """An optimizer without its learning rate and weight decay.

    Args:
        name: String, `"sgd"`, `"adamw"`, `"muon"` or `"schedule_free_adamw"`.
        momentum: Float, the momentum of SGD, by default 0.9, or of Muon, by default 0.95.

    Raises:
        ValueError: If the name is unknown, the momentum is out of range, or the optimizer has no momentum.
    """

    name: str
    momentum: float | None = None

    def __post_init__(self) -> None:
        choice("optimizer", self.name, DEFAULTS)
        if self.defaults.momentum is not None:
            momentum = self.defaults.momentum if self.momentum is None else self.momentum
            object.__setattr__(self, "momentum", number("momentum", momentum, at_least=0, below=1))
        elif self.momentum is not None:
            names = " and ".join(f"optimizer={name!r}" for name in WITH_MOMENTUM)
            raise ValueError(
                f"`momentum` is for {names}. Received: momentum={self.momentum!r}, optimizer={self.name!r}"
            )

    @property
    def defaults(self) -> Defaults:
        """The defaults of the optimizer."""
        return DEFAULTS[self.name]

    def make(self, learning_rate: float, weight_decay: float, model: keras.Model) -> keras.Optimizer:
        """Return the optimizer of a model. Weight decay excludes `bnzoo.no_decay_variables`."""
        made = self.defaults.make(learning_rate, weight_decay or None, self.momentum or 0.0, model)
        made.exclude_from_weight_decay(var_list=no_decay_variables(model))
        return made

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as JSON."""
        return {"optimizer": self.name, **({} if self.momentum is None else {"momentum": self.momentum})}
