"""Batch norm with the noise of small batches, at any batch size."""

from typing import Any

import keras
from keras import ops

from bnzoo.layers.arguments import check
from bnzoo.layers.axes import position_axes
from bnzoo.layers.batch_statistics import BatchStatistics
from bnzoo.layers.moments import count, representative, total
from bnzoo.layers.moving import move


@keras.saving.register_keras_serializable(package="bnzoo")
class GhostBatchNormalization(BatchStatistics):
    """Batch norm in which each run of `batch` examples, a ghost batch, is normalized by its own statistics.

    So in training; at inference the moving statistics normalize, as in batch norm. A batch may have any size, also one
    that is unknown when a function is traced: the last ghost batch is what is left over, normalized by the mean and
    variance of exactly its own examples. (One example alone in it, without positions, is normalized to 0, as by batch
    norm.)

    The moving statistics follow the mean and the variance of the whole batch, once a call, as in batch norm; computed
    from those of the ghost batches, weighted by their sizes, the variance of their means included. The variance within
    ghost batches alone would be too small by `(batch - 1) / batch`, a half at `batch=2`. Algorithm 1 of the paper takes
    a step per ghost batch instead, in their order, with weights that do not add up to one, and with the same step for a
    last ghost batch of a single example; what is here depends neither on the order nor on the remainder, and a batch
    that fits in one ghost batch makes plain batch norm.

    Args:
        batch: Integer, the number of examples in a ghost batch.
        axis: Integer, the axis of the channels.
        momentum: Float from 0 to 1, what the moving statistics keep of themselves at each step.
        epsilon: Float above 0, added to the variance.
        **kwargs: Further arguments of `keras.layers.BatchNormalization`; not `synchronized` or those of renorm.

    Call arguments:
        inputs: Tensor of any rank above 1, the examples along the first axis.
        training: Boolean, whether the ghost batches normalize, or the moving statistics.
        mask: Boolean tensor of the shape of the inputs without their channels; positions where it is `False` have no
            part in the statistics. A batch that is masked as a whole leaves the moving statistics as they are.

    Returns:
        Tensor of the shape of the input.

    Raises:
        ValueError: If `batch` is not a positive integer, `momentum` or `epsilon` are out of range, or an argument does
            not apply.

    Examples:
    >>> bnzoo.layers.GhostBatchNormalization(batch=16)(keras.ops.ones((40, 3)), training=True).shape
    (40, 3)

    Reference:
        - [Hoffer et al., 2017: Train longer, generalize better](https://arxiv.org/abs/1705.08741), section 4
    """

    def __init__(
        self, batch: int = 32, axis: int = -1, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs: Any
    ) -> None:
        super().__init__(axis=axis, momentum=momentum, epsilon=epsilon, **kwargs)
        self.batch = check("batch", batch)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer."""
        return {**super().get_config(), "batch": self.batch}

    def _normalize(self, x: Any, mask: Any) -> Any:
        positions = position_axes(len(x.shape), self.axis)
        shift = representative(x, mask, [0, *positions])
        x = x - shift
        sums = total(x, mask, positions)
        counts = ops.broadcast_to(count(x, mask, positions), ops.shape(sums))
        ghost_counts = ops.maximum(self._over_ghosts(counts), 1)
        mean = self._over_ghosts(sums) / ghost_counts
        centred = x - mean
        variance = self._over_ghosts(total(ops.square(centred), mask, positions)) / ghost_counts

        seen = ops.sum(counts, axis=0, keepdims=True)
        shares = counts / ops.maximum(seen, 1)
        batch_mean = ops.sum(shares * mean, axis=0, keepdims=True)
        batch_variance = ops.sum(shares * (variance + ops.square(mean - batch_mean)), axis=0, keepdims=True)
        move(self.moving_mean, shift + batch_mean, self.momentum, seen)
        move(self.moving_variance, batch_variance, self.momentum, seen)
        return centred * ops.rsqrt(variance + self.epsilon)

    def _over_ghosts(self, values: Any) -> Any:
        """For each example the sum over its ghost batch; only values without positions are padded, so it is cheap."""
        size, rest = ops.shape(values)[0], tuple(values.shape[1:])
        # a ghost batch that is larger than the batch would only be padding
        known = isinstance(size, int)
        ghost = max(min(self.batch, size), 1) if known else ops.maximum(ops.minimum(size, self.batch), 1)
        padding = -size % ghost
        padded = ops.concatenate([values, ops.zeros((padding, *rest), values.dtype)])
        ghosts = ops.reshape(padded, ((size + padding) // ghost, ghost, *rest))
        sums = ops.broadcast_to(ops.sum(ghosts, axis=1, keepdims=True), ops.shape(ghosts))
        return ops.reshape(sums, (size + padding, *rest))[:size]
