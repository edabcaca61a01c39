"""Weights of the classes in the loss."""

import numpy as np
import tensorflow as tf

from bnzoo.data import Dataset
from bnzoo.errors import choice
from bnzoo.metrics import CLASSIFICATION, MULTILABEL

BALANCED = "balanced"


def check_class_weight(value: str | None, data: Dataset) -> str | None:
    """Return the argument `class_weight`: `None` or `"balanced"`.

    Raises:
        ValueError: If it is another value, or the data has not one class an example.
    """
    if value is None:
        return None
    if data.task != CLASSIFICATION:
        has = "several labels an example" if data.task == MULTILABEL else "numbers to predict"
        raise ValueError(f"`class_weight` is for one class an example, and {data.name} has {has}. Omit it.")
    return choice("class_weight", value, (BALANCED,))


def class_weights(data: Dataset) -> np.ndarray:
    """Return a weight for each class, with which all classes have the same sum of weights in the training data."""
    counts = np.bincount(data.train.y, minlength=data.classes)
    return len(data.train.y) / (np.count_nonzero(counts) * np.maximum(counts, 1))


def weighted(batches: tf.data.Dataset, weights: np.ndarray | None) -> tf.data.Dataset:
    """Add the weight of its class to each example. Keras applies the weights to the loss, not to the metrics.

    Args:
        batches: The batches of inputs and targets.
        weights: Array of the weights of the classes; `None` returns the batches as they are.
    """
    if weights is None:
        return batches
    table = tf.constant(weights, "float32")

    def weight(y: tf.Tensor) -> tf.Tensor:  # of classes, or of rows of their shares, which mix examples
        return tf.gather(table, y) if y.dtype.is_integer else tf.linalg.matvec(y, table)

    return batches.map(lambda x, y: (x, y, weight(y)))
