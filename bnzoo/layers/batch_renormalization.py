"""Batch renormalization."""

from typing import Any

import keras
from keras import ops

from bnzoo.layers.arguments import check
from bnzoo.layers.axes import batch_axes, per_channel
from bnzoo.layers.batch_statistics import BatchStatistics
from bnzoo.layers.moments import count, moments
from bnzoo.layers.moving import move


@keras.saving.register_keras_serializable(package="bnzoo")
class BatchRenormalization(BatchStatistics):
    """Batch norm, corrected in training towards moving statistics: `x_hat * r + d` instead of `x_hat`.

    `r` is the standard deviation of the batch over the moving one, between `1 / rmax` and `rmax`. `d` is the mean of
    the batch minus the moving one, over the moving standard deviation, between `-dmax` and `dmax`. No gradient flows
    through either. Without the limits, each example would be normalized as at inference, independently of its batch.

    The limits follow a schedule: `rmax` and `dmax` are 1 and 0 up to their first step, which is batch norm, and grow
    linearly to their final values at their last step. The defaults are those of the paper for ImageNet: a training of
    fewer than 5,000 steps is batch norm unless earlier steps are given.

    `keras.layers.BatchNormalization(renorm=True)` has no such schedule. It has a moving standard deviation of inference
    in addition to the moving variance, and the two can differ: the next training step undoes a tool that sets the
    variance. This layer takes the square root of the variance, and has the weight `steps` instead, so that both have
    five values for each channel. Steps are counted per channel, as the age of the averages of this channel.

    Args:
        axis: Integer, the axis of the channels.
        momentum: Float from 0 to 1, what the moving statistics of inference keep of themselves at each step.
        epsilon: Float above 0, added to the variance.
        renorm_momentum: Float from 0 to 1, the same weight for the moving statistics of training.
        rmax: Float from 1, the limit of `r` after its last step.
        dmax: Float from 0, the limit of `d` after its last step.
        rmax_steps: Two integers, the steps between which `rmax` grows.
        dmax_steps: Two integers, the steps between which `dmax` grows.
        **kwargs: Further arguments of `keras.layers.BatchNormalization`; not `synchronized`, `renorm` or
            `renorm_clipping`.

    Call arguments:
        inputs: Tensor of any rank above 1.
        training: Boolean, whether to normalize by the corrected statistics of the batch or by the moving statistics.
        mask: Boolean tensor of the shape of the inputs without their channels; positions where it is `False` are left
            out of the statistics. A batch that is masked as a whole does not change the moving statistics.

    Returns:
        Tensor of the shape of the input.

    Raises:
        ValueError: If an argument is out of range or does not apply.

    Examples:
    >>> layer = bnzoo.layers.BatchRenormalization(rmax_steps=(100, 400), dmax_steps=(100, 300))
    >>> layer(keras.ops.ones((4, 3)), training=True).shape
    (4, 3)

    Reference:
        - [Ioffe, 2017: Batch renormalization](https://arxiv.org/abs/1702.03275), algorithm 1; section 4.2 has the steps
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        renorm_momentum: float = 0.99,
        rmax: float = 3.0,
        dmax: float = 5.0,
        rmax_steps: tuple[int, int] = (5_000, 40_000),
        dmax_steps: tuple[int, int] = (5_000, 25_000),
        **kwargs: Any,
    ) -> None:
        super().__init__(axis=axis, momentum=momentum, epsilon=epsilon, **kwargs)
        self.renorm_momentum = check("renorm_momentum", renorm_momentum)
        self.rmax = check("rmax", rmax)
        self.dmax = check("dmax", dmax)
        self.rmax_steps = check("rmax_steps", rmax_steps)
        self.dmax_steps = check("dmax_steps", dmax_steps)

    def build(self, input_shape: tuple) -> None:
        """Create `gamma`, `beta`, the moving statistics of inference and of training, and the count of steps."""
        super().build(input_shape)
        shape = (input_shape[self.axis],)
        self.renorm_mean = self._statistic("renorm_mean", shape, "zeros")
        self.renorm_stddev = self._statistic("renorm_stddev", shape, "ones")
        # in float32 under any dtype policy, since bfloat16 counts only to 256
        self.steps = self._statistic("steps", shape, "zeros", dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return {
            **super().get_config(),
            "renorm_momentum": self.renorm_momentum,
            "rmax": self.rmax,
            "dmax": self.dmax,
            "rmax_steps": self.rmax_steps,
            "dmax_steps": self.dmax_steps,
        }

    def follow_moving_statistics(self) -> None:
        """Set the moving statistics of training to those of inference, after the weights of a trained batch norm."""
        self.renorm_mean.assign(self.moving_mean)
        self.renorm_stddev.assign(ops.sqrt(ops.convert_to_tensor(self.moving_variance) + self.epsilon))

    def _statistic(self, name: str, shape: tuple, initializer: str, dtype: str | None = None) -> Any:
        return self.add_weight(
            shape=shape, name=name, initializer=initializer, dtype=dtype, trainable=False, autocast=False
        )

    def _normalize(self, x: Any, mask: Any) -> Any:
        axes = batch_axes(len(x.shape), self.axis)
        mean, variance = moments(x, mask, axes)
        deviation = ops.sqrt(variance + self.epsilon)

        usual_mean = per_channel(self.renorm_mean, x, self.axis)
        usual_deviation = ops.maximum(per_channel(self.renorm_stddev, x, self.axis), self.epsilon**0.5)
        rmax = 1 + (self.rmax - 1) * self._relaxed(x, self.rmax_steps)
        dmax = self.dmax * self._relaxed(x, self.dmax_steps)
        r = ops.stop_gradient(_between(deviation / usual_deviation, 1 / rmax, rmax))
        d = ops.stop_gradient(_between((mean - usual_mean) / usual_deviation, -dmax, dmax))

        self._move_all(mean, deviation, count(x, mask, axes))
        return (x - mean) / deviation * r + d

    def _relaxed(self, x: Any, first_and_last: list[int]) -> Any:
        """Return the progress of a limit from its first to its last step, from 0 to 1."""
        first, last = first_and_last
        done = per_channel(self.steps, x, self.axis)
        if first == last:
            return ops.cast(done >= first, x.dtype)
        return _between((done - first) / (last - first), 0, 1)

    def _move_all(self, mean: Any, deviation: Any, value_count: Any) -> None:
        move(self.renorm_mean, mean, self.renorm_momentum, value_count)
        move(self.renorm_stddev, deviation, self.renorm_momentum, value_count)
        move(self.moving_mean, mean, self.momentum, value_count)
        # the paper averages the standard deviation; rounding must not make a variance negative
        usual = ops.sqrt(per_channel(self.moving_variance, deviation, self.axis) + self.epsilon)
        moved = self.momentum * usual + (1 - self.momentum) * deviation
        move(self.moving_variance, ops.maximum(ops.square(moved) - self.epsilon, 0), 0, value_count)
        self.steps.assign(self.steps + ops.cast(ops.reshape(value_count, (-1,)) > 0, self.steps.dtype))


def _between(x: Any, least: Any, most: Any) -> Any:
    return ops.minimum(ops.maximum(x, least), most)
