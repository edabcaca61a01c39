"""The statistics of the population, instead of the moving averages that training left behind."""

from typing import Any

import keras

from bnzoo.tools.batches import batches_of
from bnzoo.tools.population import Observer


class Recalibration:
    """`recalibrate_batch_norm`, prepared once for a model and used as often as one likes.

    Args:
        model: A built `keras.Model` of any kind.
        dropout: Boolean, whether dropout and all else that is random in training is on.

    Raises:
        ValueError: If all batch norms of the model are frozen.
    """

    def __init__(self, model: keras.Model, dropout: bool = False) -> None:
        every = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
        self.norms = [norm for norm in every if norm.trainable]
        if every and not self.norms:
            raise ValueError(
                "`model` has frozen batch norms only, whose statistics stay: recalibrate before you freeze them, or "
                "call `bnzoo.tools.unfreeze_batch_norm(model)`, or set `trainable` of the norms to True. "
                f"Received: {model.name}"
            )
        self._observer = Observer(model, self.norms, dropout)

    def __call__(self, data: Any, batches: int | None = None, batch_size: int = 256) -> None:
        """Replaces the moving statistics. See `recalibrate_batch_norm`."""
        given = batches_of(data, batches, batch_size)
        if not self.norms:
            return
        for index, population in self._observer.populations(given).items():
            norm = self.norms[index]
            norm.moving_mean.assign(population.mean)
            norm.moving_variance.assign(population.variance)


def recalibrate_batch_norm(
    model: keras.Model, data: Any, batches: int | None = None, batch_size: int = 256, dropout: bool = False
) -> None:
    """Replaces the moving statistics of every batch norm by those of the data (PreciseBN).

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
        ValueError: If the data is empty, or has no end and `batches` is not given, or all batch norms are frozen.
            Whatever is raised, the statistics are as before.

    Examples:
    >>> bnzoo.tools.recalibrate_batch_norm(model, x_train)

    Reference:
        - [Wu & Johnson, 2021: Rethinking "Batch" in BatchNorm](https://arxiv.org/abs/2105.07576), section 3
    """
    Recalibration(model, dropout)(data, batches, batch_size)
