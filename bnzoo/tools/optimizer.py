"""The optimizer of a compiled model after a change of its trainable variables."""

from collections import defaultdict
from typing import Any

import keras

from bnzoo.keras_internals import copy_weight_decay_exclusions, optimized_variables


def follow_trainable_variables(model: keras.Model) -> None:
    """Give a compiled model an optimizer for its present trainable variables, with the state of its optimizer.

    On TensorFlow an optimizer accepts fewer variables than it was built for. On JAX they must be the same.

    Args:
        model: A `keras.Model`, compiled or not.
    """
    old = getattr(model, "optimizer", None)
    if keras.backend.backend() != "jax" or old is None or not old.built:
        return
    known, trained = optimized_variables(old), model.trainable_variables
    if [id(variable) for variable in known] == [id(variable) for variable in trained]:
        return
    new = type(old).from_config(old.get_config())
    for source, target in zip(_layers_of(old), _layers_of(new), strict=True):
        copy_weight_decay_exclusions(source, target)
    new.build(trained)
    values = defaultdict(list)
    for variable in old.variables:
        values[variable.path].append(variable)
    for variable in new.variables:
        if values[variable.path]:
            variable.assign(values[variable.path].pop(0))
    model.optimizer = new


def _layers_of(optimizer: Any) -> list:
    """Return an optimizer, and the optimizers inside it, as in one that scales the loss."""
    inner = getattr(optimizer, "inner_optimizer", None)
    return [optimizer] if inner is None else [optimizer, *_layers_of(inner)]
