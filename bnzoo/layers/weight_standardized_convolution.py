"""Convolution with weight standardization: the kernel is normalized instead of the output."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="bnzoo")
class WeightStandardizedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with the kernel of each filter standardized to mean 0 and variance 1 in every call.

    The kernel is `(kernel - mean) / sqrt(variance + epsilon)`, with the mean and the biased variance over the fan-in of
    each filter: height, width and the channels of its group. With it, group norm reaches the accuracy of batch norm at
    large batches. The kernel before standardization is trained, saved and regularized. The function is that of
    `StdConv2d` in timm.

    The statistics are computed from the variable itself, in float32 at least, for any compute dtype.

    Args:
        filters: Integer, the number of output channels.
        kernel_size: Integer or two, the height and width of the kernel.
        epsilon: Float, added to the variance.
        **kwargs: All further arguments of `keras.layers.Conv2D`, by name.

    Call arguments:
        inputs: Tensor of shape `(batch, height, width, channels)`, or as for `data_format`.

    Returns:
        Tensor of shape `(batch, new_height, new_width, filters)`, or as for `data_format`.

    Reference:
        - [Qiao et al., 2019: Micro-batch training with batch-channel normalization and weight
          standardization](https://arxiv.org/abs/1903.10520), equations 2 and 3
    """

    def __init__(
        self, filters: int, kernel_size: int | tuple[int, int], *, epsilon: float = 1e-6, **kwargs: Any
    ) -> None:
        super().__init__(filters, kernel_size, **kwargs)
        self.epsilon = epsilon

    def add_weight(self, *args: Any, **kwargs: Any) -> Any:
        """Create a variable; the kernel is not cast to the compute dtype."""
        if kwargs.get("name") == "kernel":
            kwargs["autocast"] = False
        return super().add_weight(*args, **kwargs)

    def standardized_kernel(self) -> Any:
        """Return the kernel that the convolution uses, for deployment in a plain `Conv2D`."""
        return self._standardize(self.kernel)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolve with the standardized kernel."""
        return super().convolution_op(inputs, ops.cast(self._standardize(kernel), self.compute_dtype))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {**super().get_config(), "epsilon": self.epsilon}

    def _standardize(self, kernel: Any) -> Any:
        kernel = ops.cast(kernel, keras.backend.result_type(kernel.dtype, "float32"))
        centred = kernel - ops.mean(kernel, axis=(0, 1, 2), keepdims=True)
        variance = ops.mean(ops.square(centred), axis=(0, 1, 2), keepdims=True)
        return centred / ops.sqrt(variance + self.epsilon)
