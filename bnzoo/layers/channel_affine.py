"""The base of norms without batch statistics: a scale and a shift for each channel."""

from typing import Any

import keras

from bnzoo.layers.axes import check_axis, known_channels, per_channel


class ChannelAffine(keras.layers.Layer):
    """The base of norms that end in `gamma * x + beta`.

    Args:
        axis: Integer, the axis of the channels.
        center: Boolean, whether there is a `beta`.
        scale: Boolean, whether there is a `gamma`.
        beta_initializer: Initializer of `beta`.
        gamma_initializer: Initializer of `gamma`.
        beta_regularizer: Regularizer of `beta`, or `None`.
        gamma_regularizer: Regularizer of `gamma`, or `None`.
        beta_constraint: Constraint of `beta`, or `None`.
        gamma_constraint: Constraint of `gamma`, or `None`.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        axis: int = -1,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.axis = axis
        self.center = center
        self.scale = scale
        self.beta_initializer = keras.initializers.get(beta_initializer)
        self.gamma_initializer = keras.initializers.get(gamma_initializer)
        self.beta_regularizer = keras.regularizers.get(beta_regularizer)
        self.gamma_regularizer = keras.regularizers.get(gamma_regularizer)
        self.beta_constraint = keras.constraints.get(beta_constraint)
        self.gamma_constraint = keras.constraints.get(gamma_constraint)
        self.gamma = None
        self.beta = None

    def build(self, input_shape: tuple) -> None:
        """Create `gamma` and `beta`."""
        channels = known_channels(input_shape, self.axis)
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes={self.axis: channels})
        if self.scale:
            self.gamma = self._channel_weight(
                "gamma", channels, self.gamma_initializer, self.gamma_regularizer, self.gamma_constraint
            )
        if self.center:
            self.beta = self._channel_weight(
                "beta", channels, self.beta_initializer, self.beta_regularizer, self.beta_constraint
            )

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape of the input.

        Raises:
            ValueError: If the input has no such axis.
        """
        check_axis(input_shape, self.axis)
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": keras.initializers.serialize(self.beta_initializer),
            "gamma_initializer": keras.initializers.serialize(self.gamma_initializer),
            "beta_regularizer": keras.regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": keras.regularizers.serialize(self.gamma_regularizer),
            "beta_constraint": keras.constraints.serialize(self.beta_constraint),
            "gamma_constraint": keras.constraints.serialize(self.gamma_constraint),
        }

    def _channel_weight(
        self, name: str, channels: int, initializer: Any, regularizer: Any = None, constraint: Any = None
    ) -> Any:
        # autocast would round the weight to float16 before the layer computes in float32
        return self.add_weight(
            shape=(channels,),
            name=name,
            initializer=initializer,
            regularizer=regularizer,
            constraint=constraint,
            autocast=False,
        )


def scaled_and_shifted(norm: Any, x: Any) -> Any:
    """Return a normalized tensor times the gamma of a norm plus its beta, if the norm has them."""
    if norm.gamma is not None:
        x = x * per_channel(norm.gamma, x, norm.axis)
    if norm.beta is not None:
        x = x + per_channel(norm.beta, x, norm.axis)
    return x
