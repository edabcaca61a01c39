"""What a network is trained for: its outputs, its loss, its metric."""

from dataclasses import dataclass
from typing import Any

import keras

from bnzoo.errors import number
from bnzoo.metrics import ACCURACY, R2
from bnzoo.tuning.spaces.standard_scale import StandardR2Score, StandardSquaredError

_SMALL, _LARGE = 1e-15, 1e15


@dataclass(frozen=True)
class Classification:
    """Classes from logits.

    Attributes:
        units: Integer, the width of the last layer.
        metric: String, the metric in Keras' logs.
    """

    units: int
    metric: str = ACCURACY.keras_name

    def finish(self, model: keras.Model) -> keras.Model:
        """The network that a user gets from the family's."""
        return model

    def compile_arguments(self) -> dict[str, Any]:
        """Loss and metric of `keras.Model.compile`."""
        return {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "metrics": [self.metric]}


@dataclass(frozen=True)
class Regression:
    """One number in the target's own units, from a unit that is trained on its standard scale.

    The loss is the squared error as a share of the target's variance: that of guessing the mean is 1 whatever the unit.

    Attributes:
        mean: Float, of the target.
        variance: Float, of the target.
        units: Integer, the width of the last layer.
        metric: String, the metric in Keras' logs.
    """

    mean: float = 0.0
    variance: float = 1.0
    units: int = 1
    metric: str = R2.keras_name

    def __post_init__(self) -> None:
        number("target_scale[1]", self.variance, above=0)

    def finish(self, model: keras.Model) -> keras.Model:
        """The network that a user gets from the family's."""
        scale = keras.layers.Rescaling(self.variance**0.5, offset=self.mean, name="prediction")
        return keras.Model(model.input, scale(model.output), name=model.name)

    def compile_arguments(self) -> dict[str, Any]:
        """Loss and metric of `keras.Model.compile`."""
        deviation = self.variance**0.5
        # targets whose squares float32 holds are left to what any reader of the file has
        if not (deviation >= _SMALL and deviation + abs(self.mean) <= _LARGE):
            metric = StandardR2Score(self.mean, deviation, name=self.metric)
            return {"loss": StandardSquaredError(deviation), "metrics": [metric]}
        return {
            "loss": "mean_squared_error",
            "loss_weights": 1 / self.variance,
            "metrics": [keras.metrics.R2Score(name=self.metric)],
        }


Task = Classification | Regression


def task_of(classes: int, target_scale: tuple[float, float] | None) -> Task:
    """The task for a number of classes, 0 of a regression."""
    if classes:
        return Classification(classes)
    return Regression() if target_scale is None else Regression(*target_scale)
