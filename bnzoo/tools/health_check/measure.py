"""Measurements of the norms of a model, gathered batch by batch."""

from typing import Any

import keras
import numpy as np

from bnzoo import norms
from bnzoo.tools.health_check.activations import is_bounded, name_of
from bnzoo.tools.health_check.placed_norms import PlacedNorm
from bnzoo.tools.health_check.report import NormHealth
from bnzoo.tools.health_check.thresholds import DEAD, EXPLODING
from bnzoo.tools.population import Moments, Population


class Measurements:
    """The measurements of a model, gathered batch by batch.

    Attributes:
        inputs: By the name of a batch norm, the `Population` of its inputs.
        outputs: By the name of a norm and the name of a tensor, the `Population` of that tensor, see `OutputObserver`.
    """

    def __init__(self) -> None:
        self.inputs: dict[str, Population] = {}
        self.outputs: dict[tuple[str, str], Population] = {}
        self._one_value: dict[str, list[bool]] = {}
        self._scales: dict[str, list[float]] = {}

    def add_inputs(self, names: list[str], batch: dict[int, list[Moments]]) -> None:
        """Add the moments of the inputs of the batch norms, by their index, for a batch."""
        for index, parts in batch.items():
            for part in parts:
                self.inputs.setdefault(names[index], Population()).add(*part)
                self._one_value.setdefault(names[index], []).append(bool(np.max(part[0]) <= 1))

    def add_gradients(self, scales: dict[str, float]) -> None:
        """Add the gradient scales of a batch."""
        for name, scale in scales.items():
            self._scales.setdefault(name, []).append(scale)

    def gradients(self) -> dict[str, float]:
        """Return the gradient scale of each layer, its mean over the batches."""
        return {name: float(np.mean(scales)) for name, scales in self._scales.items()}

    def one_value(self, name: str) -> bool:
        """Return whether channels had a single value in over half of the batches, not only in a short last batch."""
        return bool(np.mean(self._one_value.get(name, [False])) > 0.5)


def norm_health(placed: PlacedNorm, measurements: Measurements) -> NormHealth:
    """Return the health of a norm."""
    norm, activation, dropout = placed.norm, placed.activation, placed.dropout
    output = measurements.outputs[placed.name, "output"]
    size = np.sqrt(output.mean**2 + output.variance)
    dead = np.sqrt(output.variance) < DEAD
    optional: dict[str, Any] = {}
    if activation is not None:
        dead |= np.sqrt(measurements.outputs[placed.name, "activation"].variance) < DEAD
        optional = {
            "activation": name_of(activation),
            "bounded": is_bounded(activation, placed.rank),
            "saturation": float(np.mean(measurements.outputs[placed.name, "flat"].mean)),
        }
    if placed.has_moving_statistics:
        optional |= {
            "momentum": norm.momentum,
            "initial": placed.is_initial,
            "one_value": measurements.one_value(placed.name),
            **_drift(norm, measurements.inputs[placed.name]),
        }
    return NormHealth(
        kind=str(norms.name_of(norm)),
        channels=len(size),
        dead=dead,
        exploding=~(size <= EXPLODING),  # NaN is exploding too
        frozen=placed.has_moving_statistics and not norm.trainable,
        gamma=None if placed.gamma is None else np.abs(_numbers(placed.gamma)),
        dropout=None if dropout is None else (dropout.name, dropout.rate),
        **optional,
    )


def _drift(norm: Any, population: Population) -> dict[str, np.ndarray]:
    """Compare the moving statistics with those of the data, in the units of the norm's divisor, with epsilon."""
    mean, variance = _numbers(norm.moving_mean), _numbers(norm.moving_variance)
    deviation = np.sqrt(population.variance + norm.epsilon)
    with np.errstate(invalid="ignore"):  # a negative variance is a finding, not a warning
        moving = np.sqrt(variance + norm.epsilon)
        drift = np.abs(mean - population.mean) / deviation
    return {"drift": drift, "deviation": moving / deviation, "unusable": ~np.isfinite(mean + moving)}


def _numbers(variable: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable)).astype(np.float64).ravel()
