"""The speed of this machine: the seconds of a training step, and of the work after the last one."""

import time
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bnzoo.keras_internals import flatten_layers
from bnzoo.training.variables import unchanged

# steps that are timed, after those that are not, and the seconds after which no more are: without instructions for
# bfloat16 a step takes very long
_TIMED, _UNTIMED, _SECONDS = 5, 2, 4.0
_MOST_TIMED = 1_000
# the share of a training step that an example takes: where a model predicts; where the model and its SavedModel do
_PREDICTED, _COMPARED = 0.6, 1.5
# the seconds of a fast core to trace the functions of a training without an export; to export and verify a SavedModel;
# and to trace its signatures for image files
_FIGURES, _EXPORT, _FILES = 4.0, 9.0, 6.0
# the seconds of the same core to trace a layer, and the least seconds and traces of the comparison with another core
_LAYER, _COMPARISON, _TRACES = 0.0012, 0.5, 3
# the seconds of the same core in which Keras begins and ends an epoch
EPOCH_SECONDS = 0.015


@dataclass(frozen=True)
class Finish:
    """The work after the last step of a training: the choice of the weights, figures and the export.

    Attributes:
        predicted: Integer, the examples for which a model predicts, those of each choice of weights counted again.
        compared: Integer, the examples on which the model and its SavedModel are compared.
        exports: Boolean, whether a SavedModel is written.
        files: Boolean, whether the SavedModel takes image files.
    """

    predicted: int
    compared: int
    exports: bool
    files: bool

    def seconds(self, example: float, slowness: float) -> float:
        """Return the seconds that it takes.

        Args:
            example: Float, the seconds of a training step for each example of its batch.
            slowness: Float, the `slowness` of this machine.
        """
        fixed = _FIGURES + self.exports * (_EXPORT + self.files * _FILES)
        compared = _COMPARED if self.exports else _PREDICTED
        return example * (_PREDICTED * self.predicted + compared * self.compared) + slowness * fixed


class StepTimer(keras.callbacks.Callback):
    """A callback that notes the seconds of each step, and ends the training after some of them.

    Args:
        steps: Integer, the number of steps, unless they take very long.
        least: Float, seconds: more steps are timed until they have passed.

    Attributes:
        seconds: List of floats.
    """

    def __init__(self, steps: int, least: float = 0.0) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._begun, self._steps, self._least = 0.0, steps, least

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Note the moment."""
        self._begun = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Note the seconds of the step, and end the training if enough were timed."""
        float((logs or {}).get("loss", 0.0))  # waits for the step
        self.seconds.append(time.perf_counter() - self._begun)
        passed = sum(self.seconds[1:])  # the first one traces the model
        if passed >= self._least and (len(self.seconds) >= self._steps or passed > _SECONDS):
            self.model.stop_training = True

    @property
    def step(self) -> float:
        """The seconds of a step, without the first ones: the median, as other processes may disturb some."""
        return float(np.median(self.seconds[_UNTIMED:] or self.seconds[-1:]))


def step_seconds(model: keras.Model, batches: Any, least: float = 0.0) -> float:
    """Return the seconds of a training step. The state of the model does not change.

    Args:
        model: The compiled model, whose optimizer is built.
        batches: An endless data set.
        least: Float, seconds: more steps are timed until they have passed, as another process may disturb a few.
    """
    timer = StepTimer(_UNTIMED + _TIMED, least)
    with unchanged(model):
        model.fit(batches, steps_per_epoch=_MOST_TIMED, shuffle=False, verbose=0, callbacks=[timer])
    return timer.step


def slowness(model: keras.Model) -> float:
    """Return the seconds in which a core does the work of a second of a fast one that nobody else uses, at least 1.

    An export is work of Python for the most part, as tracing the model is.

    Args:
        model: The model, with one input.
    """
    layers = len(list(flatten_layers(model)))
    spec = tf.TensorSpec((None, *model.inputs[0].shape[1:]), model.inputs[0].dtype)
    seconds: list[float] = []
    while sum(seconds) < _COMPARISON or len(seconds) < _TRACES:
        start = time.perf_counter()
        tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
        seconds.append(time.perf_counter() - start)
    # the median, as other processes may disturb some
    return max(1.0, float(np.median(seconds)) / (layers * _LAYER))
