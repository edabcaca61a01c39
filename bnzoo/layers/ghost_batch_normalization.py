"""Ghost batch norm: the noise of small batches at any batch size."""

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
    """Batch norm in which `batch` consecutive examples, a ghost batch, are normalized by their own statistics.

    This is the function in training. At inference the moving statistics normalize, as in batch norm. A batch may have
    any size, also one that is unknown when a function is traced: the last ghost batch has the remaining examples, and
    is normalized by exactly their mean and variance. (A single example without positions is normalized to 0, as in
    batch norm.)

    The moving statistics are updated once in each call, by the mean and the variance of the whole batch, as in batch
    norm. They are computed from those of the ghost batches, weighted by size, and include the variance of the means.
    The variance within ghost batches alone would be too small by `(batch - 1) / batch`, a half at `batch=2`. Algorithm
    1 of the paper makes one update for each ghost batch instead, in their order, with weights that do not add up to
    one, and with the full weight for a last ghost batch of a single example. The updates here depend neither on the
    order nor on the remainder, and a batch that fits in one ghost batch gets plain batch norm.

    Args:
        batch: Integer, the number of examples in a ghost batch.
        axis: Integer, the axis of the channels.
        momentum: Float from 0 to 1, the weight of the former moving statistics in each update.
        epsilon: Float above 0, added to the variance.
        **kwargs: Further arguments of `keras.layers.BatchNormalization`; not `synchronized` or those of renorm.

    Call arguments:
        inputs: Tensor of any rank above 1, the examples along the first axis.
        training: Boolean, whether to normalize by the statistics of ghost batches or by the moving statistics.
        mask: Boolean tensor of the shape of the inputs without their channels; positions where it is `False` are left
            out of the statistics. A batch that is masked as a whole does not change the moving statistics.

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
        """Return the arguments of the layer."""
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

        value_count = ops.sum(counts, axis=0, keepdims=True)
        shares = counts / ops.maximum(value_count, 1)
        batch_mean = ops.sum(shares * mean, axis=0, keepdims=True)
        batch_variance = ops.sum(shares * (variance + ops.square(mean - batch_mean)), axis=0, keepdims=True)
        move(self.moving_mean, shift + batch_mean, self.momentum, value_count)
        move(self.moving_variance, batch_variance, self.momentum, value_count)
        return centred * ops.rsqrt(variance + self.epsilon)

    def _over_ghosts(self, values: Any) -> Any:
        """Return for each example the sum over its ghost batch.

        The padding is cheap, since the values have no positions.
        """
        size, rest = ops.shape(values)[0], tuple(values.shape[1:])
        # a ghost batch that is larger than the batch would only be padding
        known = isinstance(size, int)
        ghost = max(min(self.batch, size), 1) if known else ops.maximum(ops.minimum(size, self.batch), 1)
        padding = -size % ghost
        padded = ops.concatenate([values, ops.zeros((padding, *rest), values.dtype)])
        ghosts = ops.reshape(padded, ((size + padding) // ghost, ghost, *rest))
        sums = ops.broadcast_to(ops.sum(ghosts, axis=1, keepdims=True), ops.shape(ghosts))
        return ops.reshape(sums, (size + padding, *rest))[:size]
