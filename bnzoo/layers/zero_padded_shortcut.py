"""The shortcut without parameters."""

from typing import Any

import keras
from keras import ops

from bnzoo.layers import images


@keras.saving.register_keras_serializable(package="bnzoo")
class ZeroPaddedShortcut(keras.layers.Layer):
    """Every `strides`-th pixel, and zeros for the channels that are new: option A of He et al. 2015.

    Args:
        filters: Integer, the number of output channels, at least that of the input.
        strides: Integer, the step in both directions.
        data_format: String, `"channels_last"` or `"channels_first"`; `None` is `keras.config.image_data_format()`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(batch, height, width, channels)`, or as `data_format` says.

    Returns:
        Tensor of shape `(batch, ceil(height / strides), ceil(width / strides), filters)`, or as `data_format` says.

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
        """Subsamples, then pads the channels at their end."""
        axis = self._channel_axis()
        step = slice(None, None, self.strides)
        index: list = [slice(None), step, step, step]
        index[axis] = slice(None)
        outputs = inputs[tuple(index)]
        padding = [(0, 0)] * 4
        padding[axis] = (0, self.filters - inputs.shape[axis])
        return ops.pad(outputs, padding)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of the output for a shape of the input."""
        axis = self._channel_axis()
        if input_shape[axis] > self.filters:
            raise ValueError(
                "`filters` must not be below the channels of the input: this shortcut adds channels, it drops none. "
                f"Received: filters={self.filters}, channels={input_shape[axis]}"
            )
        shape = [None if size is None else -(-size // self.strides) for size in input_shape]
        return (input_shape[0], *(self.filters if i == axis else shape[i] for i in (1, 2, 3)))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "data_format": self.data_format,
        }

    def _channel_axis(self) -> int:
        return 1 if self.data_format == "channels_first" else 3
