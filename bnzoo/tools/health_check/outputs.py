"""What the norms of a model give: the moments of their outputs and of those of the activations behind them."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import keras

from bnzoo.layers.moments import at_least_float32
from bnzoo.tools.health_check.activations import flat
from bnzoo.tools.health_check.places import Place
from bnzoo.tools.passes import Passes, called_instead
from bnzoo.tools.population import Moments, Population, per_channel_moments


class OutputObserver(Passes):
    """Passes data through a model at inference and gathers what its norms give.

    Args:
        model: A built `keras.Model`.
        places: The norms.
        of_batch: Boolean, whether the batch norms use the statistics of the batch, as in training.
        untraced: Integer, how many passes are made before they are compiled.
    """

    def __init__(self, model: keras.Model, places: list[Place], of_batch: bool, untraced: int = 0) -> None:
        super().__init__(model, untraced)
        self._places, self._of_batch = places, of_batch

    def add_to(self, populations: dict[tuple[str, str], Population], x: Any) -> None:
        """Takes in a batch, by the name of each norm and what it is that has the moments.

        These are `output`, `activation`, and `flat`: 1 where the activation is flat and 0 elsewhere.
        """
        for index, calls in self(x).items():
            for what, part in (item for call in calls for item in call.items()):
                populations.setdefault((self._places[index].name, what), Population()).add(*part)

    def forward(self, x: Any) -> dict[int, list[dict[str, Moments]]]:
        """By the index of each norm and for each of its calls, the moments by what has them."""
        seen: dict[int, list] = {}
        with ExitStack() as hooks:
            for index, place in enumerate(self._places):
                in_training = self._of_batch and place.of_batch
                call = _watched(place, in_training, seen.setdefault(index, []))
                hooks.enter_context(called_instead(place.norm, call))
            self.model(x, training=False)
        return seen


def _watched(place: Place, in_training: bool, seen: list) -> Callable:
    def call(usual: Callable, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if in_training:
            kwargs["training"] = True
        outputs = usual(inputs, *args, **kwargs)
        mask, axis = kwargs.get("mask"), channel_axis(place.norm)
        values = _values(place, at_least_float32(outputs))
        seen.append({what: per_channel_moments(value, axis, mask) for what, value in values.items()})
        return outputs

    return call


def _values(place: Place, x: Any) -> dict[str, Any]:
    if place.activation is None:
        return {"output": x}
    return {
        "output": x,
        "activation": at_least_float32(place.activation.call(x)),
        "flat": flat(place.activation, x),
    }


def channel_axis(norm: Any) -> int:
    """The axis of the channels; of several that are normalized together, the last."""
    return norm.axis if isinstance(norm.axis, int) else list(norm.axis)[-1]
