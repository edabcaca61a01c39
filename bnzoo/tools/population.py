"""What a model's batch norms see: the moments of their inputs over a whole data set."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np

from bnzoo.layers.moments import along_channels, at_least_float32, count, moments
from bnzoo.tools.batches import Batch

# per norm that was called: how many values a channel had, their mean, their variance
Moments = list[tuple[Any, Any, Any]]


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


class Observer:
    """Passes data through a model whose norms use the statistics of the batch, and gathers what these see.

    Nothing in the model changes: no weight, statistic, random state or metric. Each pass is compiled once for all
    sizes of batches.

    Args:
        model: A built `keras.Model`.
        norms: Its layers that are to be in training mode, each a batch norm.
        dropout: Boolean, whether the rest of the model is in training mode too.
    """

    def __init__(self, model: keras.Model, norms: list[keras.Layer], dropout: bool = False) -> None:
        self._model, self._norms, self._dropout = model, norms, dropout
        self._compiled: dict[Any, Callable] = {}

    def populations(self, batches: Iterable[Batch]) -> dict[int, Population]:
        """By the index of each norm that was called, what it saw; a norm that is called several times sees them all."""
        found: dict[int, Population] = {}
        for batch in batches:
            for index, parts in self.moments(batch.x).items():
                for part in parts:
                    found.setdefault(index, Population()).add(*part)
        return found

    def moments(self, x: Any) -> dict[int, Moments]:
        """By the index of each norm that is called, the count, mean and variance of its input at each of its calls."""
        if keras.backend.backend() != "tensorflow":
            return self._forward(x)
        import tensorflow as tf

        flat = [tf.convert_to_tensor(tensor) for tensor in keras.tree.flatten(x)]
        structure = keras.tree.map_structure(lambda _: 0, x)
        key = str(structure), *((tensor.dtype, tuple(tensor.shape[1:])) for tensor in flat)
        if key not in self._compiled:

            def forward(*tensors: Any) -> dict[int, Moments]:
                return self._forward(keras.tree.pack_sequence_as(structure, tensors))

            signature = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in flat]
            self._compiled[key] = tf.function(forward, input_signature=signature)
        return self._compiled[key](*flat)

    def _forward(self, x: Any) -> dict[int, Moments]:
        seen: dict[int, Moments] = {}
        # what a layer assigns in this scope is forgotten behind it
        with keras.StatelessScope(), ExitStack() as hooks:
            for index, norm in enumerate(self._norms):
                hooks.enter_context(_observed(norm, index, seen))
            self._model(x, training=self._dropout)
        return seen


@contextmanager
def _observed(norm: keras.Layer, index: int, seen: dict[int, Moments]) -> Iterator[None]:
    """Lets each call of a norm be one in training mode that leaves the moments of its input behind."""
    usual = norm.call

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        x = at_least_float32(inputs)
        axes = [axis for axis in range(len(x.shape)) if axis != norm.axis % len(x.shape)]
        along = along_channels(mask, x, norm.axis)
        mean, variance = moments(x, along, axes)
        size = keras.ops.broadcast_to(count(x, along, axes), keras.ops.shape(mean))
        part = tuple(keras.ops.reshape(value, (-1,)) for value in (size, mean, variance))
        seen.setdefault(index, []).append(part)  # type: ignore[arg-type]
        return usual(inputs, training=True, mask=mask)

    object.__setattr__(norm, "call", call)
    try:
        yield
    finally:
        object.__delattr__(norm, "call")
