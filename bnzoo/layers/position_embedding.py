"""The position embedding of a vision transformer."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="bnzoo")
class PositionEmbedding(keras.layers.Layer):
    """Layer that adds a trainable vector to each token, another one for each position.

    Args:
        initializer: Initializer of `position`; `None` for a normal distribution of standard deviation 0.02, as in the
            code of the paper.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(batch, tokens, width)`, of known number of tokens and width.

    Returns:
        Tensor of the shape of the input.

    Raises:
        ValueError: If the input does not have three axes, or the number of tokens or the width is unknown.

    Reference:
        - [Dosovitskiy et al., 2020: An image is worth 16x16 words](https://arxiv.org/abs/2010.11929), equation 1
    """

    def __init__(self, initializer: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer) or keras.initializers.RandomNormal(stddev=0.02)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, input_shape: tuple) -> None:
        """Create `position`, with a vector for each token."""
        _, tokens, width = input_shape
        if tokens is None or width is None:
            raise ValueError(
                "The number of tokens and their width must be known, since each position has a weight: give the model "
                f"an `input_shape` with a height and a width. Received: input of shape {input_shape}"
            )
        # otherwise a single token would be broadcast to all positions
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={1: tokens, 2: width})
        self.position = self.add_weight(name="position", shape=(1, tokens, width), initializer=self.initializer)

    def call(self, inputs: Any) -> Any:
        """Add the embedding."""
        return inputs + ops.cast(self.position, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {**super().get_config(), "initializer": keras.initializers.serialize(self.initializer)}
