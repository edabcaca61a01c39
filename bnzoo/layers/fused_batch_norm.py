"""TensorFlow's batch norm of training in one kernel: where it applies and pays, and its call."""

from typing import Any

import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext  # there is no public way to ask

_DTYPES = (tf.float32, tf.float16, tf.bfloat16)


def applies(x: Any, axis: int) -> bool:
    """Whether the kernel can normalize a tensor and is the better way.

    A GPU has it for up to 5 axes with the channels first or last. On a CPU the plain operations are faster for vectors
    and with the channels first (`recipes.benchmarks.batch_norm`). XLA has no kernel: what it writes out is no faster
    than the plain operations, and loses the variance where the mean is far from 0, as a difference of large numbers.

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
    """A tensor normalized by the statistics of the batch, and these: the mean and the biased variance, in float32.

    Args:
        x: Tensor to which the kernel `applies`.
        gamma: Tensor with a value for each channel; `None` for ones.
        beta: Tensor with a value for each channel; `None` for zeros.
        axis: Integer, the axis of the channels.
        epsilon: Float, added to the variance.
        channels: Integer, how many there are, which the shape of the tensor need not tell.
    """
    images, data_format = _as_images(x, axis, channels)
    unused = tf.constant((), tf.float32)
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=images,
        scale=tf.ones(channels) if gamma is None else tf.cast(gamma, tf.float32),
        offset=tf.zeros(channels) if beta is None else tf.cast(beta, tf.float32),
        mean=unused,
        variance=unused,
        epsilon=epsilon,
        data_format=data_format,
    )
    # the kernel divides the squared distances by one value less than there are; of a single value they are 0
    values = tf.cast(tf.size(x, out_type=tf.int64), tf.float32) / channels
    return y if images is x else tf.reshape(y, tf.shape(x)), mean, variance * (1 - 1 / values)


def _as_images(x: Any, axis: int, channels: int) -> tuple[Any, str]:
    """The tensor with four axes, and the place of its channels in the kernel's word."""
    rank = x.shape.rank
    if axis % rank == rank - 1:
        return x if rank == 4 else tf.reshape(x, (1, -1, 1, channels)), "NHWC"
    return x if rank == 4 else tf.reshape(x, (tf.shape(x)[0], channels, -1, 1)), "NCHW"
