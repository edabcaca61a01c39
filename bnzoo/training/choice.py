"""The choice of the weights of a training, by their losses on the validation data."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from bnzoo.keras_internals import compile_arguments
from bnzoo.tools.population import NotFiniteError
from bnzoo.training.variables import assign, values_of

# the name of the weights of a trial, as a choice
TRIAL = "trial"
# the standard errors of the mean difference beyond which it is not explained by chance
_ERRORS = 2.0


def take_lowest(
    model: keras.Model,
    every: Mapping[str, Sequence[Any]],
    recalibrate: Callable[[], None],
    validation: Callable[[], Any],
) -> dict[str, float]:
    """Give a model the weights, among several, that have the lowest loss with recalibrated statistics.

    Args:
        model: The compiled model.
        every: Dict from a name to the values of the trainable variables.
        recalibrate: Function that recalibrates the statistics of the model.
        validation: Function that returns the batches of the validation data.

    Returns:
        A dict from the name to the loss, without those that are not finite.
    """
    losses: dict[str, float] = {}
    states: dict[str, list[np.ndarray]] = {}
    for name, values in every.items():
        assign(model.trainable_variables, values)
        try:
            recalibrate()
        except NotFiniteError:
            continue
        loss = float(model.evaluate(validation(), verbose=0, return_dict=True)["loss"])
        if math.isfinite(loss):
            losses[name], states[name] = loss, values_of(model.variables)
    if losses:
        assign(model.variables, states[min(losses, key=losses.__getitem__)])
    return losses


def take_if_better(model: keras.Model, other: keras.Model, validation: Callable[[], Any]) -> tuple[bool, float]:
    """Give a model the variables of another one if that is clearly better. Return whether it is, and the other's loss.

    Args:
        model: The compiled model.
        other: A model of the same architecture.
        validation: Function that returns the batches of the validation data.
    """
    own, reached = values_of(model.variables), losses_of(model, validation())
    assign(model.variables, other.variables)
    losses = losses_of(model, validation())
    better = clearly_lower(losses, reached)
    if not better:
        assign(model.variables, own)
    return better, float(losses.mean())


def losses_of(model: keras.Model, batches: Any) -> np.ndarray:
    """Return the loss of each example, whose mean is that of `keras.Model.evaluate`.

    Args:
        model: The model, compiled with one loss.
        batches: The batches of inputs, targets and, optionally, weights.
    """
    loss = keras.losses.get(model.loss)
    each = loss.call if isinstance(loss, keras.losses.Loss) else loss
    found = []
    for x, y, *weights in batches:
        values = keras.ops.convert_to_numpy(each(y, model.predict_on_batch(x)))
        found.append(values * np.asarray(weights[0]) if weights else values)
    weight = compile_arguments(model).get("loss_weights")
    return np.concatenate(found) * (1.0 if weight is None else weight)


def clearly_lower(losses: np.ndarray, others: np.ndarray) -> bool:
    """Return whether the mean of losses is lower by more than two standard errors of the paired differences.

    Args:
        losses: Array, the loss of each example.
        others: Array, the losses of the same examples with another model. Those of a model that diverged are not
            finite, and higher than all others.
    """
    if not np.isfinite(losses).all():
        return False
    differences = others - losses
    if not np.isfinite(differences).all():
        return True
    return bool(differences.mean() > _ERRORS * differences.std() / len(differences) ** 0.5)
