"""RMS norm along any axis."""

from typing import Any

import keras
from keras import ops

from bnzoo.errors import positive
from bnzoo.layers.moments import at_least_float32, mean


@keras.saving.register_keras_serializable(package="bnzoo")
class RMSNormalization(keras.layers.RMSNormalization):
    """`scale * x / sqrt(mean(x^2) + epsilon)`, also where the channels are not the last axis.

    Keras multiplies by the scale along the last axis, whatever `axis` says; for the last axis this is the same layer.

    Args:
        axis: Integer, the axis of the channels.
        epsilon: Float above 0, added to the mean square.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of any rank above 1.

    Returns:
        Tensor of the shape of the input.

    Raises:
        ValueError: If `epsilon` is not above 0.

    Reference:
        - [Zhang & Sennrich, 2019: Root mean square layer normalization](https://arxiv.org/abs/1910.07467), equation 4
    """

    axis: int

    def __init__(self, axis: int = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(axis=axis, epsilon=positive("epsilon", epsilon), **kwargs)
        self.supports_masking = True

    def build(self, input_shape: tuple) -> None:
        """Makes `scale`."""
        axis = self.axis
        super().build(input_shape)
        self.axis = axis  # Keras makes a list of it, which would be in the config

    def call(self, inputs: Any) -> Any:
        """Divides by the root mean square and scales."""
        x = at_least_float32(inputs)
        shape = [1] * len(x.shape)
        shape[self.axis] = -1
        scale = ops.reshape(ops.cast(self.scale, x.dtype), shape)
        x = x * ops.rsqrt(mean(ops.square(x), None, [self.axis]) + self.epsilon) * scale
        return ops.cast(x, self.compute_dtype)
