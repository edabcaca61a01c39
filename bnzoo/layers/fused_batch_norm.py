"""TensorFlow's batch norm in one kernel: where it applies and pays, and its call."""

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext  # there is no public way to ask

_NOTHING = np.empty(0, np.float32)  # for moving statistics that the kernel does not use
_DTYPES = (tf.float32, tf.float16, tf.bfloat16)


def applies(x: Any, axis: int, training: bool) -> bool:
    """Whether the kernel can normalize a tensor and is the faster way.

    A GPU has it for up to 5 axes with the channels first or last. On a CPU the plain operations win for vectors, with
    the channels first, and at inference but for 16 bits, which they cast up (`recipes.benchmarks.batch_norm`). XLA has
    no kernel: what it writes out is no faster than the plain operations, and takes the variance as the difference of
    two large numbers where the mean is far from 0.

    Args:
        x: Tensor.
        axis: Integer, the axis of the channels.
        training: Boolean, whether the statistics are those of the batch.
    """
    rank = x.shape.rank
    if x.dtype not in _DTYPES or rank is None or rank > 5 or axis % rank not in (1, rank - 1):
        return False
    if GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
        return False
    if tf.config.list_physical_devices("GPU"):
        return True
    return axis % rank == rank - 1 and rank > 2 and (training or x.dtype != tf.float32)


def normalize(
    x: Any, weights: tuple[Any, Any], statistics: tuple[Any, Any], axis: int, epsilon: float, training: bool
) -> tuple[Any, Any, Any]:
    """A normalized tensor, with the mean and the biased variance of the batch.

    Args:
        x: Tensor to which the kernel `applies`.
        weights: Two tensors with a value for each channel, gamma and beta; `None` for ones and zeros.
        statistics: Two tensors with a value for each channel, the moving mean and variance, which `training` ignores.
        axis: Integer, the axis of the channels.
        epsilon: Float, added to the variance.
        training: Boolean, whether the statistics are those of the batch.
    """
    channels = statistics[0].shape[0]  # which the shape of the input need not tell
    images, data_format = _as_images(x, axis, channels)
    gamma, beta = weights
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=images,
        scale=tf.ones(channels) if gamma is None else tf.cast(gamma, tf.float32),
        offset=tf.zeros(channels) if beta is None else tf.cast(beta, tf.float32),
        mean=_NOTHING if training else tf.cast(statistics[0], tf.float32),
        variance=_NOTHING if training else tf.cast(statistics[1], tf.float32),
        epsilon=epsilon,
        data_format=data_format,
        is_training=training,
    )
    if training:
        # the kernel divides the squared distances by one value less than there are; of a single value they are 0
        variance *= 1 - channels / tf.cast(tf.size(x), tf.float32)
    return y if images is x else tf.reshape(y, tf.shape(x)), mean, variance


def _as_images(x: Any, axis: int, channels: int) -> tuple[Any, str]:
    """The tensor with four axes, and the place of its channels in the kernel's word."""
    rank = len(x.shape)
    if axis % rank == rank - 1:
        return x if rank == 4 else tf.reshape(x, (1, -1, 1, channels)), "NHWC"
    return x if rank == 4 else tf.reshape(x, (tf.shape(x)[0], channels, -1, 1)), "NCHW"
