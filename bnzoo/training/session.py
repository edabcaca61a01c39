"""One training in this process: from the start or the last checkpoint to the measured and exported model."""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bnzoo.data import Dataset, Split
from bnzoo.files import whole_file
from bnzoo.keras_internals import flatten_layers
from bnzoo.tools import Recalibration, health
from bnzoo.tools.dtypes import in_float32
from bnzoo.training.artefact import Artefact, export_once, image_of
from bnzoo.training.averaging import Averaging
from bnzoo.training.batches import training_batches, validation_batches
from bnzoo.training.checkpoints import Checkpoints
from bnzoo.training.choice import TRIAL, take_if_better, take_lowest
from bnzoo.training.class_weights import class_weights, weighted
from bnzoo.training.definition import definition_of
from bnzoo.training.devices import divisible, on_devices, strategy_for
from bnzoo.training.endings import DivergedError, Patience, Reserve, StopWhenNotFinite, steps_of_lag
from bnzoo.training.events import EventFiles
from bnzoo.training.files import BEST
from bnzoo.training.loop import fit_from
from bnzoo.training.measures import measure, outputs_of
from bnzoo.training.options import EPOCHS, MOST_EPOCHS, Options
from bnzoo.training.planning import TrainingPlan, chosen_precision, epochs_within
from bnzoo.training.position import Position
from bnzoo.training.precision import FLOAT32, candidates, in_precision
from bnzoo.training.recipe import Recipe
from bnzoo.training.reporting import Progress, Recording, write_log
from bnzoo.training.results import Training
from bnzoo.training.schedule_free import end_at_the_average
from bnzoo.training.schedules import schedule_named
from bnzoo.training.speed import EPOCH_SECONDS, Finish, slowness, step_seconds
from bnzoo.training.store import Store, folder_for
from bnzoo.training.variables import assign, values_of

_EVALUATION_BATCH = 256
# examples for recalibrated statistics, and for the check of the norms
_CALIBRATION, _HEALTH = 12_800, 1_024
# the share of the time in which steps are timed
_TIMING = 0.01
# the largest share of the time that is kept for the work after the last step: a network of a few steps is worth nothing
_MOST_KEPT = 0.75


def run(
    model: keras.Model,
    data: Dataset,
    recipe: Recipe,
    options: Options,
    *,
    directory: Path | None = None,
    checkpoints: Path | None = None,
    judging: np.ndarray | None = None,
    trial: int | None = None,
    values: Mapping[str, Any] | None = None,
    earlier: Callable[[], keras.Model | None] | None = None,
    writing: Callable[[], AbstractContextManager[Any]] = nullcontext,
    tensorboard: str | Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    progress: Progress | None = None,
) -> Training:
    """Train a model as `train` does.

    Args:
        model: The model.
        data: The `Dataset`.
        recipe: The `Recipe`.
        options: The `Options`.
        directory: The folder of the results.
        checkpoints: The folder of numbered folders for the checkpoints of each training. By default they are in the
            folder of the results.
        judging: Integer array, the indices of the validation examples that are validation data; the others are training
            data. By default all are.
        trial: Integer, the trial of the model in a study.
        values: Dict, the hyperparameters of the model, as JSON.
        earlier: Function without arguments that returns the trained model of the trial, or `None`. Its weights replace
            those of the training if its validation loss is clearly lower.
        writing: Function without arguments that returns a context, in which the results are written.
        tensorboard: As in `train`.
        callbacks: As in `train`.
        progress: As in `train`.
    """
    if options.epochs is None and options.deadline is None:
        options = replace(options, epochs=EPOCHS)
    options.check(data)
    judging = None if options.all_data else judging
    definition = definition_of(model, data, recipe, options, judging, trial, values)
    store = None
    if directory is not None:
        store = Store(directory if checkpoints is None else folder_for(definition, checkpoints), definition)
    # processes that share a study wait for its training, and find it finished
    wait = 0.0 if checkpoints is None else math.inf
    if options.deadline is not None:
        wait = min(wait, max(0.0, options.deadline - time.monotonic()))
    with nullcontext() if store is None else store.alone(wait):
        if trial is not None and store is not None and store.divergence:
            raise DivergedError(f"{store.divergence}. To train it again, remove {store.folder}")
        with model.distribute_strategy.scope():
            model = in_float32(model)
        session = _Session(model, data, recipe, options, store, judging, earlier)
        try:
            session.fit(tensorboard, callbacks, progress)
            with writing():
                return session.finish(directory, {**definition, **session.outcome()}, trial)
        except DivergedError as error:
            if trial is not None and store is not None:
                store.record_divergence(str(error))
            raise


