"""TensorFlow's kernel for batch norm in training."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext  # there is no public function for it

from bnzoo.layers.moments import representative

_DTYPES = (tf.float32, tf.float16, tf.bfloat16)
_DEVICES = ("CPU", "GPU")
# half of the distance from 1 to the next float32
_ROUNDING = 2.0**-24


def applies(x: Any, axis: int) -> bool:
    """Return whether the kernel can normalize a tensor, and is faster than plain operations.

    On a GPU it applies to up to 5 axes with the channels first or last. On a CPU the plain operations are faster for
    vectors and with the channels first (`recipes.benchmarks.batch_norm`). XLA has no kernel: its replacement is no
    faster than the plain operations, and computes the variance as a difference of large numbers if the mean is far from
    0.

    Args:
        x: Tensor.
        axis: Integer, the axis of the channels.
    """
    rank = x.shape.rank
    if x.dtype not in _DTYPES or rank is None or rank > 5 or axis % rank not in (1, rank - 1):
        return False
    if GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
        return False
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    return has_gpu or (axis % rank == rank - 1 and rank > 2)


def normalize(x: Any, gamma: Any, beta: Any, axis: int, epsilon: float, channels: int) -> tuple[Any, Any, Any]:
    """Return a tensor normalized by the statistics of the batch, with their mean and biased variance.

    If rounding may have spoilt the variance, the tensor is normalized again after one of its values is subtracted.

    Args:
        x: Tensor to which the kernel `applies`.
        gamma: Tensor with a value for each channel; `None` for ones.
        beta: Tensor with a value for each channel; `None` for zeros.
        axis: Integer, the axis of the channels.
        epsilon: Float, added to the variance.
        channels: Integer, the number of channels, which may be unknown in the shape of the tensor.
    """
    images, data_format = _as_images(x, axis, channels)
    axes = [0, 1, 2] if data_format == "NHWC" else [0, 2, 3]
    values = tf.cast(tf.size(x, out_type=tf.int64), tf.float32) / channels
    options = {"epsilon": epsilon, "data_format": data_format}

    @tf.custom_gradient
    def normalized(images: Any, scale: Any, offset: Any) -> tuple[tuple, Callable]:
        def kernel(images: Any) -> tuple:
            unused = tf.constant((), tf.float32)
            return tuple(
                tf.raw_ops.FusedBatchNormV3(
                    x=images, scale=scale, offset=offset, mean=unused, variance=unused, **options
                )
            )

        def shifted() -> tuple:
            shift = representative(images, None, axes)
            y, mean, *rest = kernel(images - shift)
            return y, mean + tf.reshape(tf.cast(shift, tf.float32), (-1,)), *rest

        made = kernel(images)
        again = _must_shift(made[1], made[2], values)
        y, mean, variance, *reserved = tf.cond(again, shifted, lambda: made)

        def gradients(by_y: Any, *_: Any) -> tuple:  # no gradient flows through the moving statistics
            spaces = {f"reserve_space_{number}": space for number, space in enumerate(reserved, 1)}
            inputs = tf.cond(again, lambda: images - representative(images, None, axes), lambda: images)
            made = tf.raw_ops.FusedBatchNormGradV3(y_backprop=by_y, x=inputs, scale=scale, **spaces, **options)
            return tuple(made[:3])

        return (y, mean, variance), gradients

    y, mean, variance = normalized(
        images,
        tf.ones(channels) if gamma is None else tf.cast(gamma, tf.float32),
        tf.zeros(channels) if beta is None else tf.cast(beta, tf.float32),
    )
    # the kernel divides the sum of squares by the number of values minus 1; for a single value it is 0
    variance = tf.maximum(variance, 0.0) * (1 - 1 / values)  # with rounding, XLA's may be below 0
    return y if images is x else tf.reshape(y, tf.shape(x)), mean, variance


def _must_shift(mean: Any, variance: Any, values: Any) -> Any:
    """Return whether rounding may have spoilt a variance, as a boolean tensor.

    On a CPU the kernel adds up the values of a channel one after another, so that the rounding error of the mean may
    grow with their number. (On a GPU every layer would have to wait for the answer.) Under XLA the variance is a
    difference of large numbers. A function may be traced without XLA and compiled by it later, as a part of another
    function: this is decided when it runs.
    """
    in_xla = tf.raw_ops.DeviceIndex(device_names=_DEVICES) == len(_DEVICES)  # under XLA no device has an index
    if tf.config.list_physical_devices("GPU"):
        return in_xla
    return in_xla | tf.reduce_any(tf.square(4 * _ROUNDING * values * mean) > variance)


def _as_images(x: Any, axis: int, channels: int) -> tuple[Any, str]:
    """Return the tensor with four axes, and its data format in the kernel's notation."""
    rank = x.shape.rank
    if axis % rank == rank - 1:
        return x if rank == 4 else tf.reshape(x, (1, -1, 1, channels)), "NHWC"
    return x if rank == 4 else tf.reshape(x, (tf.shape(x)[0], channels, -1, 1)), "NCHW"
