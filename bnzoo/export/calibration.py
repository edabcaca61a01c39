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

# How far two normal distributions may be apart, in nats: a mean that is off by a standard deviation is 0.5, half the
# deviation is 0.3. Training and test data of trained networks were within 0.1 of their moving statistics.
_FAR = 0.4
# what chance may add to it, for one example
_CHANCE = 8.0
# of fewer values a channel the deviation says nothing
_VALUES = 8
# how close a mixture with the initial statistics must come
_CLOSE = 0.1


def check_scale(model: keras.Model, examples: dict[str, np.ndarray]) -> None:
    """Check that examples are finite, and that the inputs of the first norm of a model fit its own statistics.

    The norm is the first batch norm or `Normalization` layer that is called. A model without one, or whose statistics
    are still the initial ones, takes any examples.

    Args:
        model: A built functional or Sequential `keras.Model`.
        examples: Dict of arrays, by input name.

    Raises:
        ValueError: If the examples are not finite, or on another scale.
    """
    for name, values in examples.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"`calibration` must hold finite numbers only. Received: NaN or infinity for {name!r}")
    found = _first(model, examples)
    if found is None:
        return
    distance, deviation, mean = _distance(found)
    if distance <= _FAR + _CHANCE / len(next(iter(examples.values()))):
        return
    raise ValueError(
        f"`calibration` is not on the scale of the data that the model was trained on: the inputs of "
        f"{found.layer.name!r} have {deviation:.2g} times the standard deviation of its own statistics, and a mean "
        f"that is {mean:.2g} of these away (medians over the channels). Scale the examples as for "
        "training. If they are, the statistics are at fault: call "
        "`bnzoo.tools.recalibrate_batch_norm(model, data)` first"
    )


@dataclass(frozen=True)
class _Norm:
    """A layer, its own statistics by channel, and those of its inputs."""

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
    """Return a call of a layer that notes the statistics of its inputs."""

    def call(usual: Callable, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        axes = _axes(norm)
        x, axis = (inputs, axes[0]) if axes else (keras.ops.reshape(inputs, (-1, 1)), -1)
        population_of(index, Population()).add(*per_channel_moments(x, axis, kwargs.get("mask")))
        return usual(inputs, *args, **kwargs)

    return call


def _distance(found: _Norm) -> tuple[float, float, float]:
    """Measure the distance of the examples from the statistics: in nats, as a ratio of deviations, in deviations.

    Moving statistics that few steps have moved are a mixture of the initial ones, 0 and 1, and of the data's.
    """
    whole = _apart(found, found.mean, found.variance)
    if isinstance(found.layer, keras.layers.BatchNormalization):
        for left in min(found.variance.min(), 0.99) * np.linspace(0, 1, 200):
            mixed = _apart(found, found.mean / (1 - left), (found.variance - left) / (1 - left))
            if mixed[0] <= _CLOSE:
                return mixed
    return whole


def _apart(found: _Norm, mean: np.ndarray, variance: np.ndarray) -> tuple[float, float, float]:
    """Return the Kullback-Leibler divergence of normal distributions and its two parts, medians of the channels."""
    epsilon = getattr(found.layer, "epsilon", 1e-6)
    with np.errstate(invalid="ignore", divide="ignore"):  # negative variances, and none, are far from any
        deviation = np.sqrt((found.seen.variance + epsilon) / (variance + epsilon))
        away = np.abs(found.seen.mean - mean) / np.sqrt(variance + epsilon)
        told = np.where((found.seen.size < _VALUES) & (deviation < 1), 1, deviation)
        nats = (told**2 + away**2 - 1) / 2 - np.log(told)
    return float(np.median(nats)), float(np.median(deviation)), float(np.median(away))
