"""The loop of every training: Keras' `fit`, with a schedule of the learning rate."""

from collections.abc import Callable, Iterable
from typing import Any

import keras

from bnzoo.training.position import Position
from bnzoo.training.schedule_free import AtTheAverage
from bnzoo.training.schedules import Schedule


def fit(
    model: keras.Model,
    *args: Any,
    learning_rate: float,
    schedule: Schedule,
    epochs: int,
    callbacks: Iterable[keras.callbacks.Callback] | None = (),
    last: Iterable[keras.callbacks.Callback] = (),
    position: Position | None = None,
    **options: Any,
) -> keras.callbacks.History:
    """Train a compiled model with `keras.Model.fit`.

    Args:
        model: The compiled model.
        *args: As for `keras.Model.fit`.
        learning_rate: Float, the highest learning rate, whatever that of the optimizer is.
        schedule: The `Schedule`, which extends over all epochs of the position.
        epochs: Integer, the number of the last epoch.
        callbacks: Callbacks. They see the position and the learning rate of the step, and after a validation its
            weights, as in `AtTheAverage`.
        last: Further callbacks, which see the weights of the training.
        position: The `Position`, by default the start of a training.
        **options: Further arguments of `keras.Model.fit`.
    """
    position = position or Position(epochs, options.get("steps_per_epoch"))
    rates = schedule.callback(learning_rate, position.epochs, position)
    every = [position, rates, *(callbacks or ()), AtTheAverage(), *last]
    return model.fit(*args, epochs=epochs, callbacks=every, **options)


def fit_from(position: Position, model: keras.Model, batches: Callable[[int], Any], **options: Any) -> None:
    """Train a compiled model from a position to the end, or until a callback ends the training.

    Args:
        position: The `Position`, which may be within an epoch. It changes.
        model: The compiled model.
        batches: Function of the number of finished steps that returns an endless data set of the following batches.
        **options: Further arguments of `fit`.
    """
    assert position.steps is not None
    if position.step:  # for Keras, the rest of an epoch is an epoch of fewer steps
        _fit_epochs(position, model, batches, position.epoch + 1, position.steps - position.step, options)
        if model.stop_training:
            return
    if position.epoch < position.epochs:
        _fit_epochs(position, model, batches, position.epochs, position.steps, options)


def _fit_epochs(
    position: Position,
    model: keras.Model,
    batches: Callable[[int], Any],
    last: int,
    steps: int,
    options: dict[str, Any],
) -> None:
    options = {**options, "position": position, "initial_epoch": position.epoch, "steps_per_epoch": steps}
    fit(model, batches(position.done), epochs=last, **options)
