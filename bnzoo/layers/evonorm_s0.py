"""EvoNorm-S0, a norm and an activation in one."""

from typing import Any

import keras
from keras import ops

from bnzoo.layers.arguments import check
from bnzoo.layers.axes import per_channel
from bnzoo.layers.channel_affine import ChannelAffine, scaled_and_shifted
from bnzoo.layers.groups import largest_divisor
from bnzoo.layers.moments import along_channels, at_least_float32, moments


@keras.saving.register_keras_serializable(package="bnzoo")
class EvoNormS0(ChannelAffine):
    """Layer that computes `gamma * x * sigmoid(v * x) / sqrt(variance + epsilon) + beta`.

    The variance is that of a group of channels in a sample. An automatic search found the formula.

    Args:
        axis: Integer, the axis of the channels.
        groups: Integer, the most groups of channels. Their number is the largest divisor of the channels that is not
            above it.
        epsilon: Float above 0, added to the variance.
        apply_activation: Boolean. If `False`, the layer is `gamma * x + beta`, for positions without an activation.
        v_initializer: Initializer of `v`.
        v_regularizer: Regularizer of `v`, or `None`.
        v_constraint: Constraint of `v`, or `None`.
        **kwargs: `center`, `scale`, and the initializer, regularizer and constraint of `beta` and `gamma` as in
            `keras.layers.BatchNormalization`; arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of any rank above 1.
        mask: Boolean tensor of the shape of the inputs without their channels; positions where it is `False` are left
            out of the variance.

    Returns:
        Tensor of the shape of the input.

    Raises:
        ValueError: If `groups` is not a positive integer, `epsilon` is not above 0, or the input has no such axis or
            an unknown number of channels.

    Examples:
    >>> bnzoo.layers.EvoNormS0()(keras.ops.ones((2, 8, 8, 3))).shape
    (2, 8, 8, 3)

    Reference:
        - [Liu et al., 2020: Evolving normalization-activation layers](https://arxiv.org/abs/2004.02967), table 2
    """

    def __init__(
        self,
        axis: int = -1,
        groups: int = 32,
        epsilon: float = 1e-5,
        apply_activation: bool = True,
        v_initializer: Any = "ones",
        v_regularizer: Any = None,
        v_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis=axis, **kwargs)
        self.groups = check("groups", groups)
        self.epsilon = check("epsilon", epsilon)
        self.apply_activation = apply_activation
        self.v_initializer = keras.initializers.get(v_initializer)
        self.v_regularizer = keras.regularizers.get(v_regularizer)
        self.v_constraint = keras.constraints.get(v_constraint)
        self.v = None

    def build(self, input_shape: tuple) -> None:
        """Create `gamma`, `beta` and `v`."""
        super().build(input_shape)
        if self.apply_activation:
            channels = input_shape[self.axis]
            self.v = self._channel_weight("v", channels, self.v_initializer, self.v_regularizer, self.v_constraint)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Apply the gate, divide by the standard deviation, scale and shift."""
        x = at_least_float32(inputs)
        if self.v is not None:
            gate = ops.sigmoid(per_channel(self.v, x, self.axis) * x)
            x = x * gate * self._inverse_deviation(x, along_channels(mask, x, self.axis))
        return ops.cast(scaled_and_shifted(self, x), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {
            **super().get_config(),
            "groups": self.groups,
            "epsilon": self.epsilon,
            "apply_activation": self.apply_activation,
            "v_initializer": keras.initializers.serialize(self.v_initializer),
            "v_regularizer": keras.regularizers.serialize(self.v_regularizer),
            "v_constraint": keras.constraints.serialize(self.v_constraint),
        }

    def _inverse_deviation(self, x: Any, mask: Any) -> Any:
        """Return one over the standard deviation of the group, for each sample and channel."""
        axis, shape = self.axis % len(x.shape), list(ops.shape(x))
        groups = largest_divisor(shape[axis], self.groups)
        shape[axis : axis + 1] = [groups, shape[axis] // groups]
        grouped_mask = None if mask is None else ops.expand_dims(mask, axis)
        # the channel axis was split into groups and the channels of a group
        others = [i for i in range(1, len(shape)) if i != axis]
        _, variance = moments(ops.reshape(x, shape), grouped_mask, others)
        inverse = ops.repeat(ops.rsqrt(variance + self.epsilon), shape[axis + 1], axis=axis + 1)
        broadcast = [1] * len(x.shape)
        broadcast[0], broadcast[axis] = -1, x.shape[axis]
        return ops.reshape(inverse, broadcast)
