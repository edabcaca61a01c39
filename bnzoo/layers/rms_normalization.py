"""RMS norm along any axis, with an initializer of its scale."""

from typing import Any

import keras
from keras import ops

from bnzoo.layers.arguments import check
from bnzoo.layers.axes import per_channel
from bnzoo.layers.moments import at_least_float32, mean


@keras.saving.register_keras_serializable(package="bnzoo")
class RMSNormalization(keras.layers.RMSNormalization):
    """Layer that computes `scale * x / sqrt(mean(x^2) + epsilon)`, also if the channels are not the last axis.

    The layer of Keras multiplies by the scale along the last axis for any `axis`, and has no initializer of the scale.
    For the last axis the two layers are the same.

    Args:
        axis: Integer, the axis of the channels.
        epsilon: Float above 0, added to the mean square.
        gamma_initializer: Initializer of `scale`, called gamma in other norms.
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

    def __init__(self, axis: int = -1, epsilon: float = 1e-6, gamma_initializer: Any = "ones", **kwargs: Any) -> None:
        super().__init__(axis=axis, epsilon=check("epsilon", epsilon), **kwargs)
        self.supports_masking = True
        self.gamma_initializer = keras.initializers.get(gamma_initializer)

    def build(self, input_shape: tuple) -> None:
        """Create `scale`."""
        self.scale = self.add_weight(
            shape=(input_shape[self.axis],), name="scale", initializer=self.gamma_initializer, autocast=False
        )
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Divide by the root mean square and scale."""
        x = at_least_float32(inputs)
        x = x * ops.rsqrt(mean(ops.square(x), None, [self.axis]) + self.epsilon)
        return ops.cast(x * per_channel(self.scale, x, self.axis), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {**super().get_config(), "gamma_initializer": keras.initializers.serialize(self.gamma_initializer)}
