"""Labels that a model has no output for."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np


def check_labels(model: keras.Model, loss: Any, y: Any) -> None:
    """Refuse labels of a sparse categorical cross-entropy that are none of the model's classes.

    TensorFlow would raise an error of its own, or compute a loss that is not a number.

    Args:
        model: The model.
        loss: What `keras.Model.compile` takes as `loss`.
        y: The targets of a batch.

    Raises:
        ValueError: If there is one.
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
    """Return what is given for each output; one loss may be for all."""
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
            f"`data` has the label {wrong[0]:g}, and the model has outputs for the classes 0 to {classes - 1}. Give "
            "labels that are places of outputs, or a model with as many outputs as there are classes"
        )
