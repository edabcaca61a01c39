"""Optuna behind Keras Tuner's API."""

import math
import time
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import optuna
from keras_tuner.engine import hyperparameters as kt
from keras_tuner.engine.trial import Trial, TrialStatus
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bnzoo.errors import number, positive_integer
from bnzoo.tuning.plans import architecture, check_sampler, make_plan
from bnzoo.tuning.queue import Nothing, Queue
from bnzoo.tuning.shared import SharedStudy, counted, index, make_pruner

# under which names the storage has what Keras Tuner needs and Optuna has no place for
_SPACE, _BEST_STEP, _MESSAGE = "bnzoo:hyperparameters", "bnzoo:best_step", "bnzoo:message"
_LOST = "Nothing was heard of this worker for so long that its trial was given to another"
# seconds between two looks whether there is something to do
_POLL = 0.5


class OptunaOracle(keras_tuner.Oracle):
    """An oracle that keeps its trials in a storage of Optuna's, shared by as many processes as one likes.

    It works with any `keras_tuner.HyperModel` and any `keras_tuner.Tuner`. Each process makes its own tuner and its own
    oracle of the same storage; none is the chief. A process that is killed has its trial taken over by another, one
    that comes late joins, and a search that was stopped goes on. `optuna-dashboard` opens the same storage.

    A trial whose objective is NaN or that raises has failed, which ends nothing; samplers take it for as bad as the
    worst. Trials are pruned if the tuner's `search` is given a `bnzoo.tuning.PruningCallback`.

    Args:
        objective: As `keras_tuner.Oracle`'s: a string or a `keras_tuner.Objective`.
        max_trials: Integer, the number of trials in the storage, whoever ran them. `None`: no end but that of a grid.
        sampler: `"grid"` (every combination; a Float without a step has ten values), `"random"`, `"tpe"`, `"gp"`
            (a Gaussian process: needs the extra `gp`), or an `optuna.samplers.BaseSampler`.
        pruner: `None`, `"successive_halving"`, `"hyperband"`, `"median"`, or an `optuna.pruners.BasePruner`.
        storage: An SQLAlchemy URL, as `"postgresql://user@host/database"`. `None`: the file `journal.log` in the
            tuner's project folder.
        study_name: String, the study in the storage.
        seed: Integer, of the sampler. One worker with the same seed proposes the same trials.
        enqueue: Sequence of dicts, values to start with. Values that one leaves out are sampled; in a grid, all points
            that have the given values come first.
        budget: Float, seconds after the first trial of this process in which it begins trials.
        seeds: Integer. With more than one, every configuration is run once with each value `0, 1, ...` of a
            hyperparameter `"seed"`, and the sampler sees the mean.
        cheap: Sequence of strings, hyperparameters that need no other compiled model. Trials that differ in nothing
            else go to the same process where possible, and a sampler makes some of one kind before the next.
        hyperparameters: `keras_tuner.HyperParameters`, as in `keras_tuner.Oracle`.
        allow_new_entries: Boolean, as in `keras_tuner.Oracle`.
        tune_new_entries: Boolean, as in `keras_tuner.Oracle`.

    Raises:
        ValueError: If an argument is not possible, or the storage cannot be used.
        ImportError: If the sampler needs a package that is not there.

    Examples:
    >>> oracle = bnzoo.tuning.OptunaOracle("val_accuracy", max_trials=50, sampler="tpe", pruner="successive_halving")
    >>> tuner = keras_tuner.Tuner(oracle, hypermodel, directory="runs", project_name="mine")
    >>> tuner.search(x, y, epochs=9, validation_data=(u, v), callbacks=[bnzoo.tuning.PruningCallback(oracle)])

    Reference:
        Akiba et al. 2019, Optuna: a next-generation hyperparameter optimization framework. Pruners: Li et al. 2020,
        A system for massively parallel hyperparameter tuning, algorithm 2; Li et al. 2018, Hyperband.
    """

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = None,
        *,
        sampler: str | optuna.samplers.BaseSampler = "tpe",
        pruner: str | optuna.pruners.BasePruner | None = None,
        storage: str | SharedStudy | None = None,
        study_name: str = "study",
        seed: int = 0,
        enqueue: Sequence[dict[str, Any]] = (),
        budget: float | None = None,
        seeds: int = 1,
        cheap: Sequence[str] = (),
        hyperparameters: keras_tuner.HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
    ) -> None:
        super().__init__(
            objective=objective,
            max_trials=None if max_trials is None else positive_integer("max_trials", max_trials),
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            seed=seed,
        )
        self.seed = seed  # Keras Tuner takes 0 for "any"
        self._sampler = check_sampler(sampler)
        self._pruner, self._storage, self._study_name = make_pruner(pruner), storage, study_name
        self._enqueue, self._budget = list(enqueue), None if budget is None else number("budget", budget, above=0)
        self._seeds, self._cheap = positive_integer("seeds", seeds), frozenset(cheap)
        self._deadline: float | None = None
        self._pruned: set[str] = set()
        self._places: dict[str, int] = {}
        self._queue: Queue | None = None
        self.ongoing_trials: dict[str, Trial] = {}

    @cached_property
    def study(self) -> SharedStudy:
        """The study in its storage, made where there is none."""
        if isinstance(self._storage, SharedStudy):
            return self._storage
        direction = StudyDirection.MINIMIZE if self.objective.direction == "min" else StudyDirection.MAXIMIZE
        return SharedStudy(self._storage, Path(self._project_dir), self._study_name, direction, self._pruner)

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial for a tuner: running, `IDLE` while others are at the last ones, or `STOPPED`."""
        if tuner_id in self.ongoing_trials:
            return self.ongoing_trials[tuner_id]
        if self._budget is not None and self._deadline is None:
            self._deadline = time.monotonic() + self._budget
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return self._no_trial(TrialStatus.STOPPED)
        try:
            taken = self._open_queue().take()
        except Nothing as nothing:
            if nothing.for_good:
                self.reload()  # a trial that was lost with its worker has ended since it was read
                return self._no_trial(TrialStatus.STOPPED)
            time.sleep(_POLL)
            return self._no_trial(TrialStatus.IDLE)
        trial = self._trial(taken)
        trial.status = TrialStatus.RUNNING
        self.trials[trial.trial_id] = self.ongoing_trials[tuner_id] = trial
        self._places[trial.trial_id] = index(taken)
        self.start_order.append(trial.trial_id)
        self._display.on_trial_begin(trial)
        return trial

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """Records how a trial ended: `COMPLETED`, pruned (`STOPPED`), or anything else, which is a failure."""
        own = self.trials[trial.trial_id]
        own.hyperparameters, own.status, own.message = trial.hyperparameters, trial.status, trial.message
        self.update_space(own.hyperparameters)
        if own.trial_id in self._pruned:
            own.status = TrialStatus.STOPPED
        if own.status == TrialStatus.COMPLETED:
            self.score_trial(own)
            if math.isnan(own.score):
                own.status, own.message = TrialStatus.FAILED, "The objective is NaN"
        elif own.status != TrialStatus.STOPPED:
            own.status = TrialStatus.FAILED
        self._store(own)
        self.end_order.append(own.trial_id)
        self.ongoing_trials = {tuner: each for tuner, each in self.ongoing_trials.items() if each is not own}
        self._display.on_trial_end(own)

    @property
    def prunes(self) -> bool:
        """Whether it is of any use to report how far trials have come."""
        return not isinstance(self.study.optuna.pruner, optuna.pruners.NopPruner)

    def place(self, trial_id: str) -> int:
        """The place in the order of the study of a trial of this process; it is that of the lost one it stands for."""
        return self._places[trial_id]

    def note(self, trial_id: str, key: str, value: Any) -> None:
        """Keeps something JSON-able with a running trial."""
        self.study.note(int(trial_id), key, value)

    def show(self, trial_id: str, **values: Any) -> None:
        """Puts values beside a running trial where dashboards show them."""
        self.study.show(int(trial_id), **values)

    def report(self, trial_id: str, value: float, step: int) -> bool:
        """Reports how far a running trial has come.

        Args:
            trial_id: String.
            value: Float, the objective at this step.
            step: Integer, from 1: epochs, for instance.

        Returns:
            Boolean, whether the pruner gives it up. It should end now, and counts as pruned however it ends.
        """
        if self.study.report(int(trial_id), value, step):
            self._pruned.add(trial_id)
        return trial_id in self._pruned

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """The best trials of all processes."""
        self.reload()
        return super().get_best_trials(num_trials)

    def save(self) -> None:
        """Keeps the search space for processes that join; everything else is in the storage already."""
        config = self.hyperparameters.get_config()
        if self.study.read(_SPACE) != config:
            self.study.keep(_SPACE, config)

    def _save_trial(self, trial: Trial) -> None:
        """Keeps nothing: the storage has the trial."""

    def reload(self) -> None:
        """Reads the search space and the trials of all processes."""
        if config := self.study.read(_SPACE):
            try:
                self.hyperparameters.merge(keras_tuner.HyperParameters.from_config(config))
            except Exception as error:  # whatever Keras Tuner makes of what it has not written
                raise ValueError(
                    f"{self.study.keeper.place}: the hyperparameters of the study {self.study.name!r} cannot be read: "
                    f"{error or type(error).__name__}"
                ) from error
        everything = self.study.stored()
        counting = {trial.number for trial in counted(everything).values()}
        for stored in everything:
            trial = self._trial(stored)
            known = trial.trial_id in self.trials
            # one that was read while it ran and was lost with its worker is not listed as running for ever
            if known and stored.state.is_finished():
                if stored.number not in counting:
                    trial.message = trial.message or _LOST
                self.trials[trial.trial_id] = trial
            elif not known and stored.number in counting and stored.state != TrialState.WAITING:
                self.trials[trial.trial_id] = trial

    def _store(self, trial: Trial) -> None:
        if trial.message:
            self.note(trial.trial_id, _MESSAGE, trial.message)
        if trial.best_step is not None:
            self.note(trial.trial_id, _BEST_STEP, trial.best_step)
        state = {TrialStatus.COMPLETED: TrialState.COMPLETE, TrialStatus.STOPPED: TrialState.PRUNED}.get(
            trial.status, TrialState.FAIL
        )
        value = trial.score if state == TrialState.COMPLETE else None
        if not self.study.end(int(trial.trial_id), state, value):
            trial.status = TrialStatus.FAILED
            trial.message = _LOST

    def _open_queue(self) -> Queue:
        if self._queue is None:
            self._queue = Queue(
                self.study,
                make_plan(
                    self._sampler,
                    self.hyperparameters,
                    self.seed,
                    self.study.optuna.direction,
                    self._enqueue,
                    self._cheap,
                ),
                seeds=self._seeds,
                limit=self.max_trials,
                architecture=partial(architecture, cheap=self._cheap),
            )
        return self._queue

    def _no_trial(self, status: str) -> Trial:
        return Trial(hyperparameters=self.hyperparameters.copy(), trial_id="none", status=status)

    def _trial(self, stored: FrozenTrial) -> Trial:
        """The trial as Keras Tuner knows it."""
        hyperparameters = self.hyperparameters.copy()
        fixed = {hp.name: hp.value for hp in hyperparameters.space if isinstance(hp, kt.Fixed)}
        hyperparameters.values = {**fixed, **stored.params}
        if self._seeds > 1:
            hyperparameters.values["seed"] = index(stored) % self._seeds
        trial = Trial(hyperparameters, f"{stored.number:05d}", _STATUS[stored.state])
        trial.message = stored.system_attrs.get(_MESSAGE)
        if stored.state == TrialState.COMPLETE:
            trial.score, trial.best_step = stored.value, stored.system_attrs.get(_BEST_STEP, 0)
        return trial


class PruningCallback(keras.callbacks.Callback):
    """Ends the trials of any `keras_tuner.Tuner` that the pruner of an `OptunaOracle` gives up.

    Args:
        oracle: The tuner's `OptunaOracle`.

    Examples:
    >>> tuner.search(x, y, epochs=9, validation_data=(u, v), callbacks=[bnzoo.tuning.PruningCallback(oracle)])
    """

    def __init__(self, oracle: OptunaOracle) -> None:
        super().__init__()
        self.oracle = oracle

    def __deepcopy__(self, memo: dict[int, Any]) -> "PruningCallback":
        """Keras Tuner copies its callbacks for every trial; the oracle stays the same."""
        return PruningCallback(self.oracle)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Reports the objective."""
        value = self.oracle.objective.get_value(logs or {})
        (trial,) = self.oracle.ongoing_trials.values()
        if math.isfinite(value) and self.oracle.report(trial.trial_id, value, epoch + 1):
            self.model.stop_training = True


_STATUS = {
    TrialState.WAITING: TrialStatus.IDLE,
    TrialState.RUNNING: TrialStatus.RUNNING,
    TrialState.COMPLETE: TrialStatus.COMPLETED,
    TrialState.PRUNED: TrialStatus.STOPPED,
    TrialState.FAIL: TrialStatus.FAILED,
}
