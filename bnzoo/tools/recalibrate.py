"""Replacement of moving statistics by those of a data set."""

from typing import Any

import keras
import numpy as np

from bnzoo.keras_internals import flatten_layers
from bnzoo.tools.batches import batches_of
from bnzoo.tools.population import NotFiniteError, Observer, Population


class Recalibration:
    """`recalibrate_batch_norm` for repeated use on one model.

    Args:
        model: A built `keras.Model` of any kind.
        dropout: Boolean, whether dropout and other random layers are active.

    Raises:
        ValueError: If all batch norms of the model are frozen.
    """

    def __init__(self, model: keras.Model, dropout: bool = False) -> None:
        every = [layer for layer in flatten_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
        self.norms = [norm for norm in every if norm.trainable]
        if every and not self.norms:
            raise ValueError(
                "`model` has only frozen batch norms, whose statistics are fixed: recalibrate before you freeze them, "
                "or call `bnzoo.tools.unfreeze_batch_norm(model)`, or set `trainable` of the norms to True. "
                f"Received: {model.name}"
            )
        self._observer = Observer(model, self.norms, dropout)

    def __call__(self, data: Any, batches: int | None = None, batch_size: int = 256) -> None:
        """Replace the moving statistics. See `recalibrate_batch_norm`."""
        iterator = batches_of(data, batches, batch_size)
        if not self.norms:
            return
        populations = {self.norms[index]: values for index, values in self._observer.populations(iterator).items()}
        for norm, population in populations.items():
            _check(norm, population)
        pairs = [
            (variable, value)
            for norm, population in populations.items()
            for variable, value in ((norm.moving_mean, population.mean), (norm.moving_variance, population.variance))
        ]
        _assign_all(pairs)


def _check(norm: keras.Layer, population: Population) -> None:
    if not np.all(population.size):
        raise ValueError(
            f"`data` has no example with a value at the norm {norm.name!r}: statistics need at least one value"
        )
    dtype = np.float16 if norm.moving_mean.dtype == "float16" else np.float32
    with np.errstate(over="ignore"):
        values = np.stack([population.mean, population.variance]).astype(dtype)
    if not np.isfinite(values).all():
        raise NotFiniteError(
            f"the values of `data` at the norm {norm.name!r} are too far apart: their variance is not finite in "
            f"{norm.moving_mean.dtype}. The statistics were not changed"
        )


def _assign_all(pairs: list[tuple[Any, Any]]) -> None:
    """Assign values to variables, to all of them or to none."""
    before = [np.array(variable) for variable, _ in pairs]
    try:
        for variable, value in pairs:
            variable.assign(value)
    except BaseException:  # a KeyboardInterrupt too
        for (variable, _), value in zip(pairs, before, strict=True):
            variable.assign(value)
        raise


def recalibrate_batch_norm(
    model: keras.Model, data: Any, batches: int | None = None, batch_size: int = 256, dropout: bool = False
) -> None:
    """Replace the moving statistics of every batch norm by those of the data (PreciseBN).

    Each batch passes once, with every norm using the statistics of the batch. The moving statistics become the mean and
    the total variance of all inputs of the norm, as if the data were one batch. Values count equally: batches may
    differ in size, masked positions are left out, and all calls of a norm are taken together. Moving averages, in
    contrast, lag behind the weights: with momentum 0.99, 37 % of their initial value is left after 100 steps.

    Norms that are frozen (`trainable=False`) or never called, all weights, the random state and metrics do not change.

    Args:
        model: A built `keras.Model`. It is changed in place.
        data: An array of inputs or a dict of arrays by input name; a tuple `(x, y)` or `(x, y, sample_weight)` of
            arrays; a `tf.data.Dataset`, a `keras.utils.PyDataset` or any iterable of batches, each `x`, `(x, y)` or
            `(x, y, sample_weight)`.
        batches: Integer, the maximum number of batches; all by default.
        batch_size: Integer, for arrays. A large one gives statistics as in training with large batches.
        dropout: Boolean, whether dropout, noise and augmentation inside the model are active, as in training. By
            default they are not, as at inference.

    Raises:
        ValueError: If the data is empty, or endless and `batches` is not given, or all batch norms are frozen, or a
            batch has a mean or a variance that is not finite; the message names the batch and the norm. After any
            error, those of the data and an interruption included, the statistics are the former ones.

    Examples:
    >>> bnzoo.tools.recalibrate_batch_norm(model, x_train)

    Reference:
        - [Wu & Johnson, 2021: Rethinking "Batch" in BatchNorm](https://arxiv.org/abs/2105.07576), section 3
    """
    Recalibration(model, dropout)(data, batches, batch_size)
