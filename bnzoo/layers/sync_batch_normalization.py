"""Batch norm over the batches of all replicas."""

from typing import Any

import keras
from keras import ops

from bnzoo.layers.axes import batch_axes
from bnzoo.layers.batch_statistics import BatchStatistics
from bnzoo.layers.moments import count, representative, total
from bnzoo.layers.moving import move


@keras.saving.register_keras_serializable(package="bnzoo")
class SyncBatchNormalization(BatchStatistics):
    """Batch norm whose statistics in training are those of the batches of all replicas together.

    Under a strategy of `tf.distribute`; without one it is batch norm. `keras.layers.BatchNormalization(synchronized=
    True)` goes back to the statistics of each replica alone when it is given a mask, and takes the variance as a
    difference of large numbers; here it is the mean of squared distances, and a mask counts on every replica.

    Args:
        axis: Integer, the axis of the channels.
        momentum: Float from 0 to 1, what the moving statistics keep of themselves at each step.
        epsilon: Float above 0, added to the variance.
        **kwargs: Further arguments of `keras.layers.BatchNormalization`; not those of renorm.

    Call arguments:
        inputs: Tensor of any rank above 1.
        training: Boolean, whether the statistics of the batches normalize, or the moving ones.
        mask: Boolean tensor of the shape of the inputs without their channels; positions where it is `False` have no
            part in the statistics. Batches that are masked as a whole leave the moving statistics as they are.

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
                "The norm `sync_batch` needs the TensorFlow backend. On JAX use `batch`: under a `keras.distribution` "
                "its statistics are those of the whole batch already. "
                f"Received: norm='sync_batch' on the {keras.backend.backend()} backend"
            )
        super().__init__(axis=axis, momentum=momentum, epsilon=epsilon, **kwargs)
        self.synchronized = True

    def _normalize(self, x: Any, mask: Any) -> Any:
        axes = batch_axes(len(x.shape), self.axis)
        seen = _over_replicas(count(x, mask, axes))
        shift = _common(representative(x, mask, axes), count(x, mask, axes))
        x = x - shift
        mean = _over_replicas(total(x, mask, axes)) / ops.maximum(seen, 1)
        centred = x - mean
        variance = _over_replicas(total(ops.square(centred), mask, axes)) / ops.maximum(seen, 1)
        move(self.moving_mean, shift + mean, self.momentum, seen)
        move(self.moving_variance, variance, self.momentum, seen)
        return centred * ops.rsqrt(variance + self.epsilon)


def _common(shift: Any, seen: Any) -> Any:
    """Return a shift for all replicas: the mean of those of the replicas that have a value."""
    has_value = ops.cast(seen > 0, shift.dtype)
    return _over_replicas(shift * has_value) / ops.maximum(_over_replicas(has_value), 1)


def _over_replicas(x: Any) -> Any:
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    return x if replica is None else replica.all_reduce(tf.distribute.ReduceOp.SUM, x)
