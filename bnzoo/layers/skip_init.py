"""A residual branch that starts at zero."""

from typing import Any

import keras
from keras import ops

from bnzoo.layers.moments import at_least_float32


@keras.saving.register_keras_serializable(package="bnzoo")
class SkipInit(keras.layers.Layer):
    """Layer that multiplies by one trainable number, initially zero, so that a residual block starts as the identity.

    With this layer, a residual network without norms trains at the depth of one with batch norm, which scales the
    branch down at initialization. ReZero is the same layer.

    The product is computed in float32 at least, since the gradient of `alpha` is a sum over the whole input.

    Args:
        initializer: Initializer of `alpha`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of any shape.

    Returns:
        Tensor of the shape of the input.

    Examples:
        >>> x = trunk = keras.Input((32, 32, 16))
        >>> x = keras.layers.Conv2D(16, 3, padding="same")(x)
        >>> x = keras.layers.Add()([trunk, SkipInit()(x)])

    Reference:
        - [De and Smith, 2020: Batch normalization biases residual blocks towards the identity function in deep
          networks](https://arxiv.org/abs/2002.10444)
        - [Bachlechner et al., 2020: ReZero is all you need](https://arxiv.org/abs/2003.04887)
    """

    def __init__(self, initializer: Any = "zeros", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: tuple) -> None:
        """Create `alpha`."""
        self.alpha = self.add_weight(name="alpha", shape=(), initializer=self.initializer, autocast=False)

    def call(self, inputs: Any) -> Any:
        """Multiply by `alpha`."""
        x = at_least_float32(inputs)
        return ops.cast(x * ops.cast(self.alpha, x.dtype), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {**super().get_config(), "initializer": keras.initializers.serialize(self.initializer)}
