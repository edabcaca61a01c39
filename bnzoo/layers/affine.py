"""A scale and a shift for each channel, without statistics."""

from typing import Any

import keras
from keras import ops

from bnzoo.layers.channel_affine import ChannelAffine, scaled_and_shifted
from bnzoo.layers.moments import at_least_float32


@keras.saving.register_keras_serializable(package="bnzoo")
class Affine(ChannelAffine):
    """Layer that computes `gamma * x + beta` for each channel: a norm without its statistics.

    It is the control in a comparison of norms, with the trainable weights of batch norm and no normalization.

    Args:
        axis: Integer, the axis of the channels.
        **kwargs: `center`, `scale`, and the initializer, regularizer and constraint of `beta` and `gamma` as in
            `keras.layers.BatchNormalization`; arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of any rank above 1.

    Returns:
        Tensor of the shape of the input.

    Raises:
        ValueError: If the input has no such axis, or an unknown number of channels.

    Examples:
    >>> bnzoo.layers.Affine()(keras.ops.ones((2, 3))).shape
    (2, 3)

    Reference:
        - [Touvron et al., 2021: ResMLP](https://arxiv.org/abs/2105.03404), section 2
    """

    def call(self, inputs: Any) -> Any:
        """Scale and shift."""
        return ops.cast(scaled_and_shifted(self, at_least_float32(inputs)), self.compute_dtype)
