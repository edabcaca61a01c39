"""The axes of norms, placements, activations and batch sizes, with their checks."""

from typing import Any

import keras

from bnzoo import norms as bn_norms
from bnzoo import placements as bn_placements
from bnzoo.errors import positive_integer
from bnzoo.tuning.spaces.axes import Axis, distinct

MOST_EXAMPLES = 1_000_000  # of a batch


def norms(values: Any) -> Axis:
    """Return the axis of norms."""
    several = distinct("norms", [bn_norms.get(norm) for norm in distinct("norms", values)])
    return Axis("norm", several, tuple(norm.label for norm in several))


def placements(values: Any, family: str) -> Axis:
    """Return the axis of the placements of a family."""

    def known(name: str, value: Any) -> str:
        bn_placements.get(value, family)
        return value

    return Axis.of("placement", values, known)


def activations(values: Any) -> Axis:
    """Return the axis of activations, by name."""

    def known(name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"`{name}` must be the name of an activation of Keras. Received: {name}={value!r}")
        keras.activations.get(value)
        return value

    return Axis.of("activation", values, known)


def batch_sizes(values: Any) -> Axis:
    """Return the axis of batch sizes, 2 at least."""

    def usable(name: str, value: Any) -> int:
        if positive_integer(name, value, MOST_EXAMPLES) < 2:
            raise ValueError(f"`{name}` must be at least 2: one example has no batch statistics. Received: {value}")
        return value

    return Axis.of("batch_size", values, usable)
