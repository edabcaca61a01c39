"""The moments of the inputs of batch norms over a whole data set."""

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

# the number of values of each channel, their mean and their variance
Moments = tuple[Any, Any, Any]
# layers that in training only normalize by the moments of the batch
_PLAIN = (keras.layers.BatchNormalization, BatchNormalization)


class NotFiniteError(ValueError):
    """The error of statistics that are infinite or NaN."""


class Population:
    """The count, mean and variance of values per channel, merged part by part without loss of precision.

    Attributes:
        size: Array, the number of values.
        mean: Array, float64.
        variance: Array, float64, of all the values, the variance between the parts included.
    """

    def __init__(self) -> None:
        self.size: Any = 0.0
        self.mean: Any = 0.0
        self.variance: Any = 0.0

    def add(self, size: Any, mean: Any, variance: Any) -> None:
        """Merge a part, by the formula of Chan et al. 1979, in which nothing cancels."""
        size, mean, variance = (np.asarray(value, np.float64) for value in (size, mean, variance))
        total = np.maximum(self.size + size, 1)
        distance = mean - self.mean
        squares = self.variance * self.size + variance * size + distance**2 * self.size * size / total
        self.mean = self.mean + distance * size / total
        self.variance = squares / total
        self.size = self.size + size


class Observer(Passes):
    """Passes of data through a model with its norms in training mode, which return the moments of the norms' inputs.

    Args:
        model: A built `keras.Model`.
        norms: The batch norms of the model to put in training mode.
        dropout: Boolean, whether the rest of the model is in training mode too.
        untraced: Integer, the number of passes before compilation.
    """

    def __init__(self, model: keras.Model, norms: list[keras.Layer], dropout: bool = False, untraced: int = 0) -> None:
        super().__init__(model, untraced)
        self._norms, self._dropout = norms, dropout

    def populations(self, batches: Iterable[Batch]) -> dict[int, Population]:
        """Return, by the index of each norm that was called, the population of the inputs of all its calls.

        Raises:
            ValueError: If a batch makes a moment that is not finite; the message names the batch and the norm.
        """
        self.restart()
        populations: dict[int, Population] = {}
        for number, batch in enumerate(batches):
            for index, parts in sorted(self(batch.x).items()):
                for part in parts:
                    self._check_finite(number, index, part)
                    populations.setdefault(index, Population()).add(*part)
        return populations

    def _check_finite(self, number: int, index: int, part: Moments) -> None:
        if not all(np.isfinite(np.asarray(moment)).all() for moment in part):
            raise NotFiniteError(
                f"batch {number} of `data`, counted from 0, has a mean or a variance at the norm "
                f"{self._norms[index].name!r} that is not finite in float32. The statistics were not changed. Look for "
                "NaN, infinite or huge values in the batch, and in the weights before the norm"
            )

    def forward(self, x: Any) -> dict[int, list[Moments]]:
        """Return, by the index of each norm that is called, the moments of its input in each of its calls."""
        calls: dict[int, list[Moments]] = {}
        with ExitStack() as hooks:
            for index, norm in enumerate(self._norms):
                hooks.enter_context(called_instead(norm, _in_training(norm, index, calls)))
            self.model(x, training=self._dropout)
        return calls


def _in_training(norm: keras.Layer, index: int, calls: dict[int, list[Moments]]) -> Callable:
    """Return a call in training mode that appends the moments of the input to `calls`."""

    def call(usual: Callable, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        part = per_channel_moments(inputs, norm.axis, mask)
        calls.setdefault(index, []).append(part)
        if type(norm) not in _PLAIN or norm.renorm or norm.synchronized:
            return usual(inputs, training=True, mask=mask)
        # the same without computing the moments again
        norm.moving_mean.assign(part[1])
        norm.moving_variance.assign(part[2])
        return usual(inputs, training=False, mask=mask)

    return call


def per_channel_moments(x: Any, axis: int, mask: Any = None) -> Moments:
    """Return the count, mean and variance of each channel, each of shape `(channels,)`."""
    x = at_least_float32(x)
    axes = batch_axes(len(x.shape), axis)
    along = along_channels(mask, x, axis)
    mean, variance = moments(x, along, axes)
    size = keras.ops.broadcast_to(count(x, along, axes), keras.ops.shape(mean))
    size, mean, variance = (keras.ops.reshape(value, (-1,)) for value in (size, mean, variance))
    return size, mean, variance
