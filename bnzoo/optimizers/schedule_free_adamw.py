"""Schedule-free AdamW with the updates of its paper."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="bnzoo")
class ScheduleFreeAdamW(keras.optimizers.ScheduleFreeAdamW):
    """`keras.optimizers.ScheduleFreeAdamW` with the updates of the paper.

    On TensorFlow, the `update_step` of Keras 3.15 recovers the average from a point that it has already updated. Here
    the steps are those of the paper: a point z follows the gradient at y, x is the average of the points z, weighted by
    the squares of their learning rates, and the weights of the model are `y = (1 - beta_1) z + beta_1 x`. Weight decay
    is part of the update of z.

    A model is trained at y and evaluated at x, by `bnzoo.train` and in studies. The first step begins at the weights
    that the model then has.

    Args:
        learning_rate: Float. As in `keras.optimizers.ScheduleFreeAdamW`.
        **kwargs: Further arguments of `keras.optimizers.ScheduleFreeAdamW`.

    Reference:
        - [Defazio et al., 2024: The road less scheduled](https://arxiv.org/abs/2405.15682), algorithm 1
    """

    def build(self, var_list: list[keras.Variable]) -> None:
        """Create the variables of the optimizer."""
        if self.built:
            return
        super().build(var_list)
        self._weight_sum = self.add_variable((), aggregation="only_first_replica", name="weight_sum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update a variable, its point z and its second moment."""
        index = self._get_variable_index(variable)
        velocity, rate = self._velocities[index], self._warm(learning_rate)
        gradient, y = ops.cast(gradient, variable.dtype), ops.convert_to_tensor(variable)
        z = ops.where(ops.equal(self.iterations, 0), y, ops.convert_to_tensor(self._momentums[index]))
        x = (y - (1 - self.beta_1) * z) / self.beta_1

        step = ops.cast(self.iterations + 1, variable.dtype)
        self.assign_add(velocity, (1 - self.beta_2) * (ops.square(gradient) - velocity))
        corrected = ops.convert_to_tensor(velocity) / (1 - ops.power(self.beta_2, step))
        update = gradient / (ops.sqrt(corrected) + self.epsilon)
        if self.weight_decay and self._use_weight_decay(variable):
            update = update + self.weight_decay * y
        z = z - rate * update
        x = x + ops.divide_no_nan(ops.square(rate), ops.convert_to_tensor(self._weight_sum)) * (z - x)
        self.assign(self._momentums[index], z)
        self.assign(variable, (1 - self.beta_1) * z + self.beta_1 * x)

    def _warm(self, learning_rate: Any) -> Any:
        """Return the learning rate of the step, in the warm-up of `warmup_steps` too."""
        rate = ops.cast(learning_rate, "float32")
        if self.warmup_steps:
            rate = rate * ops.minimum(ops.cast(self.iterations + 1, "float32") / self.warmup_steps, 1.0)
        return rate

    def _apply_weight_decay(self, variables: list[keras.Variable]) -> None:
        """Add the square of the learning rate to the sum. Keras calls this once before the updates of a step.

        Weight decay is part of the updates.
        """
        self._weight_sum.assign_add(ops.square(self._warm(self.learning_rate)))
