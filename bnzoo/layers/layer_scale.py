"""Layer scale: a residual branch that starts small."""

from typing import Any

import keras
from keras import ops

from bnzoo.layers.axes import known_channels, per_channel
from bnzoo.layers.moments import at_least_float32


@keras.saving.register_keras_serializable(package="bnzoo")
class LayerScale(keras.layers.Layer):
    """Layer that multiplies each channel by a trainable number, initially a small one, to end a residual branch.

    The product is computed in float32 at least, as by PyTorch's autocast: in float16 neither the initial value nor the
    optimizer's updates of it would be exact.

    Args:
        init_value: Float, the initial value of `gamma`. The paper has 0.1 up to 18 blocks, 1e-5 up to 24, 1e-6 above.
        axis: Integer, the axis of the channels.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor with a known size along `axis`.

    Returns:
        Tensor of the shape of the input.

    Raises:
        ValueError: If the number of channels is unknown.

    Reference:
        - [Touvron et al., 2021: Going deeper with image transformers](https://arxiv.org/abs/2103.17239), section 2
    """

    def __init__(self, init_value: float = 1e-5, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.init_value = init_value
        self.axis = axis

    def build(self, input_shape: tuple) -> None:
        """Create `gamma`, with a number for each channel."""
        rank, channels = len(input_shape), known_channels(input_shape, self.axis)
        self.input_spec = keras.layers.InputSpec(ndim=rank, axes={self.axis % rank: channels})
        self.gamma = self.add_weight(
            name="gamma",
            shape=(channels,),
            initializer=keras.initializers.Constant(self.init_value),
            autocast=False,
        )

    def call(self, inputs: Any) -> Any:
        """Multiply by `gamma`."""
        x = at_least_float32(inputs)
        return ops.cast(x * per_channel(self.gamma, x, self.axis), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {**super().get_config(), "init_value": self.init_value, "axis": self.axis}
