"""The optimizer of a compiled model, after other variables of it are trained than before."""

from collections import defaultdict
from typing import Any

import keras

_NOT_IN_CONFIG = (
    "_exclude_from_weight_decay",
    "_exclude_from_weight_decay_pattern",
    "_exclude_from_weight_decay_cache",
)


def follow_trainable_variables(model: keras.Model) -> None:
    """Give a compiled model an optimizer of the variables that are trained now, with the state of the one it has.

    On TensorFlow an optimizer may know more variables than it is given. On JAX they must be the same.

    Args:
        model: A `keras.Model`, compiled or not.
    """
    old = getattr(model, "optimizer", None)
    if keras.backend.backend() != "jax" or old is None or not old.built:
        return
    known, trained = old._trainable_variables, model.trainable_variables
    if [id(variable) for variable in known] == [id(variable) for variable in trained]:
        return
    new = type(old).from_config(old.get_config())
    for source, target in zip(_layers_of(old), _layers_of(new), strict=True):
        for name in _NOT_IN_CONFIG:
            if hasattr(source, name):
                setattr(target, name, getattr(source, name))
    new.build(trained)
    values = defaultdict(list)
    for variable in old.variables:
        values[variable.path].append(variable)
    for variable in new.variables:
        if values[variable.path]:
            variable.assign(values[variable.path].pop(0))
    model.optimizer = new


def _layers_of(optimizer: Any) -> list:
    """Return an optimizer, and the one inside it where it scales the loss."""
    inner = getattr(optimizer, "inner_optimizer", None)
    return [optimizer] if inner is None else [optimizer, *_layers_of(inner)]
