"""Dynamic tanh, a point-wise function instead of a norm."""

from typing import Any

import keras
from keras import ops

from bnzoo.layers.arguments import check
from bnzoo.layers.channel_affine import ChannelAffine, scaled_and_shifted
from bnzoo.layers.moments import at_least_float32


@keras.saving.register_keras_serializable(package="bnzoo")
class DynamicTanh(ChannelAffine):
    """Layer that computes `gamma * tanh(alpha * x) + beta`, with one `alpha` for the layer and no statistics.

    Args:
        axis: Integer, the axis of the channels.
        initial_alpha: Float above 0, the initial value of `alpha`.
        **kwargs: `center`, `scale`, and the initializer, regularizer and constraint of `beta` and `gamma` as in
            `keras.layers.BatchNormalization`; arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of any rank above 1.

    Returns:
        Tensor of the shape of the input.

    Raises:
        ValueError: If `initial_alpha` is not above 0, or the input has no such axis or an unknown number of channels.

    Examples:
    >>> bnzoo.layers.DynamicTanh()(keras.ops.ones((2, 16, 3))).shape
    (2, 16, 3)

    Reference:
        - [Zhu et al., 2025: Transformers without normalization](https://arxiv.org/abs/2503.10622), section 4
    """

    def __init__(self, axis: int = -1, initial_alpha: float = 0.5, **kwargs: Any) -> None:
        super().__init__(axis=axis, **kwargs)
        self.initial_alpha = check("initial_alpha", initial_alpha)

    def build(self, input_shape: tuple) -> None:
        """Create `gamma`, `beta` and `alpha`."""
        super().build(input_shape)
        start = keras.initializers.Constant(self.initial_alpha)
        self.alpha = self.add_weight(shape=(), name="alpha", initializer=start, autocast=False)

    def call(self, inputs: Any) -> Any:
        """Apply tanh, scale and shift."""
        x = at_least_float32(inputs)
        return ops.cast(scaled_and_shifted(self, ops.tanh(ops.cast(self.alpha, x.dtype) * x)), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {**super().get_config(), "initial_alpha": self.initial_alpha}
