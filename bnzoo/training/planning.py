"""The plan of a training: its precision, and its epochs within a budget. It is made once."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import keras

from bnzoo.errors import choice
from bnzoo.training.precision import PRECISIONS, fastest
from bnzoo.training.speed import step_seconds

# the share of the time that is used, as other steps may be slower
_USED = 0.95
# a training of so many epochs loses little time if they are whole
_MANY = 30


@dataclass(frozen=True)
class TrainingPlan:
    """The plan of a training.

    Attributes:
        epochs: Integer.
        steps: Integer, the steps of an epoch.
        precision: String.
    """

    epochs: int
    steps: int
    precision: str

    def get_config(self) -> dict[str, Any]:
        """Return the attributes as JSON."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: Any) -> "TrainingPlan":
        """Return the plan of a dict of its attributes. Raise `ValueError` if it has another form."""
        try:
            plan = cls(**config)
        except TypeError as error:
            raise ValueError("its plan has other fields") from error
        if not all(isinstance(count, int) and count > 0 for count in (plan.epochs, plan.steps)):
            raise ValueError("the numbers of its plan must be positive integers")
        choice("precision", plan.precision, PRECISIONS)
        return plan


def epochs_within(seconds: float, step: float, steps: int, other_steps: float) -> tuple[int, int]:
    """Return the number of epochs, and of the steps of an epoch, that fit into a time.

    A few whole epochs would leave up to an epoch of the time unused. So they are longer than a pass through the data,
    and fill the time. If not even an epoch fits, it is one shorter epoch, of at least a step.

    Args:
        seconds: Float, the time.
        step: Float, the seconds of a step.
        steps: Integer, the steps of a pass through the data.
        other_steps: Float, the number of training steps that take as long as all else in an epoch: its validation, and
            Keras' work at its ends.
    """
    possible = _USED * seconds / step
    passes = possible / (steps + other_steps)
    if passes >= _MANY:
        return math.floor(passes), steps
    epochs = max(1, math.floor(passes))
    return epochs, max(1, math.floor(possible / epochs - other_steps))


def chosen_precision(precisions: list[str], compiled: Callable[[str], keras.Model], batches: Any) -> str:
    """Return the `fastest` precision on this machine.

    Args:
        precisions: List of strings.
        compiled: Function of a precision that returns a compiled copy of the model.
        batches: An endless data set.
    """
    if len(precisions) == 1:
        return precisions[0]
    return fastest({name: step_seconds(compiled(name), batches) for name in precisions})
