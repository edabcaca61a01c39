"""From moments to what is said of a norm."""

from typing import Any

import keras
import numpy as np

from bnzoo import norms
from bnzoo.tools.health_check.activations import is_bounded, name_of
from bnzoo.tools.health_check.places import Place
from bnzoo.tools.health_check.report import NormHealth
from bnzoo.tools.health_check.thresholds import DEAD, EXPLODING
from bnzoo.tools.population import Moments, Population


class Seen:
    """What passed through a model, gathered batch by batch.

    Attributes:
        inputs: By the name of a batch norm, the `Population` of its inputs.
        outputs: By the name of a norm and the word for a tensor behind it, see `OutputObserver`.
    """

    def __init__(self) -> None:
        self.inputs: dict[str, Population] = {}
        self.outputs: dict[tuple[str, str], Population] = {}
        self._one_value: dict[str, list[bool]] = {}
        self._scales: dict[str, list[float]] = {}

    def add_inputs(self, names: list[str], batch: dict[int, list[Moments]]) -> None:
        """Takes in what the batch norms, by their index, saw of a batch."""
        for index, parts in batch.items():
            for part in parts:
                self.inputs.setdefault(names[index], Population()).add(*part)
                self._one_value.setdefault(names[index], []).append(bool(np.max(part[0]) <= 1))

    def add_gradients(self, scales: dict[str, float]) -> None:
        """Takes in the gradient scales of a batch."""
        for name, scale in scales.items():
            self._scales.setdefault(name, []).append(scale)

    def gradients(self) -> dict[str, float]:
        """The mean over the batches: what a step of training sees of each layer."""
        return {name: float(np.mean(scales)) for name, scales in self._scales.items()}

    def one_value(self, name: str) -> bool:
        """Whether a channel had a single value in more than half of the batches: a short last one is no fault."""
        return bool(np.mean(self._one_value.get(name, [False])) > 0.5)


def measured(place: Place, seen: Seen) -> NormHealth:
    """What is said of a norm."""
    norm, activation, dropout = place.norm, place.activation, place.dropout
    output = seen.outputs[place.name, "output"]
    size = np.sqrt(output.mean**2 + output.variance)
    dead = np.sqrt(output.variance) < DEAD
    found: dict[str, Any] = {}
    if activation is not None:
        dead |= np.sqrt(seen.outputs[place.name, "activation"].variance) < DEAD
        found = {
            "activation": name_of(activation),
            "bounded": is_bounded(activation, place.rank),
            "saturation": float(np.mean(seen.outputs[place.name, "flat"].mean)),
        }
    if place.of_batch:
        found |= {
            "momentum": norm.momentum,
            "initial": place.is_initial,
            "one_value": seen.one_value(place.name),
            **_against(norm, seen.inputs[place.name]),
        }
    return NormHealth(
        kind=str(norms.name_of(norm)),
        channels=len(size),
        dead=dead,
        exploding=~(size <= EXPLODING),  # what is not a number is not below it either
        frozen=place.of_batch and not norm.trainable,
        gamma=None if place.gamma is None else np.abs(_numbers(place.gamma)),
        dropout=None if dropout is None else (dropout.name, dropout.rate),
        **found,
    )


def _against(norm: Any, population: Population) -> dict[str, np.ndarray]:
    """The moving statistics against those of the data, in the deviations that a norm divides by: with epsilon."""
    mean, variance = _numbers(norm.moving_mean), _numbers(norm.moving_variance)
    deviation = np.sqrt(population.variance + norm.epsilon)
    with np.errstate(invalid="ignore"):  # a negative variance is a finding, not a warning
        moving = np.sqrt(variance + norm.epsilon)
        drift = np.abs(mean - population.mean) / deviation
    return {"drift": drift, "deviation": moving / deviation, "unusable": ~np.isfinite(mean + moving)}


def _numbers(variable: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable)).astype(np.float64).ravel()
