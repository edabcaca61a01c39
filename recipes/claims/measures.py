"""What several claims measure, and on what."""

import keras
import numpy as np

from bnzoo.data import Dataset, Split

_BATCH = 256


def test_accuracy(model: keras.Model, data: Dataset) -> dict[str, float]:
    """The accuracy on the test data, which no choice of a learning rate has seen; for a `Study`."""
    return {"test_accuracy": accuracy(model, data.test)}


def standardized(data: Dataset, examples: int | None = None) -> np.ndarray:
    """The training examples as the networks of a space see them: mean 0 and variance 1, in float64.

    Args:
        data: A `Dataset`.
        examples: Integer, how many from the first, instead of all.
    """
    mean, variance = map(np.asarray, data.scale)
    return (data.train.x[:examples] - mean) / np.sqrt(variance)


def accuracy(model: keras.Model, split: Split) -> float:
    """The accuracy on examples."""
    return model.evaluate(*split, _BATCH, verbose=0, return_dict=True)["accuracy"]
