"""Batch norm in one kernel, the zoo's default norm."""

from typing import Any

import keras
from keras import ops

if keras.backend.backend() == "tensorflow":
    from bnzoo.layers import fused_batch_norm


class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, faster: on TensorFlow one kernel in the place of a dozen operations.

    Arguments, weights, results and files are those of Keras' layer, the biased moving variance too. A `.weights.h5`
    file of one is a file of the other. A `.keras` file of this layer is read as Keras' where bnzoo is not imported.
    `bnzoo.tools.replace_norm(model, "batch")` puts this layer into any model, weights kept.

    The kernel is used in training: on a CPU for inputs of 3 to 5 axes with the channels last, on a GPU also for vectors
    and with the channels first. It takes float32, float16 and bfloat16 as they are, and its statistics are float32.
    Elsewhere it does not apply or was measured to be slower or less exact, and Keras' own operations run: at inference,
    with a mask, `renorm` or `synchronized`, another axis, float64, under XLA, on JAX.

    Args:
        **kwargs: The arguments of `keras.layers.BatchNormalization`, with its defaults. The zoo's own are
            `momentum=0.9` and `epsilon=1e-5`.

    Call arguments:
        inputs: Tensor of any rank above 1.
        training: Boolean, whether the statistics of the batch normalize, or the moving statistics.
        mask: Boolean tensor of the shape of the inputs without their channels; positions where it is `False` have no
            part in the statistics.

    Returns:
        Tensor of the shape of the input.

    Examples:
    >>> layer = bnzoo.layers.BatchNormalization(momentum=0.9)
    >>> layer(keras.ops.ones((4, 8, 8, 3)), training=True).shape
    (4, 8, 8, 3)

    Reference:
        - [Ioffe & Szegedy, 2015](https://arxiv.org/abs/1502.03167), algorithm 1
    """

    # what a file names, so that who reads it without bnzoo finds the layer whose arguments and weights these are
    __module__ = "keras.layers"

    def __reduce__(self) -> tuple:
        """Pickles by way of Keras' base class, since this one is not found in `__module__`."""
        return keras.layers.Layer._unpickle_model, super().__reduce__()[1]

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalizes: in training by the batch, else by the moving statistics."""
        if not (training and self.trainable and mask is None and self._has_kernel(inputs)):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = fused_batch_norm.normalize(
            inputs, self.gamma, self.beta, self.axis, self.epsilon, self.moving_mean.shape[0]
        )
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(ops.cast(average, value.dtype) * self.momentum + value * (1 - self.momentum))
        return outputs

    def _has_kernel(self, inputs: Any) -> bool:
        if self.renorm or self.synchronized or keras.backend.backend() != "tensorflow":
            return False
        return inputs.dtype == self.compute_dtype and fused_batch_norm.applies(inputs, self.axis)


# so that who reads it with bnzoo finds this one; the files of Keras' own layer give no name to look for here
keras.saving.get_custom_objects()["BatchNormalization"] = BatchNormalization
