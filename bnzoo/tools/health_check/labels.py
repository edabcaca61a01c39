"""A check of the labels of a classifier."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np


def check_labels(model: keras.Model, loss: Any, y: Any) -> None:
    """Check that the labels of a sparse categorical cross-entropy are classes of the model.

    TensorFlow would raise a less helpful error, or compute a loss of NaN.

    Args:
        model: The model.
        loss: The argument `loss` of `keras.Model.compile`.
        y: The targets of a batch.

    Raises:
        ValueError: If a label is none of the classes.
    """
    outputs = model.output
    names = list(outputs) if isinstance(outputs, Mapping) else model.output_names
    units = [tensor.shape[-1] for tensor in keras.tree.flatten(outputs)]
    losses, targets = (_in_order(value, names, single) for value, single in ((loss, len(names) > 1), (y, False)))
    if not len(losses) == len(targets) == len(units):
        return
    for one, labels, classes in zip(losses, targets, units, strict=True):
        if _is_sparse(one) and labels is not None:
            _check(np.asarray(labels), classes, getattr(one, "ignore_class", None))


def _in_order(value: Any, names: list[str], repeated: bool) -> list:
    """Return the value for each output; a single loss is for all of them."""
    if isinstance(value, Mapping):
        return [value.get(name) for name in names]
    if isinstance(value, list | tuple):
        return list(value)
    return [value] * (len(names) if repeated else 1)


def _is_sparse(loss: Any) -> bool:
    try:
        loss = keras.losses.get(loss)
    except (ValueError, TypeError):
        return False
    return isinstance(loss, keras.losses.SparseCategoricalCrossentropy) or (
        loss is keras.losses.sparse_categorical_crossentropy
    )


def _check(labels: np.ndarray, classes: int, ignored: int | None) -> None:
    wrong = labels[((labels < 0) | (labels >= classes)) & (labels != ignored)]
    if wrong.size:
        raise ValueError(
            f"`data` has the label {wrong[0]:g}, but the model has outputs for the classes 0 to {classes - 1}. Use "
            "labels in this range, or a model with an output for each class"
        )
