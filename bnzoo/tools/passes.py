"""Forward passes through a model that do not change the model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from bnzoo.keras_internals import flatten_layers, seed_generators


class Passes:
    """The base of classes that pass batches through a model and observe its layers.

    Nothing in the model changes: no weight, statistic, random state or metric. Each pass draws new random numbers, and
    `restart` starts the sequence of them again. On TensorFlow a pass is compiled once for all sizes of batches.

    Args:
        model: A built `keras.Model`.
        untraced: Integer, the number of passes before compilation: tracing takes as long as several passes.
    """

    # whether the losses that layers add are collected in a pass
    collect_losses = False

    def __init__(self, model: keras.Model, untraced: int = 0) -> None:
        self.model = model
        self._untraced: float = untraced if keras.backend.backend() == "tensorflow" else float("inf")
        self._compiled: dict[Any, Callable] = {}
        self._seeds = [generator.state for layer in flatten_layers(model) for generator in seed_generators(layer)]
        self.restart()

    def forward(self, x: Any) -> Any:
        """Pass a batch through the model, and return tensors in any structure.

        Args:
            x: The batch.
        """
        raise NotImplementedError

    def restart(self) -> None:
        """Start the random numbers from the present random state of the model."""
        self._states: Any = [np.asarray(seed) for seed in self._seeds]

    def __call__(self, x: Any) -> Any:
        """Pass a batch through the model, and return the result of `forward`."""
        if self._untraced > 0:
            self._untraced -= 1
            result, self._states = self._stateless(x, self._states)
        else:
            result, self._states = self._compiled_for(x)(keras.tree.flatten(x), self._states)
        return result

    def _stateless(self, x: Any, states: list) -> tuple[Any, list]:
        states = [keras.ops.convert_to_tensor(state) for state in states]
        # the scope discards the assignments of layers to their variables
        scope = keras.StatelessScope(list(zip(self._seeds, states, strict=True)), collect_losses=self.collect_losses)
        for variable in self.model.trainable_variables:
            if variable.regularizer is not None:  # Keras reads its value from the scope
                scope.add_update((variable, variable.value))
        with scope:
            result = self.forward(x)
        return result, [scope.get_current_value(seed) for seed in self._seeds]

    def _compiled_for(self, x: Any) -> Callable:
        import tensorflow as tf

        flat = [tf.convert_to_tensor(tensor) for tensor in keras.tree.flatten(x)]
        structure = keras.tree.map_structure(lambda _: 0, x)
        key = str(structure), *((tensor.dtype, tuple(tensor.shape[1:])) for tensor in flat)
        if key not in self._compiled:

            def stateless(tensors: list, states: list) -> tuple[Any, list]:
                return self._stateless(keras.tree.pack_sequence_as(structure, tensors), states)

            sizes = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in flat]
            seeds = [tf.TensorSpec(seed.shape, seed.dtype) for seed in self._seeds]
            self._compiled[key] = tf.function(stateless, input_signature=[sizes, seeds], autograph=False)
        return self._compiled[key]


@contextmanager
def called_instead(layer: keras.Layer, call: Callable) -> Iterator[None]:
    """Replace the `call` of a layer by a function that gets the original `call` as its first argument."""
    usual = layer.call

    def instead(*args: Any, **kwargs: Any) -> Any:
        return call(usual, *args, **kwargs)

    object.__setattr__(layer, "call", instead)
    try:
        yield
    finally:
        object.__delattr__(layer, "call")
