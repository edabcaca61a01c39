"""Tasks: the outputs, the loss and the metric of a network."""

from dataclasses import dataclass
from typing import Any

import keras

from bnzoo.errors import number
from bnzoo.metrics import ACCURACY, R2
from bnzoo.training.mixed_labels import MixedAccuracy, MixedCrossentropy
from bnzoo.training.standard_scale import StandardR2Score, StandardSquaredError

_SMALL, _LARGE = 1e-15, 1e15


@dataclass(frozen=True)
class Classification:
    """Classification, with logits as outputs.

    Attributes:
        units: Integer, the width of the last layer.
        mixed: Boolean, whether the labels may be rows of shares.
        metric: String, the metric in Keras' logs.
    """

    units: int
    mixed: bool = False
    metric: str = ACCURACY.keras_name

    def finish(self, model: keras.Model) -> keras.Model:
        """Return the network of the family as it is."""
        return model

    def compile_arguments(self) -> dict[str, Any]:
        """Return the loss and the metric for `keras.Model.compile`."""
        if self.mixed:
            return {"loss": MixedCrossentropy(), "metrics": [MixedAccuracy(name=self.metric)]}
        return {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "metrics": [self.metric]}


@dataclass(frozen=True)
class Regression:
    """Regression of one number. The network predicts the standardized target, a last layer restores its units.

    The loss is the squared error divided by the variance of the target, so that the loss of guessing the mean is 1.

    Attributes:
        mean: Float, the mean of the target.
        variance: Float, the variance of the target.
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
        """Return the network with an output in the units of the target."""
        scale = keras.layers.Rescaling(self.variance**0.5, offset=self.mean, name="prediction")
        return keras.Model(model.input, scale(model.output), name=model.name)

    def compile_arguments(self) -> dict[str, Any]:
        """Return the loss and the metric for `keras.Model.compile`."""
        deviation = self.variance**0.5
        # Where float32 can hold the squares, the loss and the metric of Keras load without bnzoo.
        if not (deviation >= _SMALL and deviation + abs(self.mean) <= _LARGE):
            metric = StandardR2Score(self.mean, deviation, name=self.metric)
            return {"loss": StandardSquaredError(deviation), "metrics": [metric]}
        return {
            "loss": "mean_squared_error",
            "loss_weights": 1 / self.variance,
            "metrics": [keras.metrics.R2Score(name=self.metric)],
        }


Task = Classification | Regression


def task_of(classes: int, target_scale: tuple[float, float] | None, mixed: bool = False) -> Task:
    """Return the task for a number of classes, 0 for a regression; `mixed` if labels may be rows of shares."""
    if classes:
        return Classification(classes, mixed)
    return Regression() if target_scale is None else Regression(*target_scale)
