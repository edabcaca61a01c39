"""Max pooling with the same padding on every side."""

from typing import Any

import keras
from keras import ops

from bnzoo.layers import images


@keras.saving.register_keras_serializable(package="bnzoo")
class SymmetricMaxPooling2D(keras.layers.Layer):
    """Max pooling with symmetric padding that is never the maximum, as PyTorch's `MaxPool2d`.

    With strides of 2, `keras.layers.MaxPooling2D(padding="same")` pads an image of even size only at the bottom and the
    right: its windows are shifted by a pixel from those that PyTorch's weights were trained with. Zero padding would be
    the maximum of a window of negative values, which are possible without a ReLU in front.

    Args:
        pool_size: Integer or two, the height and width of the windows.
        strides: Integer or two, the steps between windows; `None` for `pool_size`.
        padding: Integer or two, the padding at the top and bottom, and at the left and right; `None` for
            `pool_size // 2`, which is also the maximum: with more, a window could consist of padding only.
        data_format: String, `"channels_last"` or `"channels_first"`; `None` for `keras.config.image_data_format()`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(batch, height, width, channels)`, or `(batch, channels, height, width)` for
            `"channels_first"`.

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
                f"`padding` must be at most half of `pool_size`, {half}. "
                f"Received: padding={padding}, pool_size={pool_size}"
            )
        self.data_format = images.data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Pad, then pool."""
        borders = [(0, 0)] * 4
        for axis, border in zip(self._spatial_axes(), self.padding, strict=True):
            borders[axis] = (border, border)
        # Each window has a pixel of the image, so that neither minus infinity nor a mirrored pixel changes its maximum.
        # At inference the padding is mirrored, since a quantizer cannot handle infinity. Its gradient would be slower.
        padding = {"constant_values": float("-inf")} if training else {"mode": "symmetric"}
        padded = ops.pad(ops.cast(inputs, self.compute_dtype), borders, **padding)
        return ops.max_pool(padded, self.pool_size, self.strides, "valid", self.data_format)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape of the output."""
        shape = list(input_shape)
        for i, axis in enumerate(self._spatial_axes()):
            if shape[axis] is not None:
                shape[axis] = (shape[axis] + 2 * self.padding[i] - self.pool_size[i]) // self.strides[i] + 1
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }

    def _spatial_axes(self) -> tuple[int, int]:
        return (2, 3) if self.data_format == "channels_first" else (1, 2)
