"""Measurements that several claims share."""

import keras
import numpy as np

from bnzoo.data import Dataset, Split

_BATCH = 256


def test_accuracy(model: keras.Model, data: Dataset) -> dict[str, float]:
    """Return the accuracy on the test data, as a measurement for a `Study`.

    The learning rate is chosen on the validation data, never on the test data.
    """
    return {"test_accuracy": accuracy(model, data.test)}


def standardized(data: Dataset, examples: int | None = None) -> np.ndarray:
    """Return the training examples with mean 0 and variance 1, in float64, like the inputs of a space's networks.

    Args:
        data: A `Dataset`.
        examples: Integer, the number of examples. Default: all.
    """
    mean, variance = map(np.asarray, data.scale)
    return (data.train.x[:examples] - mean) / np.sqrt(variance)


def accuracy(model: keras.Model, split: Split) -> float:
    """Return the accuracy on the examples of a split."""
    return model.evaluate(*split, _BATCH, verbose=0, return_dict=True)["accuracy"]
