"""The plan of a training: its precision, and its epochs within a budget. It is made once."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import keras

# the seconds to export and verify a SavedModel, and the share of a step that an example takes at inference
_EXPORT, _INFERENCE = 20.0, 0.6
# steps that are timed, of which the fastest counts, after those that are not
_TIMED, _UNTIMED = 5, 2
# the share of the time that is used, as other steps may be slower
_USED = 0.95


@dataclass(frozen=True)
class Plan:
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
    def from_config(cls, config: Any) -> "Plan":
        """Return the plan of a dict of its attributes. Raise `ValueError` if it has another form."""
        try:
            plan = cls(**config)
        except TypeError as error:
            raise ValueError("its plan has other fields") from error
        if not all(isinstance(count, int) and count > 0 for count in (plan.epochs, plan.steps)):
            raise ValueError("the numbers of its plan must be positive integers")
        return plan


def epochs_within(seconds: float, step: float, steps: int, validation_steps: float) -> tuple[int, int]:
    """Return the number of epochs, and of the steps of an epoch, that fit into a time.

    If not even an epoch fits, it is one shorter epoch, of at least a step.

    Args:
        seconds: Float, the time.
        step: Float, the seconds of a step.
        steps: Integer, the steps of a whole epoch.
        validation_steps: Float, the number of training steps that take as long as the validation of an epoch.
    """
    possible = _USED * seconds / step
    epochs = math.floor(possible / (steps + validation_steps))
    return (epochs, steps) if epochs else (1, max(1, min(steps, math.floor(possible - validation_steps))))


def finishing_seconds(step: float, examples: int, batch_size: int, exports: bool) -> float:
    """Return the seconds after the last step: statistics, the choice of the weights, figures and the export.

    Args:
        step: Float, the seconds of a step.
        examples: Integer, the number of examples that pass the model.
        batch_size: Integer.
        exports: Boolean, whether a SavedModel is written.
    """
    return _INFERENCE * step * examples / batch_size + (_EXPORT if exports else _EXPORT / 4)


class _Timer(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._start = 0.0

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        float((logs or {}).get("loss", 0.0))  # waits for the step
        self.seconds.append(time.perf_counter() - self._start)


def step_seconds(model: keras.Model, batches: Any) -> float:
    """Return the seconds of the fastest of a few training steps. The state of the model does not change.

    Args:
        model: The compiled model, whose optimizer is built.
        batches: An endless data set.
    """
    variables = [*model.variables, *model.optimizer.variables]
    before = [keras.ops.convert_to_numpy(variable) for variable in variables]
    timer = _Timer()
    model.fit(batches, steps_per_epoch=_UNTIMED + _TIMED, shuffle=False, verbose=0, callbacks=[timer])
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    return min(timer.seconds[_UNTIMED:])


def fastest(precisions: list[str], compiled: Callable[[str], keras.Model], batches: Any) -> str:
    """Return the precision in which a step takes the least time, on this machine.

    Args:
        precisions: List of strings.
        compiled: Function of a precision that returns a compiled copy of the model.
        batches: An endless data set.
    """
    return min(precisions, key=lambda name: step_seconds(compiled(name), batches))
