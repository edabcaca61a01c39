"""Muon for convolution and attention kernels too."""

import math
import re
from typing import Any

import keras
from keras import ops

from bnzoo.keras_internals import apply_weight_decay

# the projections of attention from a token to heads, whose kernels have the axes (token, heads, channels of a head)
_TO_HEADS = re.compile(r"(^|/)(query|key|value)/kernel$")


@keras.saving.register_keras_serializable(package="bnzoo")
class Muon(keras.optimizers.Muon):
    """`keras.optimizers.Muon` that treats every kernel as a matrix.

    Keras' Muon updates variables with two axes, and leaves those with more to AdamW: in a convolutional network, all
    but the classifier. Here the kernels of convolutions and of attention are updated by Muon too, as in the original
    implementation. They are flattened to a matrix from inputs to outputs: (height x width x channels in, channels out),
    and (token, heads x channels) or (heads x channels, token) in attention. AdamW updates all other variables
    (biases, gamma and beta, tokens), embeddings, patch embeddings included, and the layers in `exclude_layers`.

    The update has the size of an update of AdamW (`rms_rate`), so that both take the same learning rate and the same
    weight decay, `weight_decay`.

    Args:
        learning_rate: Float. As in `keras.optimizers.Muon`.
        weight_decay: Float, or `None`. The decay of all variables that are not excluded from it.
        **kwargs: Further arguments of `keras.optimizers.Muon`.

    Examples:
    >>> optimizer = bnzoo.optimizers.Muon(1e-3, exclude_layers=["^logits/"])

    Reference:
        - [Jordan et al., 2024: Muon](https://kellerjordan.github.io/posts/muon/)
        - [Liu et al., 2025: Muon is scalable for LLM training](https://arxiv.org/abs/2502.16982)
    """

    def __init__(self, learning_rate: Any = 0.001, weight_decay: float | None = None, **kwargs: Any) -> None:
        kwargs.pop("adam_weight_decay", None)  # it is that of all variables
        super().__init__(learning_rate, weight_decay=weight_decay, adam_weight_decay=weight_decay, **kwargs)

    def build(self, var_list: list[keras.Variable]) -> None:
        """Create the variables of the optimizer."""
        if not self.built:
            self._matrices = [_matrix(variable) for variable in var_list]
        super().build(var_list)

    def _should_use_adamw(self, variable: keras.Variable) -> bool:
        path = variable.path
        if not path.endswith("kernel") or len(variable.shape) < 2:
            return True
        embeds = self.exclude_embeddings and "embedding" in path.lower()
        return embeds or any(re.search(pattern, path) for pattern in self.exclude_layers)

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign_add(m, gradient + (self.momentum - 1) * m)
        gradient = gradient + self.momentum * m if self.nesterov else ops.convert_to_tensor(m)
        matrix = ops.reshape(gradient, self._matrices[self._get_variable_index(variable)])
        update = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, ops.reshape(update, variable.shape))

    def _apply_weight_decay(self, variables: list[keras.Variable]) -> None:
        apply_weight_decay(self, variables)  # that of Keras' Muon fails on several devices


def _matrix(variable: keras.Variable) -> tuple[int, int]:
    """Return the shape of a variable as a matrix from inputs to outputs."""
    shape = tuple(variable.shape)
    split = 1 if _TO_HEADS.search(variable.path) else max(len(shape) - 1, 0)
    return math.prod(shape[:split]), math.prod(shape[split:])
