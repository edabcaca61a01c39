"""The metrics by which models are judged, and their intervals.

The first metric of a task is the one that every trial has: accuracy for classes, the mean average precision for
labels, R² for numbers.
"""

from collections.abc import Sequence

import numpy as np

from bnzoo.metrics import classification, multilabel, regression
from bnzoo.metrics.classification import ACCURACY, confusion_matrix
from bnzoo.metrics.guessing import guesses
from bnzoo.metrics.intervals import Measured, measured, wilson
from bnzoo.metrics.metric import CLASSIFICATION, MULTILABEL, REGRESSION, Metric, predictions_of, softmax, task_of
from bnzoo.metrics.multilabel import MEAN_AVERAGE_PRECISION
from bnzoo.metrics.regression import MAE, R2, RMSE, of_target

__all__ = [
    "ACCURACY",
    "CLASSIFICATION",
    "MEAN_AVERAGE_PRECISION",
    "METRICS",
    "MULTILABEL",
    "R2",
    "REGRESSION",
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
    "metrics_of_targets",
    "predictions_of",
    "softmax",
    "wilson",
]

METRICS = (*multilabel.METRICS, *classification.METRICS, *regression.METRICS)


def metric_for(task: str) -> Metric:
    """Return the first metric of a task."""
    return next(metric for metric in METRICS if task in metric.tasks)


def metrics_for(task: str, outputs: int) -> dict[str, Metric]:
    """Return all metrics of a task by name, for a number of classes, labels or targets."""
    return {metric.name: metric for metric in METRICS if task in metric.tasks and outputs in metric.outputs}


def metrics_of_targets(names: Sequence[str]) -> dict[str, Metric]:
    """Return the errors of each of several targets, in its unit, by name."""
    several = [of_target(metric, name, n) for n, name in enumerate(names) for metric in (RMSE, MAE)]
    return {metric.name: metric for metric in several}


def metric_of(truth: np.ndarray) -> Metric:
    """Return the first metric for true values, as in `bnzoo.metrics.metric.task_of`."""
    return metric_for(task_of(truth))


def metric_labelled(label: str) -> Metric:
    """Return the metric with a label."""
    return next(metric for metric in METRICS if metric.label == label)


def metric_named(name: str) -> Metric:
    """Return the metric with a name: also that of one of several targets, such as `rmse:height`, for its texts."""
    name, _, target = name.partition(":")
    metric = next(metric for metric in METRICS if metric.name == name)
    return of_target(metric, target) if target else metric
