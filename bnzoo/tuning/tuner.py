"""One worker of a study: it asks the oracle for a trial, runs it, and stores its result and its model."""

import math
import os
import socket
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.errors import FatalError

from bnzoo.data import Dataset
from bnzoo.data.rows import ReadError, read_error
from bnzoo.passwords import mask_passwords
from bnzoo.tuning.checkpoints import best_checkpoints, may_win
from bnzoo.tuning.definition import versions
from bnzoo.tuning.finalists import FIRST_TRIAL, FinalistPlan, Finalists
from bnzoo.tuning.oracle import OptunaOracle
from bnzoo.tuning.planning import CALIBRATION
from bnzoo.tuning.plans import GRID
from bnzoo.tuning.progress import shown_steps
from bnzoo.tuning.records import RESULT, Records
from bnzoo.tuning.steps import set_steps
from bnzoo.tuning.trial import CompiledModel, train_and_evaluate
from bnzoo.tuning.trial_result import TrialResult

if TYPE_CHECKING:
    from bnzoo.tuning.study import Progress, Study

# a user's function of a trained model and the data, which returns further values for the results
MeasureFunction = Callable[[keras.Model, Dataset], Mapping[str, float]]
# the compiled models that a process keeps if a sampler may propose their architectures again; a grid does not
_REUSED_MODELS = 6


def run_trials(
    study: "Study",
    records: Records,
    progress: "Progress",
    *,
    budget: float | None,
    trials: int | None,
    finalists: Finalists | None = None,
) -> None:
    """Run trials of a study as one worker, until none is left or the budget is spent.

    Args:
        study: The `Study`.
        records: Its `Records`.
        progress: As in `Study.run`.
        budget: As in `Study.run`.
        trials: As in `Study.run`.
        finalists: The `Finalists`, whose confirmation is run; `None` for the search.
    """
    if finalists is None:
        source: dict[str, Any] = {"sampler": study.sampler, "enqueue": study.enqueue, "seeds": study.seeds}
        storage = records.shared
    else:
        source = {"sampler": FinalistPlan(finalists, records.shared.trials()), "seeds": finalists.seeds}
        storage = records.shared.confirming()
    oracle = OptunaOracle(
        keras_tuner.Objective("score", "min"),
        trials,
        **source,
        storage=storage,
        seed=study.sampler_seed,
        budget=budget,
        cheap=("learning_rate",),
        hyperparameters=study.hyperparameters(),
    )
    oracle.verbose = 0
    tuner = StudyTuner if finalists is None else ConfirmingTuner
    try:
        tuner(oracle, study, records, progress).search()
    finally:
        records.shared.backend.release()  # of an interrupted trial, which this process may run again


