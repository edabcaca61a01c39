"""A study's grid, walked by Keras Tuner."""

import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from bnzoo.data import Dataset
from bnzoo.tuning.results import TrialResult, score_cap
from bnzoo.tuning.spaces import Space
from bnzoo.tuning.trial import CompiledModel, measure


class GridOracle(keras_tuner.Oracle):
    """Hands out the trials of a grid that are still to be run, in order.

    The study's own records, one whole file a trial, are its memory: nothing is written here, so nothing of it can be
    half written.

    Args:
        hyperparameters: `keras_tuner.HyperParameters`, the axes.
        pending: List of dicts, the values of each trial.
    """

    def __init__(self, hyperparameters: keras_tuner.HyperParameters, pending: list[dict[str, Any]]) -> None:
        super().__init__(
            objective=keras_tuner.Objective("score", "min"),
            hyperparameters=hyperparameters,
        )
        self.verbose = 0
        self._pending = list(pending)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The next trial of the grid."""
        if not self._pending:
            return {"status": TrialStatus.STOPPED}
        return {"status": TrialStatus.RUNNING, "values": self._pending.pop(0)}

    def save(self) -> None:
        """Keeps nothing."""

    def _save_trial(self, trial: Trial) -> None:
        """Keeps nothing."""


class StudyTuner(keras_tuner.Tuner):
    """Runs each trial on the compiled model of its architecture.

    Args:
        space: The `Space`.
        data: The `Dataset`.
        directory: The study's folder.
        pending: List of pairs of a trial's index and its values: `depth`, `norm`, `learning_rate`, `seed`.
        seeds: Integer, how many seeds there are.
        epochs: Integer.
        batch_size: Integer.
        begin: Function of the values of a trial that starts.
        record: Function of a `TrialResult` and the trained model (`None` if the trial failed), called after each.
        versions: Dict, put in every record.
    """

    def __init__(
        self,
        space: Space,
        data: Dataset,
        directory: Path,
        pending: list[tuple[int, dict[str, Any]]],
        *,
        seeds: int,
        epochs: int,
        batch_size: int,
        begin: Callable[[dict[str, Any]], None],
        record: Callable[[TrialResult, keras.Model | None], None],
        versions: dict[str, str],
    ) -> None:
        self.data, self.epochs, self.batch_size = data, epochs, batch_size
        self.begin, self.record, self.versions = begin, record, versions
        self._indices = {tuple(values.items()): index for index, values in pending}
        self._compiled: tuple[tuple, CompiledModel] | None = None
        self._last: tuple[dict[str, Any], keras.Model | None] = ({}, None)
        axes = keras_tuner.HyperParameters()
        space.declare_hyperparameters(axes)
        axes.Choice("seed", list(range(seeds)))
        oracle = GridOracle(axes, [values for _, values in pending])
        super().__init__(oracle, space, directory=str(directory), project_name=".")

    def _populate_initial_space(self) -> None:
        """The oracle has the axes already; building a model to find them would cost a second."""

    def save(self) -> None:
        """Keeps nothing: see `GridOracle`."""

    def on_trial_begin(self, trial: Trial) -> None:
        """Announces the trial."""
        self.begin(dict(trial.hyperparameters.values))

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Trains one configuration; the score is that of recalibrated statistics, and finite whatever happens."""
        try:
            found, model = self._measure(trial.hyperparameters)
        except Exception as error:  # whatever a trial raises is its outcome, and the study goes on
            self._compiled = None  # in which state the error left it is not known
            found, model = _failure(error, self.data.classes), None
        self._last = found, model
        return {"score": found["score"]}

    def on_trial_end(self, trial: Trial) -> None:
        """Records the trial."""
        found, model = self._last
        values = dict(trial.hyperparameters.values)
        index = self._indices[tuple(values.items())]
        self.record(TrialResult(trial=index, **values, **found, versions=self.versions), model)
        super().on_trial_end(trial)

    def _measure(self, hp: keras_tuner.HyperParameters) -> tuple[dict[str, Any], keras.Model]:
        start = time.perf_counter()
        compiled = self._architecture(hp)
        ready = time.perf_counter()
        measurement = measure(compiled, hp.get("seed"), hp.get("learning_rate"), self.epochs)
        measurement.compile_seconds = round(ready - start, 3)
        return asdict(measurement), compiled.model

    def _architecture(self, hp: keras_tuner.HyperParameters) -> CompiledModel:
        """The compiled model for everything but the learning rate. One is kept: the grid comes in this order."""
        key = tuple((name, value) for name, value in hp.values.items() if name not in ("learning_rate", "seed"))
        if self._compiled is None or self._compiled[0] != key:
            self._compiled = None
            keras.backend.clear_session()
            compiled = CompiledModel(self.hypermodel, hp, self.data, self.batch_size, hp.get("seed"))
            self._compiled = key, compiled
        return self._compiled[1]


def _failure(error: Exception, classes: int) -> dict[str, Any]:
    return {
        "outcome": "failed",
        "reason": "".join(traceback.format_exception_only(error)).strip().partition("\n")[0],
        "score": score_cap(classes),
        "traceback": "".join(traceback.format_exception(error)),
    }