class _Session:
    """One training in this process."""

    def __init__(
        self,
        model: keras.Model,
        data: Dataset,
        recipe: Recipe,
        options: Options,
        store: Store | None,
        judging: np.ndarray | None,
        earlier: Callable[[], keras.Model | None] | None,
    ) -> None:
        self._start = time.monotonic()
        self._model, self._recipe, self._options, self._store = model, recipe, options, store
        self._source = self._data = data
        every = np.arange(len(data.validation.x))
        self._also: np.ndarray | None = None
        if options.all_data:
            self._also = every
        elif judging is not None:
            self._also = np.setdiff1d(every, judging)
            self._data = replace(data, validation=Split(data.validation.x[judging], data.validation.y[judging]))
        examples = len(data.train.x) + (0 if self._also is None else len(self._also))
        self._batch = min(options.batch_size, examples)
        self._strategy = strategy_for(model, self._batch, len(self._data.validation.x))
        self._earlier = None if options.all_data else earlier  # nothing is compared without validation data
        self._weights = None if options.class_weight is None else class_weights(data)
        self._timed: dict[str, keras.Model] = {}
        self._step, self._slowness = 0.0, 1.0
        self._kept: float | None = None  # until it is measured
        make = partial(self._plan, examples // self._batch)
        self.plan = store.plan(make, options.deadline is not None) if store else make()
        self._trained = self._compiled(self.plan.precision)
        self._position = Position(self.plan.epochs, self.plan.steps)
        self._history: dict[str, list[float]] = {}
        # the weights of a schedule-free optimizer are an average already
        self._averaging = Averaging(self._position) if options.average and not recipe.is_schedule_free else None
        self._patience = None
        if options.patience is not None:
            self._patience = Patience(options.patience, self._position, steps_of_lag(model))
        self._ended = ""

    def fit(
        self,
        tensorboard: str | Path | None,
        callbacks: Sequence[keras.callbacks.Callback],
        progress: Progress | None,
    ) -> None:
        """Train from the start or the last checkpoint."""
        stop, saved, late = StopWhenNotFinite(), None, None
        log = self._store.log if self._store else None
        every: list[Any] = [stop, self._averaging, Recording(self._position, self._history, progress, log)]
        every += [self._patience, *keras.tree.flatten(callbacks)]  # Keras takes a single callback too
        if tensorboard is not None:
            every.append(EventFiles(tensorboard, self._history))
        if self._store:
            saved = Checkpoints(self._store.checkpoint, self._position, self._history, self._averaging, self._patience)
            if self._store.checkpoint.exists():
                # Keras makes the variables of the metrics with the first batch
                self._trained.evaluate(self._batches(0), steps=1, verbose=0)
                saved.restore(self._trained)
                write_log(self._store.log, self._history)  # it may be damaged, or have later epochs
        if self._position.progress < 1 and not self._has_stopped:
            if self._options.deadline is not None:
                late = self._reserve(self._options.deadline, self.plan.precision)
                every.insert(0, late)
            fit_from(
                self._position,
                self._trained,
                self._batches,
                learning_rate=self._recipe.learning_rate,
                schedule=schedule_named(self._options.schedule, self._options.warmup),
                callbacks=[callback for callback in every if callback is not None],
                last=[] if saved is None else [saved],
                validation_data=None if self._options.all_data else self._validation(),
                shuffle=False,
                verbose=0,
            )
            if stop.stopped:
                raise self._diverged()
            if saved is not None and not self._position.step:
                saved.save()
        elif self._options.deadline is not None:
            warnings.warn(
                f"This training of {self._position.epoch} epochs is finished, and the budget changes nothing. "
                "Pass `epochs`, or another folder, for a longer one.",
                stacklevel=2,
            )
        if self._position.progress < 1 and self._has_stopped:
            self._ended = f"ended after {self._position.epoch} of {self.plan.epochs} epochs: no improvement in "
            self._ended += f"{self._options.patience} epochs"
        elif late is not None and late.stopped and self._position.progress < 1:
            of = f"{self._position.done} of {self.plan.epochs * self.plan.steps}"
            self._ended = f"ended at the deadline after {of} steps"

    @property
    def _has_stopped(self) -> bool:
        return self._patience is not None and self._patience.stopped

    def _diverged(self) -> DivergedError:
        epoch = math.ceil(self._position.done / self.plan.steps)  # that of the last step
        return DivergedError(
            f"The training diverged in epoch {epoch} of {self.plan.epochs}: the loss became infinite or NaN at the "
            f"learning rate {self._recipe.learning_rate:g}. Choose a lower learning rate"
        )

    def outcome(self) -> dict[str, Any]:
        """Return the plan, and the position at the end, as JSON."""
        return {**self.plan.get_config(), "finished_steps": self._position.done}

    def finish(self, directory: Path | None, description: dict[str, Any], trial: int | None) -> Training:
        """Choose the weights, recalibrate the statistics, measure and export the model."""
        model, data, recipe = self._model, self._data, self._recipe
        end_at_the_average(self._trained)
        if self._trained is not model:
            assign(model.variables, self._trained.variables)
        recipe.compile(model, FLOAT32)  # with the learning rate of the training, not the last one of the schedule
        weights, choice = self._choose()
        artefact = None if directory is None else self._export(directory, {**description, "weights": weights}, trial)
        split = data.train if self._options.all_data else data.validation
        checked = health(model, (split.x[:_HEALTH], split.y[:_HEALTH]), steps=self._position.done)
        return Training(
            model=model,
            history=self._history,
            measures=artefact.measures if artefact else measure(model, outputs_of(model, data, data.test), data),
            epochs=self._position.epoch,
            steps=self._position.done,
            seconds=time.monotonic() - self._start,
            precision=self.plan.precision,
            devices=self._strategy.num_replicas_in_sync,
            augment=data.augment,
            learning_rate=recipe.learning_rate,
            weights=weights,
            choice=choice,
            health=checked,
            ended=self._ended,
            artefact=artefact,
        )

    def _choose(self) -> tuple[str, dict[str, float]]:
        """Give the model the weights with the lowest validation loss, and return their name with all losses."""
        model = self._model
        every = {"averaged" if self._recipe.is_schedule_free else "last": values_of(model.trainable_variables)}
        if self._averaging is not None and self._averaging.averages:
            every["averaged"] = values_of(self._averaging.averages)
        if self._patience is not None and self._patience.weights:
            trained = {id(variable) for variable in self._trained.trainable_variables}
            pairs = zip(self._trained.variables, self._patience.weights, strict=True)
            every["best"] = [value for variable, value in pairs if id(variable) in trained]
        if self._options.all_data:  # the validation data was training data, and tells nothing
            every = dict(list(every.items())[-1:])
        losses = take_lowest(model, every, self._recalibration(), self._validation)
        if not losses:  # the loss of the last steps does not show that they were too large
            raise self._diverged()
        best = min(losses, key=losses.__getitem__)
        trial = None if self._earlier is None else self._earlier()
        if trial is not None:
            is_better, losses[TRIAL] = take_if_better(model, trial, self._validation)
            best = TRIAL if is_better else best
        return best, {} if self._options.all_data else losses

    def _recalibration(self) -> Callable[[], None]:
        norms = [layer for layer in flatten_layers(self._model) if isinstance(layer, keras.layers.BatchNormalization)]
        if not any(norm.trainable for norm in norms):
            return lambda: None
        x = self._data.train.x
        rows = np.sort(np.random.default_rng(self._options.seed).permutation(len(x))[:_CALIBRATION])
        parts = [rows[start : start + _EVALUATION_BATCH] for start in range(0, len(rows), _EVALUATION_BATCH)]
        recalibration = Recalibration(self._model)
        return lambda: recalibration(x[part] for part in parts)

    def _export(self, directory: Path, description: dict[str, Any], trial: int | None) -> Artefact:
        with whole_file(directory / BEST) as draft:
            self._model.save(draft)
        return export_once(lambda: self._model, trial, self._data, directory, description)

    def _plan(self, steps: int) -> TrainingPlan:
        """Return the plan, for which steps are timed if that is needed."""
        options = self._options
        seconds = None if options.deadline is None else options.deadline - time.monotonic()
        precisions = [options.known_precision] if options.known_precision else candidates(options.precision, seconds)
        precision = chosen_precision(precisions, self._compiled, self._batches(0))
        if options.epochs is not None:
            return TrainingPlan(options.epochs, steps, precision)
        assert options.deadline is not None
        left = self._reserve(options.deadline, precision).moment - time.monotonic()
        others = self._slowness * EPOCH_SECONDS / self._step
        others += 0.0 if options.all_data else 0.5 * len(self._data.validation.x) / self._batch
        epochs, steps = epochs_within(max(left, 0.0), self._step, steps, others)
        return TrainingPlan(min(epochs, MOST_EPOCHS), steps, precision)

    def _reserve(self, deadline: float, precision: str) -> Reserve:
        """Return the end of the steps, with the measured seconds of the work after the last one."""
        if self._kept is None:
            least = _TIMING * max(0.0, deadline - time.monotonic())
            self._step = step_seconds(self._compiled(precision), self._batches(0), least)
            self._slowness = slowness(self._model)
            options = self._options
            choices = 1 if options.all_data else 1 + options.average + (options.patience is not None)
            choices += 2 * (self._earlier is not None)  # each of the two is evaluated once more
            finish = finish_of(self._data, choices, self._store is not None)
            step_on_one = self._step * self._strategy.num_replicas_in_sync
            needed = finish.seconds(step_on_one / self._batch, self._slowness)
            left = max(0.0, deadline - time.monotonic())
            self._kept = min(needed, _MOST_KEPT * left)
            if needed > self._kept:
                warnings.warn(
                    f"The budget is too short: {left:.0f} s are left, and the figures and the export take about "
                    f"{needed:.0f} s after the last step. It will end about {needed - self._kept:.0f} s late.",
                    stacklevel=2,
                )
        return Reserve(deadline, self._kept, self._step)

    def _compiled(self, precision: str) -> keras.Model:
        """Return the model that trains in a precision: the model itself in float32 on one device, else a copy."""
        if precision not in self._timed:
            placed = on_devices(self._model, self._strategy)
            with self._strategy.scope():
                trained = in_precision(placed, precision)
            self._timed[precision] = self._recipe.compile(trained, precision)
        return self._timed[precision]

    def _batches(self, first: int) -> Any:
        options = self._options
        batches = training_batches(self._source, self._batch, options.seed, first=first, also=self._also)
        return weighted(batches, self._weights)

    def _validation(self) -> Any:
        batch = divisible(min(_EVALUATION_BATCH, len(self._data.validation.x)), self._strategy)
        return weighted(validation_batches(self._data, batch), self._weights)


def finish_of(data: Dataset, choices: int = 2, exports: bool = True) -> Finish:
    """Return the work after the last step of a training.

    Args:
        data: The `Dataset`.
        choices: Integer, the number of weights of which those with the lowest validation loss are chosen.
        exports: Boolean, whether a SavedModel is written.
    """
    validation = len(data.validation.x)
    # twice more for Keras after the last step and for the figures; the norms are checked with gradients
    predicted = choices * (min(len(data.train.x), _CALIBRATION) + validation) + 2 * validation + 8 * _HEALTH
    return Finish(predicted, compared=len(data.test.x), exports=exports, files=image_of(data) is not None)
