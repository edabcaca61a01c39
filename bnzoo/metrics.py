"""The metrics by which models are judged: accuracy for classes, R² for numbers. Higher is better for both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: String, its name in columns of results.
        label: String, its name in reports, messages and manifests.
        keras_name: String, its name in the logs of Keras.
        compute: Function of the predictions and the true values, both arrays, that returns a float.
        form: String, the format specification of a value.
        short_form: String, that of a value for which there is little room.
    """

    name: str
    label: str
    keras_name: str
    compute: Callable[[np.ndarray, np.ndarray], float]
    form: str
    short_form: str

    def of(self, outputs: Mapping[str, np.ndarray], truth: np.ndarray) -> float:
        """Compute the metric from the first output of a model: logits and probabilities rank the classes alike."""
        return self.compute(next(iter(outputs.values())), truth)

    def text(self, value: float) -> str:
        """Format a value."""
        return f"{value:{self.form}}"

    def short_text(self, value: float) -> str:
        """Format a value for which there is little room."""
        return f"{value:{self.short_form}}"


def _accuracy(predictions: np.ndarray, classes: np.ndarray) -> float:
    return float((predictions.argmax(-1) == classes).mean())


def _r2(predictions: np.ndarray, targets: np.ndarray) -> float:
    errors = predictions.reshape(len(targets)).astype(np.float64) - targets
    return float(1 - np.mean(errors**2) / np.var(targets, dtype=np.float64))


ACCURACY = Metric("accuracy", "accuracy", "accuracy", _accuracy, ".2%", ".1%")
R2 = Metric("r2", "R²", "r2_score", _r2, ".4f", ".2f")
METRICS = (ACCURACY, R2)


def metric_for(classes: int) -> Metric:
    """Return the metric for a number of classes, 0 for a regression."""
    return ACCURACY if classes else R2


def metric_of(truth: np.ndarray) -> Metric:
    """Return the metric for true values: accuracy for integers, which are classes, R² for other numbers."""
    return ACCURACY if np.issubdtype(truth.dtype, np.integer) else R2


def metric_labelled(label: str) -> Metric:
    """Return the metric with a label."""
    return next(metric for metric in METRICS if metric.label == label)


def metric_named(name: str) -> Metric:
    """Return the metric with a name."""
    return next(metric for metric in METRICS if metric.name == name)
