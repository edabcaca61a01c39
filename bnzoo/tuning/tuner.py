"""The tuner of a study: a trial on the compiled model of its architecture."""

import math
import os
import socket
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from bnzoo.data import Dataset
from bnzoo.passwords import mask_passwords
from bnzoo.tuning.oracle import OptunaOracle
from bnzoo.tuning.results import TrialResult, score_cap
from bnzoo.tuning.spaces import Space
from bnzoo.tuning.trial import CompiledModel, measure

# what a user wants to know of a trained model: a function of it and the data
Measure = Callable[[keras.Model, Dataset], Mapping[str, float]]
# under which name the storage has the `TrialResult` of a trial
RESULT = "bnzoo:result"


class StudyTuner(keras_tuner.Tuner):
    """Runs each trial on the compiled model of its architecture.

    Args:
        oracle: The `OptunaOracle`.
        space: The `Space`.
        data: The `Dataset`.
        directory: The study's folder.
        epochs: Integer.
        reuse: Integer, how many compiled models wait for another trial of their architecture.
        begin: Function of the values of a trial that starts.
        keep: Function of a `TrialResult`, the number of its trial in the storage and the trained model, called before
            a trial ends that is `ok`.
        record: Function of a `TrialResult`, called when the trial has ended.
        versions: Dict, put in every record.
        measure: Function of a trained model and the data; what it gives is put in the record.
    """

    def __init__(
        self,
        oracle: OptunaOracle,
        space: Space,
        data: Dataset,
        directory: Path,
        *,
        epochs: int,
        reuse: int,
        begin: Callable[[dict[str, Any]], None],
        keep: Callable[[TrialResult, int, keras.Model], None],
        record: Callable[[TrialResult], None],
        versions: dict[str, str],
        measure: Measure | None = None,
    ) -> None:
        self.data, self.epochs, self._reuse = data, epochs, reuse
        self._begin, self._keep, self._record, self._versions = begin, keep, record, versions
        self._own_measure = measure
        self._compiled: OrderedDict[tuple, CompiledModel] = OrderedDict()
        self._last: tuple[dict[str, Any], keras.Model | None] = ({}, None)
        self._started = 0.0
        super().__init__(oracle, space, directory=str(directory), project_name=".")

    def _populate_initial_space(self) -> None:
        """The oracle has the axes already; building a model to find them would cost a second."""

    def save(self) -> None:
        """Keeps nothing: the oracle's storage has everything."""

    def on_trial_begin(self, trial: Trial) -> None:
        """Announces the trial."""
        self._started = time.time()
        self._begin(dict(trial.hyperparameters.values))

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Trains one configuration; the score is that of recalibrated statistics, and finite whatever happens."""
        try:
            found, model = self._measure(trial)
        except Exception as error:  # whatever a trial raises is its outcome, and the study goes on
            self._compiled.clear()  # in which state the error left them is not known
            found, model = _failure(error, self.data.classes), None
        self._last = found, model
        return {"score": found["score"]}

    def on_trial_end(self, trial: Trial) -> None:
        """Records the trial."""
        found, model = self._last
        values = dict(trial.hyperparameters.values)
        seed = values.pop("seed", 0)
        result = TrialResult(
            trial=self.oracle.place(trial.trial_id),
            values=values,
            seed=seed,
            **found,
            started=round(self._started, 3),
            worker=f"{socket.gethostname()}:{os.getpid()}",
            versions=self._versions,
        )
        if result.outcome == "ok":
            assert model is not None
            self._keep(result, int(trial.trial_id), model)
        if result.outcome == "failed":
            trial.status, trial.message = TrialStatus.FAILED, result.traceback
        self.oracle.note(trial.trial_id, RESULT, result.to_dict())
        accuracy = result.accuracy if math.isfinite(result.accuracy) else None
        self.oracle.show(trial.trial_id, outcome=result.outcome, accuracy=accuracy, reason=result.reason)
        super().on_trial_end(trial)
        self._record(result)

    def _measure(self, trial: Trial) -> tuple[dict[str, Any], keras.Model]:
        def report(score: float, epoch: int) -> bool:
            return self.oracle.report(trial.trial_id, score, epoch)

        start = time.perf_counter()
        hp = trial.hyperparameters
        seed = hp.values.get("seed", 0)
        compiled = self._architecture(hp, seed)
        ready = time.perf_counter()
        measurement = measure(
            compiled, seed, hp.get("learning_rate"), self.epochs, report if self.oracle.prunes else None
        )
        measurement.compile_seconds = round(ready - start, 3)
        if self._own_measure and measurement.outcome != "pruned":  # of a training that has ended
            found = self._own_measure(compiled.model, self.data)
            measurement.measured = {name: float(value) for name, value in found.items()}
        return asdict(measurement), compiled.model

    def _architecture(self, hp: keras_tuner.HyperParameters, seed: int) -> CompiledModel:
        """The compiled model for everything but the learning rate; those that were not used for longest are dropped."""
        key = self.hypermodel.architecture(hp.values)
        if key not in self._compiled:
            while len(self._compiled) >= self._reuse:
                self._compiled.popitem(last=False)
            keras.backend.clear_session()
            self._compiled[key] = CompiledModel(self.hypermodel, hp, self.data, seed)
        self._compiled.move_to_end(key)
        return self._compiled[key]


def _failure(error: Exception, classes: int) -> dict[str, Any]:
    return {
        "outcome": "failed",
        "reason": mask_passwords("".join(traceback.format_exception_only(error)).strip().partition("\n")[0]),
        "score": score_cap(classes),
        "traceback": mask_passwords("".join(traceback.format_exception(error))),
    }
