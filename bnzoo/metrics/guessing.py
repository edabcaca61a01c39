"""Predictions without a look at the inputs, with which those of a model are compared."""

import numpy as np

from bnzoo.metrics.metric import CLASSIFICATION, task_of


def guesses(training_targets: np.ndarray, outputs: int, examples: int) -> np.ndarray:
    """Return the same prediction for each example: the shares of the classes or labels, or the mean of the targets.

    Args:
        training_targets: Array, the classes, labels or targets of the training data, as in `task_of`.
        outputs: Integer, the number of classes, labels or targets.
        examples: Integer, the number of predictions.
    """
    if task_of(training_targets) == CLASSIFICATION:
        mean = np.bincount(training_targets, minlength=outputs) / len(training_targets)
    else:
        mean = training_targets.mean(axis=0, dtype=np.float64)
    return np.broadcast_to(mean, (examples, *mean.shape))
