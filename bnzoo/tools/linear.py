"""Scales and shifts of channels, folded into the weights of a linear layer."""

from typing import Any

import keras
import numpy as np

from bnzoo.keras_internals import output_shape

L = keras.layers
# by name, in float64
Weights = dict[str, np.ndarray]


class _Plain:
    """Dense layers and convolutions, grouped ones too: a kernel of shape `(..., inputs of a group, outputs)`."""

    kernels: tuple[str, ...] = ("kernel",)

    def scale_outputs(self, weights: Weights, scale: np.ndarray) -> None:
        weights[self.kernels[-1]] *= scale

    def scale_inputs(self, weights: Weights, scale: np.ndarray, shift: np.ndarray) -> None:
        kernel = weights["kernel"]
        weights["bias"] += (kernel * self._spread(kernel, shift)).reshape(-1, kernel.shape[-1]).sum(0)
        kernel *= self._spread(kernel, scale)

    @staticmethod
    def _spread(kernel: np.ndarray, values: np.ndarray) -> np.ndarray:
        inputs, outputs = kernel.shape[-2:]
        groups = len(values) // inputs
        return np.repeat(values.reshape(groups, inputs).T, outputs // groups, axis=1)


class _Transposed(_Plain):
    """Transposed convolutions: `(..., outputs, inputs)`."""

    def scale_outputs(self, weights: Weights, scale: np.ndarray) -> None:
        weights["kernel"] *= scale[:, None]

    def scale_inputs(self, weights: Weights, scale: np.ndarray, shift: np.ndarray) -> None:
        kernel = weights["kernel"]
        weights["bias"] += (kernel @ shift).reshape(-1, kernel.shape[-2]).sum(0)
        kernel *= scale


class _Depthwise(_Plain):
    """Depthwise convolutions: `(..., inputs, multiplier)`, the outputs of an input side by side."""

    def scale_outputs(self, weights: Weights, scale: np.ndarray) -> None:
        weights["kernel"] *= scale.reshape(weights["kernel"].shape[-2:])

    def scale_inputs(self, weights: Weights, scale: np.ndarray, shift: np.ndarray) -> None:
        weights["bias"] += self._of_constant(weights["kernel"], shift)
        weights["kernel"] *= scale[:, None]

    @staticmethod
    def _of_constant(kernel: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return the output for an input that is constant in each channel."""
        each = kernel * values[:, None]
        return each.reshape(-1, *kernel.shape[-2:]).sum(0).ravel()


class _Separable(_Depthwise):
    """A depthwise convolution and a pointwise one."""

    kernels = ("depthwise_kernel", "pointwise_kernel")

    def scale_outputs(self, weights: Weights, scale: np.ndarray) -> None:
        weights["pointwise_kernel"] *= scale

    def scale_inputs(self, weights: Weights, scale: np.ndarray, shift: np.ndarray) -> None:
        pointwise = weights["pointwise_kernel"]
        between = self._of_constant(weights["depthwise_kernel"], shift)
        weights["bias"] += between @ pointwise.reshape(-1, pointwise.shape[-1])
        weights["depthwise_kernel"] *= scale[:, None]


# by the exact type: a subclass may do anything with its kernel
_KINDS: dict[type, _Plain] = {
    **dict.fromkeys((L.Dense, L.Conv1D, L.Conv2D, L.Conv3D), _Plain()),
    **dict.fromkeys((L.Conv1DTranspose, L.Conv2DTranspose, L.Conv3DTranspose), _Transposed()),
    **dict.fromkeys((L.DepthwiseConv1D, L.DepthwiseConv2D), _Depthwise()),
    **dict.fromkeys((L.SeparableConv1D, L.SeparableConv2D), _Separable()),
}


def is_linear(layer: Any) -> bool:
    """Return whether a layer is a dense layer or a convolution of Keras, of any kind."""
    return type(layer) in _KINDS


def has_own_kernel(layer: keras.Layer) -> bool:
    """Return whether a layer uses the kernel that it stores, which is neither quantized nor extended by LoRA."""
    return not (getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None))


def treats_positions_alike(layer: keras.Layer) -> bool:
    """Return whether a constant input has a constant output: no padding, no position with fewer taps."""
    if isinstance(layer, L.Dense):
        return True
    pointwise = all(size == 1 for size in layer.kernel_size)
    if isinstance(_KINDS[type(layer)], _Transposed):
        return pointwise and all(stride == 1 for stride in layer.strides)
    return pointwise or layer.padding == "valid"


class Folded:
    """The weights of a linear layer in float64, into which scales and shifts are folded.

    Args:
        layer: A layer for which `is_linear` is true.
    """

    def __init__(self, layer: keras.Layer) -> None:
        self._layer, self._kind = layer, _KINDS[type(layer)]
        self._weights = {name: _float64(getattr(layer, name)) for name in self._kind.kernels}
        if layer.use_bias:
            self._weights["bias"] = _float64(layer.bias)

    @property
    def has_bias(self) -> bool:
        """`True` if the layer has a bias, or gets one by a shift."""
        return "bias" in self._weights

    def then(self, scale: np.ndarray, shift: np.ndarray | None) -> None:
        """Fold in a scale and a shift of the outputs: `scale * y + shift`. Without a shift, no bias is added."""
        self._kind.scale_outputs(self._weights, scale)
        if self.has_bias or shift is not None:
            self._weights["bias"] = self._weights.get("bias", 0) * scale + (0 if shift is None else shift)

    def after(self, scale: np.ndarray, shift: np.ndarray) -> None:
        """Fold in a scale and a shift of the inputs: `scale * x + shift`."""
        if "bias" not in self._weights:
            self._weights["bias"] = np.zeros(_outputs(self._layer))
        self._kind.scale_inputs(self._weights, scale, shift)

    def assign_to(self, layer: keras.Layer) -> None:
        """Assign the weights to a layer, cast once."""
        for name, value in self._weights.items():
            getattr(layer, name).assign(value)


def _float64(variable: Any) -> np.ndarray:
    return np.asarray(variable).astype(np.float64)


def _outputs(layer: keras.Layer) -> int:
    shape = output_shape(layer)
    return shape[channels_of(layer, shape)]


def channels_of(layer: keras.Layer, shape: tuple) -> int:
    """Return the axis of the channels in the shape of an input or output of a layer."""
    return 1 if getattr(layer, "data_format", None) == "channels_first" else len(shape) - 1
