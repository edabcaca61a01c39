"""The training of a configuration of a study to the end."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import keras

from bnzoo.data import Dataset
from bnzoo.errors import number
from bnzoo.export.image import is_image
from bnzoo.training import Training
from bnzoo.training.endings import DivergedError
from bnzoo.training.options import EPOCHS, Options
from bnzoo.training.precision import AUTO
from bnzoo.training.recipe import recipe_of
from bnzoo.training.session import run
from bnzoo.tuning.folder import one_writer
from bnzoo.tuning.trial_result import TrialResult

if TYPE_CHECKING:
    from bnzoo.tuning.study import Study

# the folder of the checkpoints in the folder of the study
CHECKPOINTS = "training"
# a rate that a short trial has endured can be too high for a long training, which then begins again with lower ones
_LOWER_RATES, _FACTOR = 2, 3.0
# the share of the time of a training that must be left to begin it again
_LEFT = 0.5
# the seconds of a training that is too short to compile it in each precision
_SHORT = 60.0


def train_configuration(
    study: "Study",
    chosen: TrialResult | Mapping[str, Any],
    augment: str | Sequence[str] | None,
    *,
    tensorboard: Any = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    progress: Any = None,
    **options: Any,
) -> Training:
    """Train a configuration from its start, and export the model into the folder of the study.

    Args:
        study: The `Study`, whose folder exists.
        chosen: The `TrialResult`, or a dict of hyperparameters.
        augment: As in `Study.train`.
        tensorboard: As in `Study.train`.
        callbacks: As in `Study.train`.
        progress: As in `Study.train`.
        **options: The other `Options`: the study has the batch size, the class weights and the seed.
    """
    trial = chosen if isinstance(chosen, TrialResult) else None
    if not isinstance(chosen, TrialResult | Mapping):
        raise ValueError(
            "`trial` must be a `TrialResult` of the study, or a dict of hyperparameters such as {'depth': 8}. "
            f"Received: trial={chosen!r}"
        )
    given = chosen.values if isinstance(chosen, TrialResult) else chosen
    values = study.space.completed(given)
    values["learning_rate"] = float(number("learning_rate", values["learning_rate"], above=0))
    seed = 0 if trial is None else trial.seed
    data = augmented(study.data, augment)
    space = study.space.for_data(data)
    if trial is not None and options["precision"] == AUTO:
        options["known_precision"] = _known_precision(study, trial, options["epochs"], options["deadline"])

    def fit(learning_rate: float) -> Training:
        model = space.build_configuration(values, seed)
        recipe = recipe_of(model, data, learning_rate)
        name, warmup = options["schedule"], options["warmup"]
        if name is None:
            name, usual = space.chosen_schedule(values)
            name, warmup = recipe.schedule(name, usual if warmup is None else warmup)
        chosen = {**options, "schedule": name, "warmup": warmup}
        return run(
            model,
            data,
            recipe,
            Options(batch_size=space.batch_size_of(values), class_weight=study.class_weight, seed=seed, **chosen),
            directory=study.directory,
            checkpoints=study.directory / CHECKPOINTS,
            judging=study.judging,
            trial=None if trial is None else trial.trial,
            values=values,
            earlier=None if trial is None else partial(_kept_model, study, trial),
            writing=lambda: one_writer(study.directory),
            tensorboard=tensorboard,
            callbacks=callbacks,
            progress=progress,
        )

    rate = values["learning_rate"]
    return fit(rate) if trial is None else _at_lower_rates(fit, rate, options["deadline"])


def _at_lower_rates(fit: Callable[[float], Training], rate: float, deadline: float | None) -> Training:
    """Train, and begin again with a lower learning rate if the training diverges.

    Raises:
        DivergedError: If it diverges at each of the rates, or half of the time is over.
    """
    start = time.monotonic()
    for _ in range(_LOWER_RATES):
        try:
            return fit(rate)
        except DivergedError:
            # a call that begins after its deadline returns a finished training
            if deadline is not None and start < deadline and deadline - time.monotonic() < _LEFT * (deadline - start):
                raise
            lower = rate / _FACTOR
            warnings.warn(
                f"The training diverged at the learning rate {rate:.4g}. It begins again at {lower:.4g}.", stacklevel=2
            )
            rate = lower
    return fit(rate)


def _known_precision(study: "Study", trial: TrialResult, epochs: int | None, deadline: float | None) -> str | None:
    """Return the precision of the trials if this process has measured it, or the training is short."""
    if study.has_measured_precision:
        return study.precision
    if deadline is not None and epochs is None:  # the time decides whether a measurement pays
        return None
    each = trial.train_seconds / max(1, len(trial.history.get("loss", ())))
    return study.precision if each * (epochs or EPOCHS) < _SHORT else None


def _kept_model(study: "Study", trial: TrialResult) -> keras.Model | None:
    """Return the trained model of a trial; `None` if it was not kept or is damaged: the training does not need it."""
    with suppress(FileNotFoundError, ValueError):
        return study.model(trial)
    return None


def augmented(data: Dataset, augment: str | Sequence[str] | None) -> Dataset:
    """Return the data with an augmentation. By default images that have none are cropped."""
    if augment is None and (data.augment or not is_image(data.input_shape)):
        return data
    return replace(data, augment="crop" if augment is None else augment)
