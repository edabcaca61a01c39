"""The convolution that normalizes its kernel instead of its output."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="bnzoo")
class WeightStandardizedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`, with the kernel of each filter brought to mean 0 and variance 1 at every call.

    `kernel = (kernel - mean) / sqrt(variance + epsilon)`, mean and variance (the biased one) over the fan-in of each
    filter: height, width and the channels of its group. With it group norm reaches what batch norm reaches at large
    batches. What is trained, saved and regularized is the kernel before. The same function as `StdConv2d` of timm.

    The statistics are taken of the variable itself in float32 at least, whatever the convolution computes in.

    Args:
        filters: Integer, the number of output channels.
        kernel_size: Integer or two, the height and width of the kernel.
        epsilon: Float, added to the variance.
        **kwargs: All further arguments of `keras.layers.Conv2D`, by name.

    Call arguments:
        inputs: Tensor of shape `(batch, height, width, channels)`, or as `data_format` says.

    Returns:
        Tensor of shape `(batch, new_height, new_width, filters)`, or as `data_format` says.

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
        """Creates a variable; the kernel is read as it is stored, not rounded to the compute dtype."""
        if kwargs.get("name") == "kernel":
            kwargs["autocast"] = False
        return super().add_weight(*args, **kwargs)

    def standardized_kernel(self) -> Any:
        """The kernel that the convolution uses: what to put into a plain `Conv2D` to deploy it."""
        return self._standardize(self.kernel)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolves with the standardized kernel."""
        return super().convolution_op(inputs, ops.cast(self._standardize(kernel), self.compute_dtype))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer."""
        return {**super().get_config(), "epsilon": self.epsilon}

    def _standardize(self, kernel: Any) -> Any:
        kernel = ops.cast(kernel, keras.backend.result_type(kernel.dtype, "float32"))
        centred = kernel - ops.mean(kernel, axis=(0, 1, 2), keepdims=True)
        variance = ops.mean(ops.square(centred), axis=(0, 1, 2), keepdims=True)
        return centred / ops.sqrt(variance + self.epsilon)
