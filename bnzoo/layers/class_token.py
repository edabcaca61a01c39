"""The class token of a vision transformer."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="bnzoo")
class ClassToken(keras.layers.Layer):
    """Layer that puts a trainable token in front of the other tokens.

    Args:
        initializer: Initializer of `token`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(batch, tokens, width)`, of known width.

    Returns:
        Tensor of shape `(batch, tokens + 1, width)`; `[:, 0]` is the class token.

    Raises:
        ValueError: If the input does not have three axes, or its width is unknown.

    Reference:
        - [Dosovitskiy et al., 2020: An image is worth 16x16 words](https://arxiv.org/abs/2010.11929), equation 1
    """

    def __init__(self, initializer: Any = "zeros", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, input_shape: tuple) -> None:
        """Create `token`, one for all samples."""
        width = input_shape[-1]
        if width is None:
            raise ValueError(
                "The width of the tokens must be known, since the class token has the same width: give the input a "
                f"shape. Received: input of shape {input_shape}"
            )
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={2: width})
        self.token = self.add_weight(name="token", shape=(1, 1, width), initializer=self.initializer)

    def call(self, inputs: Any) -> Any:
        """Concatenate the class token and the inputs."""
        batch, _, width = ops.shape(inputs)
        token = ops.broadcast_to(ops.cast(self.token, self.compute_dtype), (batch, 1, width))
        return ops.concatenate([token, inputs], axis=1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape of the input with one more token."""
        batch, tokens, width = input_shape
        return (batch, None if tokens is None else tokens + 1, width)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {**super().get_config(), "initializer": keras.initializers.serialize(self.initializer)}
