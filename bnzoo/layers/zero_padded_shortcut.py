"""The shortcut without parameters: subsampling and zero padding."""

from typing import Any

import keras
from keras import ops

from bnzoo.layers import images


@keras.saving.register_keras_serializable(package="bnzoo")
class ZeroPaddedShortcut(keras.layers.Layer):
    """Layer that takes every `strides`-th pixel, and pads new channels with zeros: option A of He et al. 2015.

    Args:
        filters: Integer, the number of output channels, at least that of input channels.
        strides: Integer, the step in both directions.
        data_format: String, `"channels_last"` or `"channels_first"`; `None` for `keras.config.image_data_format()`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(batch, height, width, channels)`, or as for `data_format`.

    Returns:
        Tensor of shape `(batch, ceil(height / strides), ceil(width / strides), filters)`, or as for
            `data_format`.

    Raises:
        ValueError: If the input has more channels than `filters`.

    Reference:
        - [He et al., 2015: Deep residual learning](https://arxiv.org/abs/1512.03385), section 4.2
    """

    def __init__(self, filters: int, strides: int = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides
        self.data_format = images.data_format(data_format)

    def call(self, inputs: Any) -> Any:
        """Subsample, then pad the channels at the end."""
        axis = self._channel_axis()
        step = slice(None, None, self.strides)
        index: list = [slice(None), step, step, step]
        index[axis] = slice(None)
        outputs = inputs[tuple(index)]
        padding = [(0, 0)] * 4
        padding[axis] = (0, self.filters - inputs.shape[axis])
        return ops.pad(outputs, padding)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape of the output."""
        axis = self._channel_axis()
        if input_shape[axis] > self.filters:
            raise ValueError(
                "`filters` must be at least the number of input channels, since this shortcut drops no channel. "
                f"Received: filters={self.filters}, channels={input_shape[axis]}"
            )
        shape = [None if size is None else -(-size // self.strides) for size in input_shape]
        return (input_shape[0], *(self.filters if i == axis else shape[i] for i in (1, 2, 3)))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "data_format": self.data_format,
        }

    def _channel_axis(self) -> int:
        return 1 if self.data_format == "channels_first" else 3
