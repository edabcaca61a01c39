"""Max pooling with the same border on every side."""

from typing import Any

import keras
from keras import ops

from bnzoo.layers import images


@keras.saving.register_keras_serializable(package="bnzoo")
class SymmetricMaxPooling2D(keras.layers.Layer):
    """The highest value in each window of an image with a border that never wins: PyTorch's `MaxPool2d`.

    `keras.layers.MaxPooling2D(padding="same")` pads an image of even size below and to the right only, when the strides
    are 2: its windows stand a pixel beside those that PyTorch's weights were trained with. A border of zeros instead
    would win wherever all the values are negative, as they can be without a ReLU in front.

    Args:
        pool_size: Integer or two, the height and width of the windows.
        strides: Integer or two, the steps between windows; `None` is `pool_size`.
        padding: Integer or two, the border above and below, and to the left and right; `None` is `pool_size // 2`,
            which is also the most that is allowed: a window further out would hold nothing but border.
        data_format: String, `"channels_last"` or `"channels_first"`; `None` is `keras.config.image_data_format()`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(batch, height, width, channels)`, or as `data_format` says.

    Returns:
        Tensor of shape `(batch, (height + 2 * padding - pool_size) // strides + 1, ..., channels)`.

    Raises:
        ValueError: If `padding` is over half of `pool_size`.

    Examples:
        >>> keras.Sequential([keras.Input((112, 112, 64)), SymmetricMaxPooling2D(3, 2)]).output_shape
        (None, 56, 56, 64)
    """

    def __init__(
        self,
        pool_size: int | tuple[int, int] = 2,
        strides: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size = images.pair("pool_size", pool_size)
        self.strides = self.pool_size if strides is None else images.pair("strides", strides)
        half = (self.pool_size[0] // 2, self.pool_size[1] // 2)
        self.padding = half if padding is None else images.pair("padding", padding, least=0)
        if self.padding[0] > half[0] or self.padding[1] > half[1]:
            raise ValueError(
                f"`padding` must be at most half of `pool_size`, here {half}. "
                f"Received: padding={padding}, pool_size={pool_size}"
            )
        self.data_format = images.data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Pads, then pools."""
        borders = [(0, 0)] * 4
        for axis, border in zip(self._spatial_axes(), self.padding, strict=True):
            borders[axis] = (border, border)
        # A window always reaches a pixel, so that minus infinity never comes out, nor what is mirrored from inside the
        # same window. Mirrored, no quantizer meets an infinite range; its gradient takes longer.
        padding = {"constant_values": float("-inf")} if training else {"mode": "symmetric"}
        padded = ops.pad(ops.cast(inputs, self.compute_dtype), borders, **padding)
        return ops.max_pool(padded, self.pool_size, self.strides, "valid", self.data_format)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of the output for a shape of the input."""
        shape = list(input_shape)
        for i, axis in enumerate(self._spatial_axes()):
            if shape[axis] is not None:
                shape[axis] = (shape[axis] + 2 * self.padding[i] - self.pool_size[i]) // self.strides[i] + 1
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer."""
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }

    def _spatial_axes(self) -> tuple[int, int]:
        return (2, 3) if self.data_format == "channels_first" else (1, 2)
