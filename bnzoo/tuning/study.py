"""A study: a space and data in; results, the best model, a report and a SavedModel out."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pandas as pd
from optuna.trial import FrozenTrial

from bnzoo.data import Dataset
from bnzoo.data.dataset import Split
from bnzoo.errors import choice, number, positive_integer, seed_number
from bnzoo.metrics import guesses, metric_for
from bnzoo.training import Moment, Training
from bnzoo.training.artefact import Artefact, export_once
from bnzoo.training.class_weights import check_class_weight
from bnzoo.training.files import NOTE
from bnzoo.training.precision import AUTO, FLOAT32, PRECISIONS
from bnzoo.tuning import latency, limits
from bnzoo.tuning.confirming import run_confirmation
from bnzoo.tuning.definition import command, definition_of
from bnzoo.tuning.final import train_configuration
from bnzoo.tuning.finalists import check_seeds, confirmation_of
from bnzoo.tuning.folder import one_writer, stored_command
from bnzoo.tuning.front import front
from bnzoo.tuning.law import check_law
from bnzoo.tuning.objective import LOSS, objective_of
from bnzoo.tuning.planning import CONFIRMATION_SEEDS, VALIDATION, StudyPlan
from bnzoo.tuning.plans import GRID, LAW, OF_A_GRID, SAMPLER_NAMES, GridPlan, check_sampler, check_start
from bnzoo.tuning.records import Records
from bnzoo.tuning.results import Results
from bnzoo.tuning.shared import PRUNERS
from bnzoo.tuning.spaces import Space
from bnzoo.tuning.steps import EPOCHS, check_equal
from bnzoo.tuning.trial import CompiledModel
from bnzoo.tuning.trial_result import TrialResult
from bnzoo.tuning.tuner import MeasureFunction, run_trials
from bnzoo.tuning.verdict import Verdict, verdict
from bnzoo.tuning.workers import run_workers

# a function of the study and an event: the values of a trial that starts, or the result of one that has ended
Progress = Callable[["Study", dict[str, Any] | TrialResult], None]


class Study:
    """A study: the configurations of a space, trained on data with one or several seeds.

    A study that was stopped at any moment continues when the same study is run again. A finished study does nothing.
    Several processes, on one machine or many, may run the same study and share its trials. If one is killed, another
    one takes over its trial; processes can join at any time. Each file in the folder is written atomically.

    Args:
        space: A `Space`.
        data: A `bnzoo.data.Dataset`.
        directory: The folder of the study. It is created when the study runs.
        seeds: Integer, the number of seeds (0, 1, ...) of each configuration, for weights and shuffling. At most 1,000;
            a grid with all seeds has at most 100,000 trials.
        epochs: Integer, the epochs of each trial, at most 1,000,000.
        sampler: `"grid"`, every combination; `"local"`, each value of the grid once, then the neighbours of the best
            combinations; `"law"`, the learning rates of the grid near a line through the best ones over depth, about
            half of the grid; or `"random"`, `"tpe"` (tree-structured Parzen estimator), `"gp"`
            (Gaussian process), which sample learning rates anywhere in their range.
        pruner: `None`, or `"successive_halving"`, `"hyperband"`, `"median"`: stops trials that are worse than others
            after 1, 3, 9, ... epochs.
        sampler_seed: Integer. One worker with the same seed tries the same configurations.
        enqueue: Sequence of dicts, the first values to try, such as `{"depth": 8, "learning_rate": 0.1}`. See
            `OptunaOracle`.
        storage: An SQLAlchemy URL, such as `"postgresql://user@host/database"`, with which any number of machines share
            the study and its checkpoints. `None` for the file `journal.log` in the folder.
        name: String, the name of the study in the storage. Default: the name of the study in the folder; for a new
            study, the name of the folder.
        checkpoints: Integer, the number of best configurations whose trained models are kept.
        objective: String, the score of a trial: `"loss"`, or a metric of the validation data. For classes `"accuracy"`,
            `"balanced_accuracy"`, `"macro_f1"`, `"top5"`, `"auc"` or `"calibration_error"`; for several labels an
            example `"mean_average_precision"`, `"macro_f1"`, `"auc"` or `"all_labels"` (the share of examples whose
            labels are all right); for a regression `"r2"`, or, with one target, `"rmse"` or `"mae"`. A label is
            predicted if its probability is at least 0.5. The objective decides which configuration is the best, and
            which trials are pruned.
        class_weight: `None`, or `"balanced"`: all classes have the same weight in the loss, in training and in
            validation, however many examples they have. It does not affect the metrics.
        plan: A `bnzoo.tuning.planning.StudyPlan`, which divides a budget: the trials have fewer steps, and are
            evaluated on fewer examples. `bnzoo tune --budget` makes one.
        precision: String, the precision of the trials: `"float32"`, or `"bfloat16"` and `"float16"`, which are faster
            on processors with instructions for them. The variables and the stored models are float32, and the score is
            that of the stored model.
        equal: String, the cost that the trials of all networks have in common: `"epochs"`, or `"compute"`. With equal
            epochs a deeper network has more compute, which favours it. With `"compute"` the steps of a network cost
            as many multiplications as those of the shallowest one (with the first value of every other
            hyperparameter): a network of twice the multiplications has half the steps an epoch, and the schedule and
            the looks of pruners follow them. It cannot be combined with `plan`, which divides the time.
        measure: Function of a trained model, with recalibrated statistics, and the data. It returns a dict of floats,
            which are kept in `TrialResult.measured` and as columns of `results.csv`. It is called for every trial that
            was not pruned, and does not affect the score. Define it in a module, so that other workers can import it.

    Raises:
        ValueError: If an argument is invalid, or the folder or the storage has another study (the message lists the
            differences), or the folder has other files.

    Examples:
    >>> study = bnzoo.tuning.Study(
    ...     bnzoo.tuning.ResNetSpace(depths=(8, 14, 20), learning_rates=(1e-3, 3.0), norms=("batch", None)),
    ...     bnzoo.data.load("digits"), directory="runs/digits", seeds=3)
    >>> study.run()
    >>> study.results.table()
    """

    def __init__(
        self,
        space: Space,
        data: Dataset,
        directory: str | Path,
        *,
        seeds: int = 1,
        epochs: int = 15,
        sampler: str = "grid",
        pruner: str | None = None,
        sampler_seed: int = 0,
        enqueue: Sequence[dict[str, Any]] = (),
        storage: str | None = None,
        name: str | None = None,
        checkpoints: int = 1,
        objective: str = LOSS,
        class_weight: str | None = None,
        measure: MeasureFunction | None = None,
        plan: StudyPlan | None = None,
        precision: str = FLOAT32,
        equal: str = EPOCHS,
    ) -> None:
        self.space = space.for_data(data)
        self.space.check()
        self.data = data
        self.directory = Path(directory)
        self.seeds = positive_integer("seeds", seeds, limits.SEEDS)
        self.epochs = positive_integer("epochs", epochs, limits.EPOCHS)
        self.sampler = choice("sampler", check_sampler(sampler), SAMPLER_NAMES)
        self.pruner = None if pruner is None else choice("pruner", pruner, PRUNERS)
        self.sampler_seed = seed_number("sampler_seed", sampler_seed)
        limits.check_size(self.space, self.sampler, self.seeds)
        if self.sampler == LAW:
            check_law(self.hyperparameters())
        self.enqueue = [dict(values) for values in enqueue]
        check_start(self.enqueue, self.hyperparameters())
        self.storage = storage
        self.checkpoints = positive_integer("checkpoints", checkpoints, limits.TRIALS)
        self.measure = measure
        self.plan = plan
        rows, truth = self.judging, data.validation.y
        self._objective = objective_of(objective, data, class_weight, truth if rows is None else truth[rows])
        self.objective, self.class_weight = objective, check_class_weight(class_weight, data)
        self.precision = choice("precision", precision, PRECISIONS)
        self.equal = check_equal(equal, self.space, plan)
        # compiled models for the trials of this process, by architecture
        self.compiled: dict[tuple, CompiledModel] = {}
        # whether this process has measured the precision for the plan
        self.has_measured_precision = False
        self._records = Records(self.definition, self.directory, storage, name, self.pruner)
        self._records.check()
        self.name = self._records.name
        self.refresh()

    @property
    def definition(self) -> dict[str, Any]:
        """Everything that determines the results, as JSON."""
        return definition_of(self)

    def get_arguments(self) -> dict[str, Any]:
        """Return the arguments that create the same study in another process."""
        computation = ("space", "data", "directory", "seeds", "epochs", "sampler", "pruner", "sampler_seed", "enqueue")
        scores = ("objective", "class_weight")
        records = ("storage", "name", "checkpoints", "measure", "plan", "precision", "equal")
        return {name: getattr(self, name) for name in (*computation, *scores, *records)}

    def store_plan(self, plan: StudyPlan, precision: str) -> "Study":
        """Store a plan and a precision with the study, and return the study, which has them.

        If another process was first, it has those of that process.
        """
        own = copy(self)
        own.plan, own.epochs, own.precision = plan, plan.epochs, precision
        stored = Records(own.definition, self.directory, self.storage, self.name, self.pruner).store()
        if "plan" in stored:
            plan, precision = StudyPlan.from_config(stored["plan"]), stored.get("precision", FLOAT32)
        study = Study(**{**self.get_arguments(), "plan": plan, "epochs": plan.epochs, "precision": precision})
        study.has_measured_precision = precision == own.precision
        study.compiled = self.compiled if study.has_measured_precision else {}
        return study

    @property
    def _examples(self) -> int:
        """The number of validation examples of a trial. With a plan it is at most 2,000."""
        count = len(self.data.validation.x)
        return count if self.plan is None else min(count, VALIDATION)

    @property
    def judging(self) -> np.ndarray | None:
        """The indices of the validation examples of a trial, the same in each; `None` for all."""
        count = len(self.data.validation.x)
        if self._examples == count:
            return None
        return np.sort(np.random.default_rng(0).permutation(count)[: self._examples])

    @cached_property
    def trial_data(self) -> Dataset:
        """The data of a trial, the same in each."""
        rows, (x, y) = self.judging, self.data.validation
        return self.data if rows is None else replace(self.data, validation=Split(x[rows], y[rows]))

    @property
    def results(self) -> Results:
        """The `Results` as of the last run or `refresh`."""
        return self._results

    @property
    def verdict(self) -> Verdict:
        """The best configuration in a sentence, and warnings."""
        return verdict(self._results)

    def measure_latency(self, format: str = "saved_model") -> Results:
        """Measure the latency of each network of the study on this machine, and store it with the study.

        A network of each architecture that was tried is exported into a temporary folder in the study's folder, and
        verified. The weights are those of the initialization: they do not affect the time. Then a call with one example
        is timed, of all artefacts in turns, so that other load on the machine affects all of them alike. The median in
        milliseconds becomes a column of all tables, such as `saved_model_ms`, and `results.csv` and `results.json` are
        written again. Networks that were measured before are not measured again. A call that was interrupted
        continues with the artefacts that it has written.

        Args:
            format: String, the format of `bnzoo.export`: `"saved_model"`, `"onnx"`, `"litert"` or `"openvino"`.

        Returns:
            The `Results`, with the latencies.

        Raises:
            ValueError: If the format is unknown, no trial has run, or `best.keras` is damaged.
            ImportError: If the packages of the format are not installed.
            RuntimeError: If an artefact differs from its model.
        """
        latency.check(format)
        if not len(self._results):
            raise ValueError(f"{self.directory}: no trial has run, so there is no network to measure.")
        with one_writer(self.directory):
            self.refresh()  # another process may have measured some while this one waited
            self._records.add_latencies(format, latency.measure(self, format))
            results = self.refresh()
            # trials of other processes may have ended meanwhile: with them in `results.json`, no process would write
            # `best.keras` again
            self._records.write(results, trained=self._is_trained(results.best))
            results.save(self.directory, self._command)
        return results

    def front(self, against: str = "multiplications") -> pd.DataFrame:
        """Return the Pareto front: the configurations that no other one beats in both the objective and the cost.

        Args:
            against: String, the cost of the network: `"multiplications"`, `"parameters"`, or `"latency"`, the
                milliseconds that `measure_latency` has measured last. With several formats, the column of one of them,
                such as `"onnx_ms"`.

        Returns:
            A `pandas.DataFrame` with one row per configuration, the lowest cost first: its hyperparameters, the cost,
            the `score` (lower is better) and the metric, such as `accuracy`. They are means over the seeds; `score_low`
            and `score_high`, `accuracy_low` and `accuracy_high` are the lowest and the highest value of a seed.

        Raises:
            ValueError: If `against` is unknown, or this cost is not known.

        Examples:
        >>> study.measure_latency("onnx")
        >>> study.front(against="latency")
        """
        return front(self._results, against)

    @property
    def _command(self) -> str:
        """The command line of the search: another command, such as a training, may write the files again."""
        return stored_command(self.directory) or command()

    @property
    def finished(self) -> bool:
        """`True` if all requested trials have run."""
        return bool(len(self._results)) and not self._results.not_tried

    def run(
        self,
        progress: Progress | None = None,
        *,
        workers: int = 1,
        budget: float | None = None,
        trials: int | None = None,
    ) -> Results:
        """Run the remaining trials, then write `results.csv`, `results.json` and `best.keras`.

        Args:
            progress: Function that replaces the progress bar. It is called with the study and the values of a trial
                that starts (with one worker only), or the `TrialResult` of a trial that has ended.
            workers: Integer, the number of processes that share the trials and the cores of this machine, at most 256.
            budget: Float, the seconds after which trials end. One that is running then is evaluated as it is.
            trials: Integer, the maximum number of trials of the study, including those of earlier runs and of other
                workers; at most 100,000.

        Returns:
            The `Results`, including the trials that were not tried.

        Raises:
            ValueError: If an argument is invalid, or a sampler has neither a budget nor a number of trials.
            RuntimeError: If all workers of this machine died.
        """
        self.check_bounds(workers, budget, trials)
        if progress is None:
            from bnzoo.tuning.progress import progress_bar

            total = trials if self.sampler != GRID else min(trials or len(self._grid), len(self._grid))
            with progress_bar(self, total=total, budget=budget) as bar:
                return self.run(bar, workers=workers, budget=budget, trials=trials)
        self._begin()
        self.refresh()
        if not self.finished or self.sampler != GRID:
            if workers == 1:
                run_trials(self, self._records, progress, budget=budget, trials=trials)
            else:
                run_workers(self, progress, workers, budget=budget, trials=trials)
        return self._write()

    def check_bounds(self, workers: int = 1, budget: float | None = None, trials: int | None = None) -> None:
        """Raise `ValueError` if `run` does not accept these arguments."""
        limits.check_bounds(self.sampler, workers, budget, trials)

    def confirm(
        self,
        top: int = 3,
        seeds: int = CONFIRMATION_SEEDS,
        progress: Progress | None = None,
        *,
        workers: int = 1,
        budget: float | None = None,
    ) -> Results:
        """Train the best configurations of the search again with new seeds, then write the results.

        The best of many trials owes part of its score to chance: with other seeds it is worse. The trials of the
        confirmation have the same steps as those of the search, are stored in the study, and go on where they were
        stopped. `results.confirmation` has their results, `results.confirmed` compares them with the search, and
        `results.best` is the best one by the new scores. They are no trials of the search, and are not pruned.

        Args:
            top: Integer, the number of configurations. Fewer are confirmed if fewer are usable.
            seeds: Integer, the number of new seeds of each, at least 2. A confirmation that has begun keeps its own.
            progress: As in `run`.
            workers: As in `run`.
            budget: Float, the seconds after which no more trials are run. One that is running then does not count.

        Returns:
            The `Results`.

        Raises:
            ValueError: If an argument is invalid, or there are fewer configurations than `top`.
            RuntimeError: If no trial is usable, or all workers of this machine died.
        """
        self.check_confirmation(top)
        check_seeds(seeds)
        self.check_bounds(workers, budget, trials=limits.TRIALS)
        self._begin()
        self.refresh()
        self._best()
        run_confirmation(self, self._records, top, seeds, progress, workers, budget)
        return self._write()

    def check_confirmation(self, top: int) -> None:
        """Raise `ValueError` if the search has fewer configurations than are to be confirmed."""
        limits.check_confirmation(self.space, self.sampler, top)

    def work(
        self,
        progress: Progress = lambda *event: None,
        *,
        budget: float | None,
        trials: int | None,
        confirming: bool = False,
    ) -> None:
        """Run trials as one of several workers, without writing results. For the processes that `run` starts."""
        self._begin()
        finalists = self._records.finalists() if confirming else None
        run_trials(self, self._records, progress, budget=budget, trials=trials, finalists=finalists)

    def _write(self) -> Results:
        with one_writer(self.directory):
            results = self.refresh()
            self._records.write(results, trained=self._is_trained(results.best))
        return self._results

    def _begin(self) -> None:
        """Create the folder, the definition and the study in the storage, each if it does not exist."""
        self._records.create()

    def refresh(self) -> Results:
        """Read the results of all workers and return them."""
        stored = self._records.read()
        not_tried = self._not_tried(stored.results, stored.trials)
        values = {name: values for name, values in self.space.axes().items() if name != "learning_rate"}
        confirmation = confirmation_of(stored, self.definition, self._objective, self._baseline)
        scored = (self._objective, self._baseline, values, confirmation, self._examples, self._records.latencies)
        self._results = Results(stored.results, self.definition, not_tried, *scored)
        return self._results

    def hyperparameters(self) -> keras_tuner.HyperParameters:
        """Return the hyperparameters: for a grid with their values, else with their ranges."""
        hyperparameters = keras_tuner.HyperParameters()
        if self.sampler in OF_A_GRID:
            for name, values in self.space.axes().items():
                hyperparameters.Choice(name, list(values))
        else:
            self.space.declare_hyperparameters(hyperparameters)
        return hyperparameters

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report: one HTML file, and its figures as PNG files in the same folder.

        After `export` it has the metrics of the best model.

        Args:
            path: The HTML file. Default: `report.html` in the study's folder.

        Returns:
            The path of the HTML file.
        """
        from bnzoo import reports

        path = self.directory / "report.html" if path is None else Path(path)
        with one_writer(self.directory):
            reports.write_report(
                self._results, self.verdict, path, self._command, self.artefact_of(self._results.candidate)
            )
        return path

    def best_model(self) -> keras.Model:
        """Return the trained model of the best trial, with recalibrated statistics. Nothing is trained again.

        Its outputs are logits, or the targets of a regression.

        Raises:
            RuntimeError: If no trial is usable.
        """
        return self.model(self._best())

    def model(self, trial: TrialResult) -> keras.Model:
        """Return the trained model of a trial, with recalibrated statistics.

        Args:
            trial: A `TrialResult` of this study.

        Raises:
            FileNotFoundError: If the model was not kept. Those of the best `checkpoints` configurations are.
            ValueError: If its file is damaged.
        """
        return self._records.load_model(trial)

    def train(
        self,
        *,
        epochs: int | None = None,
        budget: float | None = None,
        deadline: float | None = None,
        trial: TrialResult | Mapping[str, Any] | None = None,
        schedule: str | None = None,
        warmup: float | None = None,
        precision: str = AUTO,
        average: bool = True,
        patience: int | None = None,
        all_data: bool = False,
        augment: str | Sequence[str] | None = None,
        tensorboard: str | Path | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        progress: Callable[[Moment], None] | None = None,
    ) -> Training:
        """Train the best configuration from its start to the end, and export the model.

        The training is that of `bnzoo.train`, with the learning rate, the batch size, the optimizer and the class
        weights of the study. It writes `best.keras`, the next version of the SavedModel in `best`, and `export.json`
        into the study's folder, and its checkpoints into `training`. A training that was killed goes on where it was.

        The trials of a study with a budget are evaluated on at most 2,000 validation examples. The others are training
        data here.

        A learning rate that a short trial has endured can be too high for a long training. If the training of a trial
        diverges, it begins again at a third of the rate, up to two times, unless half of the time is over.

        Args:
            epochs: Integer. Default: 30, or as many as fit into the time.
            budget: Float, the seconds of this call, export included.
            deadline: Float, the end of this call as `time.monotonic()`, instead of `budget`.
            trial: A `TrialResult` of this study, or a dict of hyperparameters, such as
                `{"depth": 8, "norm": "batch", "learning_rate": 0.1}`, in which a missing learning rate is that of
                `bnzoo.train`, and any other missing value the first one of its axis. Default: the best trial.
            schedule: As in `bnzoo.train`. Default: that of the trial; that of `bnzoo.train` if the space has only
                `"half_cosine"`, the default of trials.
            warmup: As in `bnzoo.train`. Default: that of the trial, if `schedule` is not given.
            precision: As in `bnzoo.train`; `"auto"` is the precision of the trials if this process has measured it for
                the plan, or the training takes less than a minute.
            average: As in `bnzoo.train`.
            patience: As in `bnzoo.train`.
            all_data: As in `bnzoo.train`.
            augment: As in `bnzoo.data.load`. Default: the augmentation of the data; `"crop"`, a shift by at most an
                eighth of the side, for images that have none. `"none"` for no augmentation.
            tensorboard: As in `bnzoo.train`.
            callbacks: As in `bnzoo.train`.
            progress: As in `bnzoo.train`.

        Returns:
            A `bnzoo.training.Training`.

        Raises:
            ValueError: If an argument is invalid.
            RuntimeError: If no trial is usable, the loss becomes infinite or NaN at each of these rates, or the
                SavedModel differs from the model.
        """
        if budget is not None:
            deadline = time.monotonic() + number("budget", budget, above=0)
        chosen = self._best() if trial is None else trial
        self._begin()
        return train_configuration(
            self,
            chosen,
            augment,
            tensorboard=tensorboard,
            callbacks=callbacks,
            progress=progress,
            epochs=epochs,
            deadline=deadline,
            schedule=schedule,
            warmup=warmup,
            precision=precision,
            average=average,
            patience=patience,
            all_data=all_data,
        )

    def export(self) -> Artefact:
        """Export the best model as a SavedModel, `best/1` in the study's folder. See `bnzoo.export.saved_model`.

        The SavedModel is compared with the model on the test data before it appears, and the test accuracy is that of
        the SavedModel. If the study has exported this trial before, that artefact is returned. If the study has found a
        better trial since, or its table has other names or words since, the model becomes the next version.

        An artefact whose files do not match their checksums is not returned. If several processes export at the same
        time, one of them does it, and the others wait.

        Returns:
            An `Artefact`.

        Raises:
            RuntimeError: If no trial is usable, the SavedModel differs from the model, or an earlier export is damaged.
            ValueError: If `export.json`, which describes the artefact, is damaged.
        """
        best = self._best()
        with one_writer(self.directory):
            artefact = export_once(lambda: self.model(best), best.trial, self.data, self.directory)
            if artefact.training is None:  # a training of another trial may have written `best.keras`
                with suppress(FileNotFoundError):
                    self._records.write_model(best)
        return artefact

    def artefact_of(self, trial: TrialResult | None) -> Artefact | None:
        """Return the artefact of a trial; `None` if the newest artefact is that of another one, or there is none."""
        note = self.directory / NOTE
        if trial is None or not note.exists():
            return None
        artefact = Artefact.load(note)
        return artefact if artefact.trial == trial.trial else None

    def _is_trained(self, trial: TrialResult | None) -> bool:
        """Return whether the newest model is that of a training of a trial to the end."""
        with suppress(ValueError):  # `export` names a damaged description
            artefact = self.artefact_of(trial)
            return artefact is not None and artefact.training is not None
        return False

    @cached_property
    def _baseline(self) -> float:
        """The metric of guessing on the validation data."""
        data, truth = self.data, self.data.validation.y
        return metric_for(data.task).compute(guesses(data.train.y, data.outputs, len(truth)), truth)

    def _best(self) -> TrialResult:
        best = self._results.best
        if best is None:
            raise RuntimeError(f"{self.directory}: no trial is usable, so there is no best model.")
        return best

    def _not_tried(self, results: list[TrialResult], trials: Mapping[int, FrozenTrial]) -> list[dict[str, Any]]:
        """Return the values and seeds of requested trials without a result. Future proposals are not known."""
        done = {result.trial for result in results}
        if self.sampler == GRID:
            points = dict(enumerate(self._grid))
        else:
            points = {number: {**trial.params, "seed": number % self.seeds} for number, trial in trials.items()}
        return [values for number, values in points.items() if number not in done]

    @cached_property
    def _grid(self) -> list[dict[str, Any]]:
        points = GridPlan(self.hyperparameters(), self.enqueue).points
        return [{**point, "seed": seed} for point in points for seed in range(self.seeds)]
