"""Filter response normalization, a norm and an activation in one."""

from typing import Any

import keras
from keras import ops

from bnzoo.layers.arguments import check
from bnzoo.layers.axes import per_channel, position_axes
from bnzoo.layers.channel_affine import ChannelAffine, scaled_and_shifted
from bnzoo.layers.moments import along_channels, at_least_float32, mean


@keras.saving.register_keras_serializable(package="bnzoo")
class FilterResponseNormalization(ChannelAffine):
    """Layer that computes `max(gamma * x / sqrt(mean(x^2) + epsilon) + beta, tau)`.

    The mean is over the positions of each sample and channel. The input is not centred: the learned threshold `tau`
    makes up for it and replaces the activation. If a channel has one position only, `x / sqrt(x^2 + epsilon)` would be
    hardly more than the sign of `x`. In this case `epsilon` is replaced by `epsilon + |learned_epsilon|`, with one
    value for each channel. A size that is unknown when the layer is built counts as more than one position.

    Args:
        axis: Integer, the axis of the channels.
        epsilon: Float above 0, added to the mean square.
        apply_activation: Boolean. If `False`, there is no threshold, for positions without an activation.
        tau_initializer: Initializer of the threshold.
        tau_regularizer: Regularizer of the threshold, or `None`.
        tau_constraint: Constraint of the threshold, or `None`.
        **kwargs: `center`, `scale`, and the initializer, regularizer and constraint of `beta` and `gamma` as in
            `keras.layers.BatchNormalization`; arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of any rank above 1.
        mask: Boolean tensor of the shape of the inputs without their channels; positions where it is `False` are left
            out of the mean.

    Returns:
        Tensor of the shape of the input.

    Raises:
        ValueError: If `epsilon` is not above 0, or the input has no such axis or an unknown number of channels.

    Examples:
    >>> bnzoo.layers.FilterResponseNormalization()(keras.ops.ones((2, 8, 8, 3))).shape
    (2, 8, 8, 3)

    Reference:
        - [Singh & Krishnan, 2019: Filter response normalization](https://arxiv.org/abs/1911.09737), section 3
    """

    def __init__(
        self,
        axis: int = -1,
        epsilon: float = 1e-6,
        apply_activation: bool = True,
        tau_initializer: Any = "zeros",
        tau_regularizer: Any = None,
        tau_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis=axis, **kwargs)
        self.epsilon = check("epsilon", epsilon)
        self.apply_activation = apply_activation
        self.tau_initializer = keras.initializers.get(tau_initializer)
        self.tau_regularizer = keras.regularizers.get(tau_regularizer)
        self.tau_constraint = keras.constraints.get(tau_constraint)
        self.tau = None
        self.learned_epsilon = None

    def build(self, input_shape: tuple) -> None:
        """Create `gamma`, `beta`, `tau`, and `learned_epsilon` for inputs with one position."""
        super().build(input_shape)
        channels = input_shape[self.axis]
        if self.apply_activation:
            self.tau = self._channel_weight(
                "tau", channels, self.tau_initializer, self.tau_regularizer, self.tau_constraint
            )
        if all(input_shape[axis] == 1 for axis in position_axes(len(input_shape), self.axis)):
            start = keras.initializers.Constant(1e-4)
            self.learned_epsilon = self._channel_weight("learned_epsilon", channels, start)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Divide by the root mean square, scale, shift and apply the threshold."""
        x = at_least_float32(inputs)
        positions = position_axes(len(x.shape), self.axis)
        square = mean(ops.square(x), along_channels(mask, x, self.axis), positions)
        if self.learned_epsilon is not None:
            square = square + ops.abs(per_channel(self.learned_epsilon, x, self.axis))
        x = scaled_and_shifted(self, x * ops.rsqrt(square + self.epsilon))
        if self.tau is not None:
            x = ops.maximum(x, per_channel(self.tau, x, self.axis))
        return ops.cast(x, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "apply_activation": self.apply_activation,
            "tau_initializer": keras.initializers.serialize(self.tau_initializer),
            "tau_regularizer": keras.regularizers.serialize(self.tau_regularizer),
            "tau_constraint": keras.constraints.serialize(self.tau_constraint),
        }
