"""The metrics by which models are judged, and their intervals.

The first metric of a task is the one that every trial has: accuracy for classes, R² for numbers.
"""

import numpy as np

from bnzoo.metrics.classification import ACCURACY, CLASSIFICATION, confusion_matrix
from bnzoo.metrics.guessing import guesses
from bnzoo.metrics.intervals import Measured, measured, wilson
from bnzoo.metrics.metric import Metric, predictions_of, softmax
from bnzoo.metrics.regression import R2, REGRESSION

__all__ = [
    "ACCURACY",
    "METRICS",
    "R2",
    "Measured",
    "Metric",
    "confusion_matrix",
    "guesses",
    "measured",
    "metric_for",
    "metric_labelled",
    "metric_named",
    "metric_of",
    "metrics_for",
    "predictions_of",
    "softmax",
    "wilson",
]

METRICS = (*CLASSIFICATION, *REGRESSION)


def metric_for(classes: int) -> Metric:
    """Return the first metric for a number of classes, 0 for a regression."""
    return ACCURACY if classes else R2


def metrics_for(classes: int) -> dict[str, Metric]:
    """Return all metrics for a number of classes, 0 for a regression, by name."""
    return {metric.name: metric for metric in METRICS if classes in metric.classes}


def metric_of(truth: np.ndarray) -> Metric:
    """Return the first metric for true values: accuracy for integers, which are classes, R² for other numbers."""
    return ACCURACY if np.issubdtype(truth.dtype, np.integer) else R2


def metric_labelled(label: str) -> Metric:
    """Return the metric with a label."""
    return next(metric for metric in METRICS if metric.label == label)


def metric_named(name: str) -> Metric:
    """Return the metric with a name."""
    return next(metric for metric in METRICS if metric.name == name)
