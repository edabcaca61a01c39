"""Batch norm in one kernel, the default norm of bnzoo."""

from typing import Any

import keras
from keras import ops

from bnzoo.keras_internals import unpickle
from bnzoo.layers.axes import batch_axes
from bnzoo.layers.channel_affine import scaled_and_shifted
from bnzoo.layers.moments import along_channels, at_least_float32, count, moments
from bnzoo.layers.moving import move

if keras.backend.backend() == "tensorflow":
    from bnzoo.layers import fused_batch_norm


class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, but faster: on TensorFlow, one kernel instead of a dozen operations.

    Arguments, weights, results and files are those of Keras' layer, the biased moving variance too. A `.weights.h5`
    file of one is a file of the other. From a `.keras` file of this layer `bnzoo.load_model` makes this layer, and
    `keras.saving.load_model` makes Keras' own, also where bnzoo is not installed. An `.h5` file of a whole model does
    not tell the two apart: `bnzoo.load_model` makes this layer of both. `pickle`, `copy.deepcopy`, `from_config` and
    `model_from_json` of a model, and `keras.models.clone_model` for layers inside other layers, make Keras'
    layer. `bnzoo.tools.replace_norm(model, "batch")` puts this layer into any model and keeps the weights.

    The kernel is used in training: on a CPU for inputs of 3 to 5 axes with the channels last, on a GPU also for vectors
    and with the channels first. Its inputs are float32, float16 or bfloat16 without a cast, and its statistics are
    float32. In all other cases it does not apply, or was measured to be slower or less exact, and plain operations are
    used: at inference, with a mask, with `renorm` or `synchronized`, for another axis, in float64, under XLA, on JAX. A
    function that is traced without XLA and compiled by it later trains with the same statistics.

    The statistics are exact as far as float32 can tell the values of a channel apart: the variance of equal values is
    0, and that of values around 1e7 is right for a standard deviation above 1. (On a GPU, outside XLA, they are as
    exact as the kernel there.) A batch without a value, because it is empty or masked as a whole, does not change the
    moving statistics.

    Args:
        **kwargs: The arguments of `keras.layers.BatchNormalization`, with its defaults. The models of bnzoo have
            `momentum=0.9` and `epsilon=1e-5`.

    Call arguments:
        inputs: Tensor of any rank above 1.
        training: Boolean, whether to normalize by the statistics of the batch or by the moving statistics.
        mask: Boolean tensor of the shape of the inputs without their channels; positions where it is `False` are left
            out of the statistics.

    Returns:
        Tensor of the shape of the input.

    Examples:
    >>> layer = bnzoo.layers.BatchNormalization(momentum=0.9)
    >>> layer(keras.ops.ones((4, 8, 8, 3)), training=True).shape
    (4, 8, 8, 3)

    Reference:
        - [Ioffe & Szegedy, 2015](https://arxiv.org/abs/1502.03167), algorithm 1
    """

    # A file names this module and the class: Keras finds its own layer there, which has the same arguments and weights.
    __module__ = "keras.layers"

    def __reduce__(self) -> tuple:
        """Pickle the layer by a function, since pickle looks for the class in `__module__`."""
        return _unpickled, super().__reduce__()[1]

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalize, in training by the statistics of the batch, else by the moving statistics."""
        if not (training and self.trainable):
            return super().call(inputs, training=False, mask=mask)
        if self.renorm or self.synchronized:
            return self._as_keras_does(inputs, mask)
        if mask is None and self._has_kernel(inputs):
            outputs, mean, variance = fused_batch_norm.normalize(
                inputs, self.gamma, self.beta, self.axis, self.epsilon, self.moving_mean.shape[0]
            )
            value_count = ops.size(inputs)
        else:
            x, mask = at_least_float32(inputs), along_channels(mask, inputs, self.axis)
            axes = batch_axes(len(x.shape), self.axis)
            mean, variance = moments(x, mask, axes)
            value_count = count(x, mask, axes)
            normalized = (x - mean) * ops.rsqrt(variance + self.epsilon)
            outputs = ops.cast(scaled_and_shifted(self, normalized), self.compute_dtype)
        move(self.moving_mean, mean, self.momentum, value_count)
        move(self.moving_variance, variance, self.momentum, value_count)
        return outputs

    def _as_keras_does(self, inputs: Any, mask: Any) -> Any:
        """Normalize as the base class does, but keep the moving statistics for a batch without a value."""
        before = [(variable, ops.copy(variable)) for variable in self.non_trainable_variables]
        outputs = super().call(inputs, training=True, mask=mask)
        has_value = ops.size(inputs) > 0 if mask is None else ops.any(mask)
        for variable, value in before:
            variable.assign(ops.where(has_value, ops.convert_to_tensor(variable), value))
        return outputs

    def _has_kernel(self, inputs: Any) -> bool:
        if keras.backend.backend() != "tensorflow":
            return False
        return inputs.dtype == self.compute_dtype and fused_batch_norm.applies(inputs, self.axis)


# Custom objects for loading a file of this layer, which has the class name of Keras' layer. Keras does not apply them
# to its own layer in a `.keras` file.
CUSTOM_OBJECTS = {"BatchNormalization": BatchNormalization}


def _unpickled(file: Any) -> Any:
    with keras.saving.custom_object_scope(CUSTOM_OBJECTS):
        return unpickle(file)
