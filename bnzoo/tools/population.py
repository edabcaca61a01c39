"""What a model's batch norms see: the moments of their inputs over a whole data set."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import keras
import numpy as np

from bnzoo.layers import BatchNormalization
from bnzoo.layers.axes import batch_axes
from bnzoo.layers.moments import along_channels, at_least_float32, count, moments
from bnzoo.tools.batches import Batch
from bnzoo.tools.passes import Passes, called_instead

# how many values a channel has, their mean, their variance
Moments = tuple[Any, Any, Any]
# that normalize in training by the moments of the batch, and do nothing else
_PLAIN = (keras.layers.BatchNormalization, BatchNormalization)


class Population:
    """The count, mean and variance of some values per channel, gathered part by part without loss of precision.

    Attributes:
        size: Array, how many values there were.
        mean: Array, float64.
        variance: Array, float64, of all the values: the variance of the parts' means included.
    """

    def __init__(self) -> None:
        self.size: Any = 0.0
        self.mean: Any = 0.0
        self.variance: Any = 0.0

    def add(self, size: Any, mean: Any, variance: Any) -> None:
        """Takes in a part: Chan et al. 1979, in which nothing cancels."""
        size, mean, variance = (np.asarray(value, np.float64) for value in (size, mean, variance))
        total = np.maximum(self.size + size, 1)
        distance = mean - self.mean
        squares = self.variance * self.size + variance * size + distance**2 * self.size * size / total
        self.mean = self.mean + distance * size / total
        self.variance = squares / total
        self.size = self.size + size


class Observer(Passes):
    """Passes data through a model whose norms use the statistics of the batch, and gathers what these see.

    Args:
        model: A built `keras.Model`.
        norms: Its layers that are to be in training mode, each a batch norm.
        dropout: Boolean, whether the rest of the model is in training mode too.
        untraced: Integer, how many passes are made before they are compiled.
    """

    def __init__(self, model: keras.Model, norms: list[keras.Layer], dropout: bool = False, untraced: int = 0) -> None:
        super().__init__(model, untraced)
        self._norms, self._dropout = norms, dropout

    def populations(self, batches: Iterable[Batch]) -> dict[int, Population]:
        """Return, by the index of each norm that was called, what it saw; of several calls what they saw together.

        Raises:
            ValueError: If a batch makes a moment that is not finite; the message names the batch and the norm.
        """
        self.restart()
        found: dict[int, Population] = {}
        for number, batch in enumerate(batches):
            for index, parts in sorted(self(batch.x).items()):
                for part in parts:
                    self._check_finite(number, index, part)
                    found.setdefault(index, Population()).add(*part)
        return found

    def _check_finite(self, number: int, index: int, part: Moments) -> None:
        if not all(np.isfinite(np.asarray(moment)).all() for moment in part):
            raise ValueError(
                f"batch {number} of `data`, counted from 0, gives the norm {self._norms[index].name!r} a mean or a "
                "variance that is not finite in float32, and the statistics are as before. Look for NaN, infinite or "
                "huge values in the batch, and in the weights before the norm"
            )

    def look(self, x: Any) -> dict[int, list[Moments]]:
        """Return, by the index of each norm that is called, the moments of its input at each of its calls."""
        seen: dict[int, list[Moments]] = {}
        with ExitStack() as hooks:
            for index, norm in enumerate(self._norms):
                hooks.enter_context(called_instead(norm, _in_training(norm, index, seen)))
            self.model(x, training=self._dropout)
        return seen


def _in_training(norm: keras.Layer, index: int, seen: dict[int, list[Moments]]) -> Callable:
    """A call in training mode that leaves the moments of the input behind."""

    def call(usual: Callable, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        part = per_channel_moments(inputs, norm.axis, mask)
        seen.setdefault(index, []).append(part)
        if type(norm) not in _PLAIN or norm.renorm or norm.synchronized:
            return usual(inputs, training=True, mask=mask)
        # the same without computing the moments again
        norm.moving_mean.assign(part[1])
        norm.moving_variance.assign(part[2])
        return usual(inputs, training=False, mask=mask)

    return call


def per_channel_moments(x: Any, axis: int, mask: Any = None) -> Moments:
    """The count, mean and variance of each channel, each of shape `(channels,)`."""
    x = at_least_float32(x)
    axes = batch_axes(len(x.shape), axis)
    along = along_channels(mask, x, axis)
    mean, variance = moments(x, along, axes)
    size = keras.ops.broadcast_to(count(x, along, axes), keras.ops.shape(mean))
    size, mean, variance = (keras.ops.reshape(value, (-1,)) for value in (size, mean, variance))
    return size, mean, variance
