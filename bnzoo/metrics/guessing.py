"""Predictions without a look at the inputs, with which those of a model are compared."""

import numpy as np


def guesses(training_targets: np.ndarray, classes: int, examples: int) -> np.ndarray:
    """Return the same prediction for each example: the shares of the classes, or the mean of the targets.

    Args:
        training_targets: Array, the classes or the targets of the training data.
        classes: Integer, the number of classes; 0 for a regression.
        examples: Integer, the number of predictions.
    """
    if not classes:
        return np.full(examples, training_targets.mean(dtype=np.float64))
    shares = np.bincount(training_targets, minlength=classes) / len(training_targets)
    return np.broadcast_to(shares, (examples, classes))
