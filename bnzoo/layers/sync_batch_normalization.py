"""Synchronized batch norm, over the batches of all replicas."""

from typing import Any

import keras
from keras import ops

from bnzoo.layers.axes import batch_axes
from bnzoo.layers.batch_statistics import BatchStatistics
from bnzoo.layers.moments import count, representative, total
from bnzoo.layers.moving import move


@keras.saving.register_keras_serializable(package="bnzoo")
class SyncBatchNormalization(BatchStatistics):
    """Batch norm with statistics, in training, over the batches of all replicas of a `tf.distribute` strategy.

    Without a strategy it is batch norm. `keras.layers.BatchNormalization(synchronized=True)` uses the statistics of
    each replica alone if there is a mask, and computes the variance as a difference of large numbers. Here the variance
    is the mean of squared distances, and a mask applies on every replica.

    Args:
        axis: Integer, the axis of the channels.
        momentum: Float from 0 to 1, the weight of the former moving statistics in each update.
        epsilon: Float above 0, added to the variance.
        **kwargs: Further arguments of `keras.layers.BatchNormalization`; not those of renorm.

    Call arguments:
        inputs: Tensor of any rank above 1.
        training: Boolean, whether to normalize by the statistics of the batches or by the moving statistics.
        mask: Boolean tensor of the shape of the inputs without their channels; positions where it is `False` are left
            out of the statistics. Batches that are masked as a whole do not change the moving statistics.

    Returns:
        Tensor of the shape of the input.

    Raises:
        ValueError: If the backend is not TensorFlow, or an argument is out of range or does not apply.

    Reference:
        - [Peng et al., 2018: MegDet](https://arxiv.org/abs/1711.07240), section 3.2
    """

    def __init__(self, axis: int = -1, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs: Any) -> None:
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                "The norm `sync_batch` needs the TensorFlow backend. On JAX use `batch`: with a `keras.distribution`, "
                "its statistics are those of the whole batch. "
                f"Received: norm='sync_batch' on the {keras.backend.backend()} backend"
            )
        super().__init__(axis=axis, momentum=momentum, epsilon=epsilon, **kwargs)
        self.synchronized = True

    def _normalize(self, x: Any, mask: Any) -> Any:
        axes = batch_axes(len(x.shape), self.axis)
        value_count = _over_replicas(count(x, mask, axes))
        shift = _common(representative(x, mask, axes), count(x, mask, axes))
        x = x - shift
        mean = _over_replicas(total(x, mask, axes)) / ops.maximum(value_count, 1)
        centred = x - mean
        variance = _over_replicas(total(ops.square(centred), mask, axes)) / ops.maximum(value_count, 1)
        move(self.moving_mean, shift + mean, self.momentum, value_count)
        move(self.moving_variance, variance, self.momentum, value_count)
        return centred * ops.rsqrt(variance + self.epsilon)


def _common(shift: Any, value_count: Any) -> Any:
    """Return one shift for all replicas, the mean of the shifts of replicas with a value."""
    has_value = ops.cast(value_count > 0, shift.dtype)
    return _over_replicas(shift * has_value) / ops.maximum(_over_replicas(has_value), 1)


def _over_replicas(x: Any) -> Any:
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    return x if replica is None else replica.all_reduce(tf.distribute.ReduceOp.SUM, x)
