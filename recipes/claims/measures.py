"""What claims want to know of a trained model: each takes it and the data and gives a dict of floats, for a `Study`."""

import keras

from bnzoo.data import Dataset, Split

_BATCH = 256


def test_accuracy(model: keras.Model, data: Dataset) -> dict[str, float]:
    """The accuracy on the test data, which no choice of a learning rate has seen."""
    return {"test_accuracy": accuracy(model, data.test)}


def accuracy(model: keras.Model, split: Split) -> float:
    """The accuracy on examples."""
    return model.evaluate(*split, _BATCH, verbose=0, return_dict=True)["accuracy"]
