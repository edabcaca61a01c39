"""An oracle of Keras Tuner that keeps its trials in an Optuna storage and samples with Optuna."""

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
from bnzoo.tuning.plans import Plan, architecture, check_sampler, make_plan
from bnzoo.tuning.queue import Queue, QueueEmpty
from bnzoo.tuning.shared import SharedStudy, counted, index, make_pruner

# keys of the attributes for values of Keras Tuner without a field in Optuna
_SPACE, _BEST_STEP, _MESSAGE = "bnzoo:hyperparameters", "bnzoo:best_step", "bnzoo:message"
_LOST = "This worker did not respond in time, so its trial was given to another worker."
# seconds between two queries for a waiting trial
_POLL = 0.5


class OptunaOracle(keras_tuner.Oracle):
    """An oracle that keeps its trials in an Optuna storage, which any number of processes can share.

    It works with any `keras_tuner.HyperModel` and any `keras_tuner.Tuner`. Each process creates its own tuner and its
    own oracle with the same storage; there is no chief. If a process is killed, another one takes over its trial.
    Processes can join at any time, and a search that was stopped continues. `optuna-dashboard` opens the same storage.

    A trial fails if it raises an error or its objective is NaN. The search continues, and samplers see the worst value
    of all trials for it. Trials are pruned if the tuner's `search` is called with a `bnzoo.tuning.PruningCallback`.

    Args:
        objective: String or `keras_tuner.Objective`, as in `keras_tuner.Oracle`.
        max_trials: Integer, the maximum number of trials in the storage, from all processes. `None` for no limit.
        sampler: `"grid"` (every combination; a Float without a step has ten values), `"law"` (points of the grid near
            a line through the best `learning_rate` over `depth`), `"local"` (points of the grid near the best ones),
            `"random"`, `"tpe"`, `"gp"` (a Gaussian process: needs the extra `gp`), an `optuna.samplers.BaseSampler`,
            or a plan of a study.
        pruner: `None`, `"successive_halving"`, `"hyperband"`, `"median"`, or an `optuna.pruners.BasePruner`.
        storage: An SQLAlchemy URL, as `"postgresql://user@host/database"`. `None`: the file `journal.log` in the
            tuner's project folder.
        study_name: String, the name of the study in the storage.
        seed: Integer, the seed of the sampler. One worker with the same seed runs the same trials.
        enqueue: Sequence of dicts, the first configurations to try. Missing values are sampled. With `"local"` and
            `"law"` a missing cheap value is that in the middle of the grid, any other the first one; with `"grid"` all
            points with the given values come first.
        budget: Float, the seconds after the first trial of this process in which it starts trials.
        seeds: Integer. If it is more than 1, each configuration is run with each value `0, 1, ...` of a hyperparameter
            `"seed"`, and the sampler sees the mean.
        cheap: Sequence of strings, the hyperparameters that do not need another compiled model. Trials that differ only
            in them go to the same process if possible, and a sampler proposes several of them before it changes another
            hyperparameter.
        hyperparameters: `keras_tuner.HyperParameters`, as in `keras_tuner.Oracle`.
        allow_new_entries: Boolean, as in `keras_tuner.Oracle`.
        tune_new_entries: Boolean, as in `keras_tuner.Oracle`.

    Attributes:
        deadline: Float, the end of the budget as `time.monotonic()`; `None` before the first trial.

    Raises:
        ValueError: If an argument is invalid, or the storage cannot be used.
        ImportError: If a package that the sampler needs is not installed.

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
        sampler: str | optuna.samplers.BaseSampler | Plan = "tpe",
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
        self.deadline: float | None = None
        self._pruned: set[str] = set()
        self._indices: dict[str, int] = {}
        self._queue: Queue | None = None
        self.ongoing_trials: dict[str, Trial] = {}

    @cached_property
    def study(self) -> SharedStudy:
        """The study in its storage. It is created if it does not exist."""
        if isinstance(self._storage, SharedStudy):
            return self._storage
        direction = StudyDirection.MINIMIZE if self.objective.direction == "min" else StudyDirection.MAXIMIZE
        return SharedStudy(self._storage, Path(self._project_dir), self._study_name, direction, self._pruner)

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """Return the next trial for a tuner.

        Its status is `RUNNING`; `IDLE` while other workers run the last trials; or `STOPPED` at the end of the search.
        """
        if tuner_id in self.ongoing_trials:
            return self.ongoing_trials[tuner_id]
        if self._budget is not None and self.deadline is None:
            self.deadline = time.monotonic() + self._budget
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return self._no_trial(TrialStatus.STOPPED)
        try:
            claimed = self._open_queue().claim()
        except QueueEmpty as empty:
            if empty.finished:
                self.reload()  # trials of other workers have ended since they were read
                return self._no_trial(TrialStatus.STOPPED)
            time.sleep(_POLL)
            return self._no_trial(TrialStatus.IDLE)
        trial = self._trial(claimed)
        trial.status = TrialStatus.RUNNING
        self.trials[trial.trial_id] = self.ongoing_trials[tuner_id] = trial
        self._indices[trial.trial_id] = index(claimed)
        self.start_order.append(trial.trial_id)
        self._display.on_trial_begin(trial)
        return trial

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """Record the end of a trial: `COMPLETED`, `STOPPED` if it was pruned, else `FAILED`."""
        ended = self.trials[trial.trial_id]  # Keras Tuner passes a copy
        ended.hyperparameters, ended.status, ended.message = trial.hyperparameters, trial.status, trial.message
        self.update_space(ended.hyperparameters)
        if ended.trial_id in self._pruned:
            ended.status = TrialStatus.STOPPED
        if ended.status == TrialStatus.COMPLETED:
            self.score_trial(ended)
            if math.isnan(ended.score):
                ended.status, ended.message = TrialStatus.FAILED, "The objective is NaN."
        elif ended.status != TrialStatus.STOPPED:
            ended.status = TrialStatus.FAILED
        self._store(ended)
        self.end_order.append(ended.trial_id)
        self.ongoing_trials = {tuner: each for tuner, each in self.ongoing_trials.items() if each is not ended}
        self._display.on_trial_end(ended)

    @property
    def prunes(self) -> bool:
        """`True` if the pruner may prune trials, so that they should report intermediate values."""
        return not isinstance(self.study.optuna.pruner, optuna.pruners.NopPruner)

    def trial_index(self, trial_id: str) -> int:
        """Return the index in the study of a trial of this process. A trial that is run again has the same index."""
        return self._indices[trial_id]

    def set_attribute(self, trial_id: str, key: str, value: Any) -> None:
        """Set an attribute of a running trial to a JSON-serializable value."""
        self.study.set_trial_attribute(int(trial_id), key, value)

    def show(self, trial_id: str, **values: Any) -> None:
        """Set attributes of a running trial that dashboards show."""
        self.study.show(int(trial_id), **values)

    def report(self, trial_id: str, value: float, step: int) -> bool:
        """Report an intermediate value of a running trial.

        Args:
            trial_id: String.
            value: Float, the objective at this step.
            step: Integer, from 1, for example the number of epochs.

        Returns:
            Boolean, whether the trial is pruned. It should end now, and counts as pruned in any case.
        """
        if self.study.report(int(trial_id), value, step):
            self._pruned.add(trial_id)
        return trial_id in self._pruned

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """Return the best trials of all processes."""
        self.reload()
        return super().get_best_trials(num_trials)

    def save(self) -> None:
        """Store the search space for processes that join. Everything else is in the storage already."""
        config = self.hyperparameters.get_config()
        if self.study.get_attribute(_SPACE) != config:
            self.study.set_attribute(_SPACE, config)

    def _save_trial(self, trial: Trial) -> None:
        """Do nothing: the trial is in the storage."""

    def reload(self) -> None:
        """Read the search space and the trials of all processes."""
        if config := self.study.get_attribute(_SPACE):
            try:
                self.hyperparameters.merge(keras_tuner.HyperParameters.from_config(config))
            except Exception as error:  # Keras Tuner does not check the types of a damaged configuration
                raise ValueError(
                    f"{self.study.location}: the hyperparameters of the study {self.study.name!r} cannot be read: "
                    f"{error or type(error).__name__}. Restore the storage from a copy, or choose another `study_name`."
                ) from error
        all_trials = self.study.stored()
        counting = {trial.number for trial in counted(all_trials).values()}
        for stored in all_trials:
            trial = self._trial(stored)
            known = trial.trial_id in self.trials
            # a trial whose worker was lost while it ran does not stay listed as running
            if known and stored.state.is_finished():
                if stored.number not in counting:
                    trial.message = trial.message or _LOST
                self.trials[trial.trial_id] = trial
            elif not known and stored.number in counting and stored.state != TrialState.WAITING:
                self.trials[trial.trial_id] = trial

    def _store(self, trial: Trial) -> None:
        if trial.message:
            self.set_attribute(trial.trial_id, _MESSAGE, trial.message)
        if trial.best_step is not None:
            self.set_attribute(trial.trial_id, _BEST_STEP, trial.best_step)
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
        """Convert a trial of Optuna to one of Keras Tuner."""
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
    """A callback that ends the trials of any `keras_tuner.Tuner` that the pruner of an `OptunaOracle` prunes.

    Args:
        oracle: The tuner's `OptunaOracle`.

    Examples:
    >>> tuner.search(x, y, epochs=9, validation_data=(u, v), callbacks=[bnzoo.tuning.PruningCallback(oracle)])
    """

    def __init__(self, oracle: OptunaOracle) -> None:
        super().__init__()
        self.oracle = oracle

    def __deepcopy__(self, memo: dict[int, Any]) -> "PruningCallback":
        """Return a copy with the same oracle. Keras Tuner copies its callbacks for every trial."""
        return PruningCallback(self.oracle)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Report the objective, and end the training if the trial is pruned."""
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
