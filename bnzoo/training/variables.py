"""The values of variables and the states of random generators, taken and given back."""

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from bnzoo.keras_internals import global_seed_generator


def values_of(variables: Iterable[Any]) -> list[np.ndarray]:
    """Return copies of the values of variables."""
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def assign(variables: Iterable[Any], values: Iterable[Any]) -> None:
    """Give variables their values, arrays or other variables, in the same order."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


@contextmanager
def unchanged(model: keras.Model) -> Iterator[None]:
    """Restore a compiled model and the random generators bit for bit at the end of the block.

    Restored are the weights, the moving statistics, the slots, the steps and the learning rate of the optimizer, the
    seed generators of the layers, and the generators of Keras, NumPy and Python for operations without a seed.

    Args:
        model: The compiled model, whose optimizer is built.
    """
    variables = [*model.variables, *model.optimizer.variables]
    values = values_of(variables)
    with unchanged_generators():
        try:
            yield
        finally:
            assign(variables, values)


@contextmanager
def unchanged_generators() -> Iterator[None]:
    """Restore the random generators of Keras, NumPy and Python at the end of the block."""
    state = global_seed_generator().state
    value, python, generator = keras.ops.convert_to_numpy(state), random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        state.assign(value)
        random.setstate(python)
        np.random.set_state(generator)