class StudyTuner(keras_tuner.Tuner):
    """A tuner that runs each trial on the compiled model of its architecture.

    Args:
        oracle: The `OptunaOracle`.
        study: The `Study`.
        records: Its `Records`.
        progress: As in `Study.run`.

    Attributes:
        first_trial: Integer, the number of its first trial.
    """

    first_trial = 0

    def __init__(
        self,
        oracle: OptunaOracle,
        study: "Study",
        records: Records,
        progress: "Progress",
    ) -> None:
        self._study, self._records, self._progress = study, records, progress
        self._versions = versions()
        self._compiled: OrderedDict[tuple, CompiledModel] = OrderedDict()
        self._last: tuple[dict[str, Any], keras.Model | None] = ({}, None)
        self._started = 0.0
        super().__init__(oracle, study.space, directory=str(study.directory), project_name=".")

    def _populate_initial_space(self) -> None:
        """Do nothing: the oracle has the hyperparameters. Keras Tuner would build a model to find them."""

    def save(self) -> None:
        """Do nothing: everything is in the storage of the oracle."""

    @property
    def first_seed(self) -> int:
        """The first of its seeds."""
        return 0

    def on_trial_begin(self, trial: Trial) -> None:
        """Report the start of a trial."""
        self._started = time.time()
        values = dict(trial.hyperparameters.values)
        self._progress(self._study, {**values, "seed": self._seed(values)} if self.first_seed else values)

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Train one configuration and return its score, which is finite in any case."""
        try:
            values, model = self._train(trial)
        except Exception as error:  # an error in a trial is its outcome, and the study continues
            self._check_examples(error)
            self._compiled.clear()  # the error may have left them in any state
            values, model = _failure(error, self._study.results.cap), None
        self._last = values, model
        return {"score": values["score"]}

    def on_trial_end(self, trial: Trial) -> None:
        """Store the result of a trial, and its model if it may be one of the best.

        Models that no longer are among the best are deleted.
        """
        outcome, model = self._last
        values = dict(trial.hyperparameters.values)
        seed = self._seed(values)
        values.pop("seed", None)
        result = TrialResult(
            trial=self.first_trial + self.oracle.trial_index(trial.trial_id),
            values=values,
            seed=seed,
            **outcome,
            started=round(self._started, 3),
            worker=f"{socket.gethostname()}:{os.getpid()}",
            versions=self._versions,
        )
        if not self._counts(result):
            self.oracle.study.discard(int(trial.trial_id))
            super().on_trial_end(trial)
            return
        if result.outcome == "ok" and self._may_win(result):
            assert model is not None
            self._records.checkpoints.save(int(trial.trial_id), model)
        if result.outcome == "failed":
            trial.status, trial.message = TrialStatus.FAILED, result.traceback
        self.oracle.set_attribute(trial.trial_id, RESULT, result.to_dict())
        accuracy = result.accuracy if math.isfinite(result.accuracy) else None
        self.oracle.show(trial.trial_id, outcome=result.outcome, accuracy=accuracy, reason=result.reason)
        super().on_trial_end(trial)
        self._records.keep_only(best_checkpoints(self._study.refresh(), self._study.checkpoints))
        self._progress(self._study, result)

    def _seed(self, values: Mapping[str, Any]) -> int:
        """Return the seed of a trial."""
        return self.first_seed + values.get("seed", 0)

    def _counts(self, result: TrialResult) -> bool:
        """Return whether a result is stored."""
        return True

    def _may_win(self, result: TrialResult) -> bool:
        """Return whether the model of a trial may be kept."""
        return may_win(result, self._study.refresh(), self._study.checkpoints)

    def _train(self, trial: Trial) -> tuple[dict[str, Any], keras.Model]:
        """Run a trial and return the fields of its result, with the trained model."""

        def report(score: float, epoch: int) -> bool:
            return self.oracle.report(trial.trial_id, score, epoch)

        start = time.perf_counter()
        hp = trial.hyperparameters
        seed = self._seed(hp.values)
        compiled = self._compiled_model(hp, seed)
        ready = time.perf_counter()
        evaluation = train_and_evaluate(
            compiled,
            seed,
            hp.get("learning_rate"),
            self._study.epochs,
            report if self.oracle.prunes else None,
            deadline=self.oracle.deadline,
            callbacks=shown_steps(self._progress),
        )
        evaluation.compile_seconds = round(ready - start, 3)
        evaluation.parameters, evaluation.multiplications = compiled.counts
        if self._study.measure and evaluation.outcome != "pruned":
            values = self._study.measure(compiled.model, self._study.data)
            evaluation.measured = {name: float(value) for name, value in values.items()}
        return asdict(evaluation), compiled.model

    def _check_examples(self, error: Exception) -> None:
        """Raise the error of an example that cannot be read, which ends the study: no trial can succeed without it."""
        data = self._study.data
        unread = read_error(data.train.x, data.validation.x)
        if unread is not None:
            raise FatalReadError(str(unread)) from error

    def _compiled_model(self, hp: keras_tuner.HyperParameters, seed: int) -> CompiledModel:
        """Return the compiled model of an architecture. The least recently used models are dropped."""
        key = self.hypermodel.architecture(hp.values)
        if key in self._study.compiled:
            self._compiled[key] = self._study.compiled.pop(key)
            set_steps(self._study, self._compiled[key])  # of the plan, which was made after it was compiled
        if key not in self._compiled:
            most = 1 if self._study.sampler == GRID else _REUSED_MODELS
            while len(self._compiled) >= most:
                self._compiled.popitem(last=False)
            keras.backend.clear_session()
            self._compiled[key] = compile_model(self._study, hp, seed)
        self._compiled.move_to_end(key)
        return self._compiled[key]


class ConfirmingTuner(StudyTuner):
    """A tuner that trains finalists with the seeds after those of the search.

    A trial that the deadline ends has fewer steps than that of the search. It does not count, and is run again when the
    study goes on.
    """

    first_trial = FIRST_TRIAL

    @property
    def first_seed(self) -> int:
        """The number of seeds of the search."""
        return self._study.seeds

    def _counts(self, result: TrialResult) -> bool:
        return not (result.reason and result.outcome in ("ok", "pruned"))

    def _may_win(self, result: TrialResult) -> bool:
        return True


def compile_model(study: "Study", hp: keras_tuner.HyperParameters, seed: int) -> CompiledModel:
    """Return a compiled model for the trials of an architecture of a study."""
    plan: dict[str, Any] = {} if study.plan is None else {"calibration": CALIBRATION}
    compiled = CompiledModel(
        *(study.space, hp, study.trial_data, seed, study.results.objective, study.class_weight),
        precision=study.precision,
        **plan,
    )
    set_steps(study, compiled)
    return compiled


def _failure(error: Exception, cap: float) -> dict[str, Any]:
    """Return the fields of the result of a trial that raised an error."""
    return {
        "outcome": "failed",
        "reason": mask_passwords("".join(traceback.format_exception_only(error)).strip().partition("\n")[0]),
        "score": cap,
        "traceback": mask_passwords("".join(traceback.format_exception(error))),
    }


class FatalReadError(FatalError, ReadError):
    """A `ReadError` that ends a search: Keras Tuner would count other errors as those of a trial."""
