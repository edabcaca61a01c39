"""A check that the examples for calibration are on the scale of the training data."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from bnzoo.export.formats.batches import batches
from bnzoo.export.formats.record import SERVE
from bnzoo.export.signatures import signatures
from bnzoo.keras_internals import flatten_layers
from bnzoo.tools.passes import called_instead
from bnzoo.tools.population import Population, per_channel_moments

# The largest divergence of two normal distributions, in nats. It is 0.5 for a shift of the mean by one standard
# deviation, 0.3 for half the deviation. Training and test data of trained networks were within 0.1 of their moving
# statistics.
_FAR = 0.4
# the divergence that chance may add for one example
_CHANCE = 8.0
# the deviation of fewer values in a channel is meaningless
_VALUES = 8
# the largest divergence of a mixture with the initial statistics
_CLOSE = 0.1


def check_scale(model: keras.Model, examples: dict[str, np.ndarray]) -> None:
    """Check that examples are finite, and that the inputs of the first norm of a model fit its statistics.

    The norm is the first batch norm or `Normalization` layer that is called. There is no check for a model without such
    a layer, or with the initial statistics.

    Args:
        model: A built functional or Sequential `keras.Model`.
        examples: Dict of arrays, by input name.

    Raises:
        ValueError: If the examples are not finite, or have another scale.
    """
    for batch in batches(examples):
        for name, values in batch.items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise ValueError(f"`calibration` must hold finite numbers only. Received: NaN or infinity for {name!r}")
    norm = _first(model, examples)
    if norm is None:
        return
    distance, deviation, mean = _distance(norm)
    if distance <= _FAR + _CHANCE / len(next(iter(examples.values()))):
        return
    raise ValueError(
        f"`calibration` must have the scale of the training data. The standard deviation of the inputs of "
        f"{norm.layer.name!r} is {deviation:.2g} times that of its statistics, and their mean differs by {mean:.2g} "
        "standard deviations (medians over the channels). Scale the examples as for training. If they are scaled so, "
        "correct the statistics first with `bnzoo.tools.recalibrate_batch_norm(model, data)`"
    )


@dataclass(frozen=True)
class _Norm:
    """A norm layer, its statistics, and the statistics of its inputs, for each channel."""

    layer: Any
    mean: np.ndarray
    variance: np.ndarray
    seen: Population


def _first(model: keras.Model, examples: dict[str, np.ndarray]) -> _Norm | None:
    norms = [layer for layer in flatten_layers(model) if _has_statistics(layer)]
    seen: dict[int, Population] = {}
    serve = signatures(model)[SERVE].call
    with ExitStack() as hooks:
        for index, norm in enumerate(norms):
            hooks.enter_context(called_instead(norm, _observed(norm, seen.setdefault, index)))
        for batch in batches(examples) if norms else ():
            serve(**{name: keras.ops.convert_to_tensor(values) for name, values in batch.items()})
    if not seen:
        return None
    index = next(iter(seen))
    return _Norm(norms[index], *_statistics(norms[index]), seen[index])


def _has_statistics(layer: Any) -> bool:
    if isinstance(layer, keras.layers.Normalization):
        return layer.built and not layer.invert and (layer.axis is None or len(_axes(layer)) <= 1)
    if not isinstance(layer, keras.layers.BatchNormalization):
        return False
    mean, variance = _statistics(layer)
    return bool((mean != 0).any() or (variance != 1).any())


def _axes(layer: Any) -> tuple[int, ...]:
    return (layer.axis,) if isinstance(layer.axis, int) else tuple(layer.axis or ())


def _statistics(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(layer, keras.layers.Normalization):
        pair = layer.mean, layer.variance
    else:
        pair = layer.moving_mean, layer.moving_variance
    mean, variance = (np.asarray(keras.ops.convert_to_numpy(value), np.float64).ravel() for value in pair)
    return mean, variance


def _observed(norm: Any, population_of: Callable[[int, Population], Population], index: int) -> Callable:
    """Return a call of a layer that records the statistics of its inputs."""

    def call(usual: Callable, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        axes = _axes(norm)
        x, axis = (inputs, axes[0]) if axes else (keras.ops.reshape(inputs, (-1, 1)), -1)
        population_of(index, Population()).add(*per_channel_moments(x, axis, kwargs.get("mask")))
        return usual(inputs, *args, **kwargs)

    return call


def _distance(norm: _Norm) -> tuple[float, float, float]:
    """Measure the distance of the inputs from the statistics: in nats, as a ratio of deviations, in deviations.

    After few training steps, moving statistics are a mixture of the initial ones, 0 and 1, and of those of the data.
    """
    whole = _apart(norm, norm.mean, norm.variance)
    if isinstance(norm.layer, keras.layers.BatchNormalization):
        for left in min(norm.variance.min(), 0.99) * np.linspace(0, 1, 200):
            mixed = _apart(norm, norm.mean / (1 - left), (norm.variance - left) / (1 - left))
            if mixed[0] <= _CLOSE:
                return mixed
    return whole


def _apart(norm: _Norm, mean: np.ndarray, variance: np.ndarray) -> tuple[float, float, float]:
    """Return the Kullback-Leibler divergence of normal distributions and its two parts, medians of the channels."""
    epsilon = getattr(norm.layer, "epsilon", 1e-6)
    with np.errstate(invalid="ignore", divide="ignore"):  # zero and negative variances are far from any other
        ratio = np.sqrt((norm.seen.variance + epsilon) / (variance + epsilon))
        shift = np.abs(norm.seen.mean - mean) / np.sqrt(variance + epsilon)
        counted = np.where((norm.seen.size < _VALUES) & (ratio < 1), 1, ratio)
        nats = (counted**2 + shift**2 - 1) / 2 - np.log(counted)
    return float(np.median(nats)), float(np.median(ratio)), float(np.median(shift))
