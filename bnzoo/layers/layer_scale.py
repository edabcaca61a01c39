"""A residual branch that starts small, channel by channel."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="bnzoo")
class LayerScale(keras.layers.Layer):
    """Multiplies each channel by a trainable number, at first a small one: the end of a residual branch.

    The product is taken in float32 at least, as PyTorch's autocast takes it: in float16 neither the first value nor an
    optimizer's steps on it would be exact.

    Args:
        init_value: Float, the first value of `gamma`. The paper has 0.1 up to 18 blocks, 1e-5 up to 24, 1e-6 above.
        axis: Integer, the axis of the channels.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor whose size along `axis` is known.

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
        """Creates `gamma`, one number a channel."""
        rank = len(input_shape)
        if not -rank <= self.axis < rank:
            raise ValueError(
                f"`axis` must be an axis of the input. Received: axis={self.axis}, input of shape {input_shape}"
            )
        channels = input_shape[self.axis]
        if channels is None:
            raise ValueError(
                "The number of channels must be known, for each has a weight: give the input a shape, or `axis` the "
                f"axis of the channels. Received: axis={self.axis}, input of shape {input_shape}"
            )
        self.input_spec = keras.layers.InputSpec(ndim=rank, axes={self.axis % rank: channels})
        self.gamma = self.add_weight(
            name="gamma",
            shape=(channels,),
            initializer=keras.initializers.Constant(self.init_value),
            autocast=False,
        )

    def call(self, inputs: Any) -> Any:
        """Multiplies."""
        rank = len(inputs.shape)
        shape = [1] * rank
        shape[self.axis] = -1
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        gamma = ops.reshape(ops.cast(self.gamma, wide), shape)
        return ops.cast(ops.cast(inputs, wide) * gamma, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer."""
        return {**super().get_config(), "init_value": self.init_value, "axis": self.axis}
