"""The values of variables, taken and given back."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np


def values_of(variables: Iterable[Any]) -> list[np.ndarray]:
    """Return copies of the values of variables."""
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def assign(variables: Iterable[Any], values: Iterable[Any]) -> None:
    """Give variables their values, arrays or other variables, in the same order."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
