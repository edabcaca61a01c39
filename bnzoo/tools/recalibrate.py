"""The statistics of the population, instead of the moving averages that training left behind."""

import itertools
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np


class Recalibration:
    """`recalibrate_batch_norm`, prepared once for a model and used as often as one likes.

    Args:
        model: A built `keras.Model` of any kind.
    """

    def __init__(self, model: keras.Model) -> None:
        self.norms = [
            layer
            for layer in model._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        ]
        self._step = _statistics_step(model, self.norms)
        measured = {id(variable) for norm in self.norms for variable in (norm.moving_mean, norm.moving_variance)}
        # seeds, further averages, and whatever else a forward pass in training mode may move
        self._untouched = [
            variable
            for layer in model._flatten_layers()
            for variable in (*layer._non_trainable_variables, *_seed_states(layer))
            if id(variable) not in measured
        ]

    def __call__(self, data: Any, batches: int | None = None, batch_size: int = 256) -> None:
        """Replaces the moving statistics. See `recalibrate_batch_norm`."""
        if not self.norms:
            return
        statistics = [(norm.moving_mean, norm.moving_variance) for norm in self.norms]
        before = [(mean.numpy(), variance.numpy()) for mean, variance in statistics]
        others = [(variable, np.asarray(variable)) for variable in self._untouched]
        restored = before
        try:
            restored = self._population(statistics, _batches(data, batches, batch_size))
        finally:
            for (mean, variance), values in zip(statistics, restored, strict=True):
                mean.assign(values[0])
                variance.assign(values[1])
            for variable, value in others:
                variable.assign(value)

    def _population(self, statistics: list, data: Iterable) -> list[tuple[np.ndarray, np.ndarray]]:
        size = 0
        first = [np.zeros(mean.shape, np.float64) for mean, _ in statistics]
        second = [np.zeros(mean.shape, np.float64) for mean, _ in statistics]
        for x in data:
            count = len(keras.tree.flatten(x)[0])
            self._step(x)
            size += count
            for i, (mean, variance) in enumerate(statistics):
                batch_mean = np.asarray(mean, np.float64)
                first[i] += count * batch_mean
                second[i] += count * (np.asarray(variance, np.float64) + batch_mean**2)
        if not size:
            raise ValueError("`data` is empty: statistics need at least one batch")
        return [(m / size, np.maximum(s / size - (m / size) ** 2, 0)) for m, s in zip(first, second, strict=True)]


def recalibrate_batch_norm(model: keras.Model, data: Any, batches: int | None = None, batch_size: int = 256) -> None:
    """Replaces the moving statistics of every batch norm by those of the data (PreciseBN).

    Each batch passes in training mode, every norm using the statistics of the batch; their means and total variances
    (the variance of the means included) are averaged, weighted by the size of the batch. Moving averages lag behind
    the weights: with momentum .99, 37 % of their initial value is left after 100 steps. Dropout is off; norms that are
    frozen (`trainable=False`), all weights and the random state stay as they are.

    Args:
        model: A built `keras.Model`. Changed in place.
        data: An array of inputs, a `tf.data.Dataset`, a `keras.utils.PyDataset` or any iterable of batches, `x` or
            `(x, y)` or `(x, y, sample_weight)`; `x` may be a dict or a list of inputs.
        batches: Integer, how many batches to use at most; all by default.
        batch_size: Integer, for arrays.

    Raises:
        ValueError: If the data is empty. Whatever is raised, the statistics are as before.

    Reference:
        - [Wu & Johnson, 2021: Rethinking "Batch" in BatchNorm](https://arxiv.org/abs/2105.07576), section 3
    """
    Recalibration(model)(data, batches, batch_size)


def _statistics_step(model: keras.Model, norms: list) -> Any:
    """A pass after which each norm's moving statistics are those of the batch.

    With momentum 0 an update replaces the moving value. Layers read `momentum` and `rate` when a function is traced,
    so they are set for the tracing alone.
    """
    dropouts = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Dropout)]

    def forward(x: Any) -> None:
        saved = [(layer, "momentum", layer.momentum) for layer in norms] + [(d, "rate", d.rate) for d in dropouts]
        try:
            for layer, name, _ in saved:
                setattr(layer, name, 0.0)
            model(x, training=True)
        finally:
            for layer, name, value in saved:
                setattr(layer, name, value)

    if keras.backend.backend() != "tensorflow":
        return forward
    import tensorflow as tf

    step = tf.function(forward, reduce_retracing=True)
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1:
        return step
    # one trace for every batch size, the short last one included
    whole = tf.TensorSpec((None, *inputs[0].shape[1:]), inputs[0].dtype)
    step_of_any_size = tf.function(forward, input_signature=[whole])

    def apply(x: Any) -> None:
        x = tf.cast(keras.tree.flatten(x)[0], whole.dtype)
        (step_of_any_size if whole.shape.is_compatible_with(x.shape) else step)(x)

    return apply


def _batches(data: Any, batches: int | None, batch_size: int) -> Iterable:
    for batch in itertools.islice(_all_batches(data, batch_size), batches):
        yield batch[0] if isinstance(batch, tuple) else batch


def _all_batches(data: Any, batch_size: int) -> Iterable:
    if isinstance(data, np.ndarray):
        return (data[i : i + batch_size] for i in range(0, len(data), batch_size))
    if isinstance(data, keras.utils.PyDataset):
        return (data[i] for i in range(len(data)))
    return data


def _seed_states(layer: keras.Layer) -> list:
    return [generator.state for generator in getattr(layer, "_seed_generators", [])]
