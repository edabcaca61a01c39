"""The moments of the outputs of norms, and of the activations behind them."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import keras

from bnzoo.layers.moments import at_least_float32
from bnzoo.tools.health_check.activations import flat
from bnzoo.tools.health_check.placed_norms import PlacedNorm
from bnzoo.tools.passes import Passes, called_instead
from bnzoo.tools.population import Moments, Population, per_channel_moments


class OutputObserver(Passes):
    """Passes of data through a model at inference, which return the moments of the outputs of its norms.

    Args:
        model: A built `keras.Model`.
        placed: The norms.
        in_training: Boolean, whether the batch norms use the statistics of the batch, as in training.
        untraced: Integer, the number of passes before compilation.
    """

    def __init__(self, model: keras.Model, placed: list[PlacedNorm], in_training: bool, untraced: int = 0) -> None:
        super().__init__(model, untraced)
        self._placed, self._in_training = placed, in_training

    def add_to(self, populations: dict[tuple[str, str], Population], x: Any) -> None:
        """Add the moments of a batch, by the name of each norm and the name of a tensor.

        The tensors are `output`, `activation`, and `flat`, which is 1 where the activation is flat and 0 elsewhere.
        """
        for index, calls in self(x).items():
            for tensor, moments in (item for call in calls for item in call.items()):
                populations.setdefault((self._placed[index].name, tensor), Population()).add(*moments)

    def forward(self, x: Any) -> dict[int, list[dict[str, Moments]]]:
        """Return, by the index of each norm and for each of its calls, the moments by the name of the tensor."""
        calls: dict[int, list] = {}
        with ExitStack() as hooks:
            for index, placed in enumerate(self._placed):
                in_training = self._in_training and placed.has_moving_statistics
                call = _observed(placed, in_training, calls.setdefault(index, []))
                hooks.enter_context(called_instead(placed.norm, call))
            self.model(x, training=False)
        return calls


def _observed(placed: PlacedNorm, in_training: bool, calls: list) -> Callable:
    def call(usual: Callable, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if in_training:
            kwargs["training"] = True
        outputs = usual(inputs, *args, **kwargs)
        mask, axis = kwargs.get("mask"), channel_axis(placed.norm)
        values = _values(placed, at_least_float32(outputs))
        calls.append({tensor: per_channel_moments(value, axis, mask) for tensor, value in values.items()})
        return outputs

    return call


def _values(placed: PlacedNorm, x: Any) -> dict[str, Any]:
    if placed.activation is None:
        return {"output": x}
    return {
        "output": x,
        "activation": at_least_float32(placed.activation.call(x)),
        "flat": flat(placed.activation, x),
    }


def channel_axis(norm: Any) -> int:
    """Return the axis of the channels; of several axes that are normalized together, the last."""
    return norm.axis if isinstance(norm.axis, int) else list(norm.axis)[-1]
