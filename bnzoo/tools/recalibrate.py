"""The statistics of the population, instead of the moving averages that training left behind."""

from typing import Any

import keras
import numpy as np

from bnzoo.keras_internals import flatten_layers
from bnzoo.tools.batches import batches_of
from bnzoo.tools.population import Observer, Population


class Recalibration:
    """`recalibrate_batch_norm`, prepared once for a model and used as often as one likes.

    Args:
        model: A built `keras.Model` of any kind.
        dropout: Boolean, whether dropout and all else that is random in training is on.

    Raises:
        ValueError: If all batch norms of the model are frozen.
    """

    def __init__(self, model: keras.Model, dropout: bool = False) -> None:
        every = [layer for layer in flatten_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
        self.norms = [norm for norm in every if norm.trainable]
        if every and not self.norms:
            raise ValueError(
                "`model` has frozen batch norms only, whose statistics stay: recalibrate before you freeze them, or "
                "call `bnzoo.tools.unfreeze_batch_norm(model)`, or set `trainable` of the norms to True. "
                f"Received: {model.name}"
            )
        self._observer = Observer(model, self.norms, dropout)

    def __call__(self, data: Any, batches: int | None = None, batch_size: int = 256) -> None:
        """Replace the moving statistics. See `recalibrate_batch_norm`."""
        given = batches_of(data, batches, batch_size)
        if not self.norms:
            return
        found = {self.norms[index]: seen for index, seen in self._observer.populations(given).items()}
        for norm, seen in found.items():
            _check(norm, seen)
        pairs = [
            (variable, value)
            for norm, seen in found.items()
            for variable, value in ((norm.moving_mean, seen.mean), (norm.moving_variance, seen.variance))
        ]
        _assign_all(pairs)


def _check(norm: keras.Layer, seen: Population) -> None:
    if not np.all(seen.size):
        raise ValueError(
            f"`data` has no example of which a value reaches the norm {norm.name!r}: statistics need at least one"
        )
    dtype = np.float16 if norm.moving_mean.dtype == "float16" else np.float32
    with np.errstate(over="ignore"):
        values = np.stack([seen.mean, seen.variance]).astype(dtype)
    if not np.isfinite(values).all():
        raise ValueError(
            f"the values of `data` that reach the norm {norm.name!r} lie too far apart: their variance is not finite "
            f"in {norm.moving_mean.dtype}. The statistics are as before"
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

    Each batch passes once, every norm using the statistics of the batch. The moving statistics become the mean and the
    total variance of all values that reached the norm, as if the data were one batch: short batches and masked
    positions count for what they are, a norm that is called several times sees all of its inputs. Moving averages lag
    behind the weights: with momentum .99, 37 % of their initial value is left after 100 steps.

    Norms that are frozen (`trainable=False`) or never called, all weights, the random state and metrics stay as they
    are.

    Args:
        model: A built `keras.Model`. Changed in place.
        data: An array of inputs or a dict of arrays by input name; a tuple `(x, y)` or `(x, y, sample_weight)` of
            arrays; a `tf.data.Dataset`, a `keras.utils.PyDataset` or any iterable of batches, each `x`, `(x, y)` or
            `(x, y, sample_weight)`.
        batches: Integer, how many batches to use at most; all by default.
        batch_size: Integer, for arrays. The larger, the nearer to the statistics that training with large batches sees.
        dropout: Boolean, whether dropout, noise and augmentation inside the model are on, as in training. Off by
            default, as at inference.

    Raises:
        ValueError: If the data is empty, or has no end and `batches` is not given, or all batch norms are frozen; or
            if a batch makes a mean or a variance that is not finite: the message names the batch and the norm. Whatever
            is raised, the data's own errors and an interruption included, the statistics are as before.

    Examples:
    >>> bnzoo.tools.recalibrate_batch_norm(model, x_train)

    Reference:
        - [Wu & Johnson, 2021: Rethinking "Batch" in BatchNorm](https://arxiv.org/abs/2105.07576), section 3
    """
    Recalibration(model, dropout)(data, batches, batch_size)
