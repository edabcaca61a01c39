"""A study: a space and data in; records, the best model, a report and an artefact out."""

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from optuna.trial import FrozenTrial

from bnzoo.data import Dataset
from bnzoo.errors import choice, positive_integer
from bnzoo.files import remove_drafts, whole_file, write_text
from bnzoo.json_text import json_text
from bnzoo.tools import load_model
from bnzoo.tuning.artefact import Artefact, ship
from bnzoo.tuning.checkpoints import Checkpoints, may_win, open_checkpoints, worth_keeping
from bnzoo.tuning.definition import check_definition, command, refuse_another, versions
from bnzoo.tuning.folder import BEST, DEFINITION, NOTE, RESULTS, check_model, recorded, stored_definition, turn
from bnzoo.tuning.journal import NAME as JOURNAL
from bnzoo.tuning.oracle import OptunaOracle
from bnzoo.tuning.plans import WORDS, Grid, check_sampler, check_start
from bnzoo.tuning.results import Results, TrialResult
from bnzoo.tuning.shared import PRUNERS, SharedStudy, find_study, index
from bnzoo.tuning.spaces import Space
from bnzoo.tuning.tuner import RESULT, Measure, StudyTuner
from bnzoo.tuning.verdict import Verdict, verdict

# what a study may ask for at most; the machine would be at its end before the study
SEEDS, EPOCHS, WORKERS, TRIALS = 1_000, 1_000_000, 256, 100_000
# under which name the storage has what the study is
_DEFINITION = "bnzoo:definition"
# how many compiled models a process keeps where a sampler may come back to their architectures; a grid does not
_REUSE = 6

Progress = Callable[["Study", dict[str, Any] | TrialResult], None]


class Study:
    """The configurations of a space, on data, with one or several seeds.

    A study that was stopped at any moment goes on where it was when the same study is run again; one that has ended
    does nothing. Run by several processes at once, on one machine or many, it is shared among them: one that is killed
    has its trial taken over, one that comes late joins. What is in the folder is written whole or not at all.

    Args:
        space: A `Space`.
        data: A `bnzoo.data.Dataset`.
        directory: The folder of the study; made when it runs.
        seeds: Integer, the number of seeds (0, 1, ...) of every configuration, for weights and shuffling. At most
            1,000; a grid with all seeds has at most 100,000 trials.
        epochs: Integer, of every trial, at most 1,000,000.
        sampler: `"grid"`, every combination; or `"random"`, `"tpe"` (tree-structured Parzen estimator), `"gp"`
            (Gaussian process), which take learning rates anywhere in their range.
        pruner: `None`, or `"successive_halving"`, `"hyperband"`, `"median"`: what ends trials that others surpass after
            1, 3, 9, ... epochs.
        sampler_seed: Integer. One worker with the same seed tries the same configurations.
        enqueue: Sequence of dicts, values to start with, `{"depth": 8, "learning_rate": 0.1}`. See `OptunaOracle`.
        storage: An SQLAlchemy URL, as `"postgresql://user@host/database"`, through which any number of machines share
            the study, its checkpoints included. `None`: the file `journal.log` in its folder.
        name: String, the study in the storage. Default: the name that the study in the folder has; of a new study that
            of the folder.
        checkpoints: Integer, of how many of the best configurations the trained models are kept.
        measure: Function of a trained model, its statistics recalibrated, and the data, which gives a dict of floats:
            `TrialResult.measured`, a column each in `results.csv`. Whatever the training led to, unless it was pruned;
            the score takes no notice. Defined in a module, so that other workers find it.

    Raises:
        ValueError: If an argument is not possible, or the folder or the storage holds another study (the message says
            what differs) or the folder anything else.

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
        measure: Measure | None = None,
    ) -> None:
        self.space = space.for_data(data)
        self.space.check()
        self.data = data
        self.directory = Path(directory)
        self.seeds = positive_integer("seeds", seeds, SEEDS)
        self.epochs = positive_integer("epochs", epochs, EPOCHS)
        self.sampler = choice("sampler", check_sampler(sampler), WORDS)
        self.pruner = None if pruner is None else choice("pruner", pruner, PRUNERS)
        self.sampler_seed = _seed(sampler_seed)
        self._check_size()
        self.enqueue = [dict(values) for values in enqueue]
        check_start(self.enqueue, self._axes())
        self.storage = storage
        self.checkpoints = positive_integer("checkpoints", checkpoints, TRIALS)
        self.measure = measure
        self._numbers: dict[int, int] = {}  # of the trials that have ended: which they are in the storage
        self._results = Results([], self.definition, self._not_tried([], {}))
        self.name, self._shared = self._find(name)
        self._check_folder()

    @property
    def definition(self) -> dict[str, Any]:
        """All that decides what the study computes, as JSON."""
        return {
            "space": self.space.get_config(),
            "data": {
                "name": self.data.name,
                "classes": self.data.classes,
                "input_shape": list(self.data.input_shape),
                "fingerprint": self.data.fingerprint,
            },
            "seeds": self.seeds,
            "epochs": self.epochs,
            "sampler": {"name": self.sampler, "seed": self.sampler_seed},
            "pruner": None if self.pruner is None else {"name": self.pruner},
            "enqueue": self.enqueue,
            **({} if self.measure is None else {"measure": f"{self.measure.__module__}.{self.measure.__qualname__}"}),
        }

    @property
    def results(self) -> Results:
        """What is known so far."""
        return self._results

    @property
    def verdict(self) -> Verdict:
        """The finding, and its warnings."""
        return verdict(self._results)

    @property
    def finished(self) -> bool:
        """Whether every trial that was asked for has run."""
        return bool(len(self._results)) and not self._results.not_tried

    def run(
        self,
        progress: Progress | None = None,
        *,
        workers: int = 1,
        budget: float | None = None,
        trials: int | None = None,
    ) -> Results:
        """Runs trials that have not run, then writes `results.csv`, `results.json` and `best.keras`.

        Args:
            progress: Function of the study and what happened, instead of the progress bar: the values of the trial
                that starts (with one worker), or the `TrialResult` of the one that has ended.
            workers: Integer, processes that share the trials and the cores of this machine, at most 256.
            budget: Float, seconds in which trials are begun. One that runs then is finished.
            trials: Integer, how many trials the study has at most, those of earlier runs and other workers included;
                at most 100,000.

        Returns:
            The `Results`. They have what was not tried.

        Raises:
            ValueError: If an argument is not possible, or there is no end: a sampler needs a budget or a number of
                trials.
            RuntimeError: If all workers of this machine died.
        """
        self.check_bounds(workers, budget, trials)
        if progress is None:
            from bnzoo.tuning.progress import progress_bar

            total = trials if self.sampler != "grid" else min(trials or len(self._grid), len(self._grid))
            with progress_bar(self, total=total) as bar:
                return self.run(bar, workers=workers, budget=budget, trials=trials)
        self._begin()
        if not self.finished or self.sampler != "grid":
            if workers == 1:
                self._search(progress, budget, trials)
            else:
                from bnzoo.tuning.crew import work_together

                work_together(self, progress, workers, budget=budget, trials=trials)
        self.refresh()
        self._finish()
        return self._results

    def check_bounds(self, workers: int = 1, budget: float | None = None, trials: int | None = None) -> None:
        """Raises `ValueError` if `run` could not be called with these arguments."""
        positive_integer("workers", workers, WORKERS)
        if trials is not None:
            positive_integer("trials", trials, TRIALS)
        if budget is not None and not budget > 0:
            raise ValueError(f"`budget` must be a positive number of seconds. Received: budget={budget!r}")
        if self.sampler != "grid" and budget is None and trials is None:
            raise ValueError(f"sampler={self.sampler!r} has no end of its own: give `budget`, `trials` or both")

    def work(self, progress: Progress = lambda *event: None, *, budget: float | None, trials: int | None) -> None:
        """Runs trials as one worker of several; writes no results. For what `run` starts."""
        self._begin()
        self._search(progress, budget, trials)

    def recipe(self) -> dict[str, Any]:
        """The arguments that make the same study in another process."""
        what = ("space", "data", "directory", "seeds", "epochs", "sampler", "pruner", "sampler_seed", "enqueue")
        how = ("storage", "name", "checkpoints", "measure")
        return {name: getattr(self, name) for name in (*what, *how)}

    def refresh(self) -> Results:
        """Reads what is known now, from all workers."""
        if self._shared is not None:
            trials = self._shared.trials()
            ended = {place: each for place, each in trials.items() if each.state.is_finished()}
            results = [self._result(each) for each in ended.values() if RESULT in each.system_attrs]
            self._numbers = {place: each.number for place, each in ended.items()}
            self._results = Results(results, self.definition, self._not_tried(results, trials))
        return self._results

    def report(self, path: str | Path | None = None) -> Path:
        """Writes the report, one HTML file, and its pictures as PNG beside it.

        Args:
            path: The HTML file; `report.html` in the study's folder by default.

        Returns:
            The path of the HTML file.
        """
        from bnzoo import reports

        path = self._file("report.html") if path is None else Path(path)
        with turn(self.directory):
            reports.write_report(self._results, self.verdict, path, command())
        return path

    def best_model(self) -> keras.Model:
        """The trained model of the best trial, statistics recalibrated; nothing is trained again.

        Its output are logits, or the target of a regression.

        Raises:
            RuntimeError: If no trial is usable.
        """
        return self.model(self._best())

    def model(self, trial: TrialResult) -> keras.Model:
        """The trained model of a trial, statistics recalibrated.

        Args:
            trial: A `TrialResult` of this study.

        Raises:
            FileNotFoundError: If it is not kept: the best `checkpoints` configurations are.
            ValueError: If its file is damaged.
        """
        return load_model(self._checkpoint(trial))

    def export(self) -> Artefact:
        """Exports the best model as a SavedModel, `best/1` in the study's folder. See `bnzoo.export.saved_model`.

        It is compared with the model on the test data before it appears, and the test accuracy is that of the artefact.
        Where the study has exported it before, that is what is returned; where it has gone on since and found a better
        one, that becomes the next version.

        An artefact whose files are not what their checksums say is not returned. Of several processes that export at
        once one does it, and the others wait for it.

        Returns:
            An `Artefact`.

        Raises:
            RuntimeError: If no trial is usable, the artefact differs from the model, or it was exported before and is
                damaged.
            ValueError: If `export.json`, the note on the artefact, is damaged.
        """
        note, trial, version = self._file(NOTE), self._best().trial, 1
        with turn(self.directory):
            if note.exists():
                artefact = Artefact.load(note)
                if artefact.trial == trial and Path(artefact.path).exists():
                    artefact.check()
                    return artefact
                there = [int(path.name) for path in self._file("best").glob("*") if path.name.isdecimal()]
                version = max(there, default=0) + 1  # the study went on, and found a better one
            artefact = ship(self.best_model(), trial, self.data, self._file(f"best/{version}"))
            artefact.save(note)
        return artefact

    def _check_size(self) -> None:
        axes = {name: len(values) for name, values in self.space.axes().items()}
        size = math.prod(axes.values()) * self.seeds
        if self.sampler == "grid" and size > TRIALS:
            parts = " x ".join(f"{count} {name}" for name, count in {**axes, "seed": self.seeds}.items())
            raise ValueError(
                f"The grid has {size:,} trials ({parts}), at most {TRIALS:,} are allowed: leave values out, or use "
                "another sampler with `trials`"
            )

    def _axes(self) -> keras_tuner.HyperParameters:
        """The hyperparameters: of a grid with the values that they have there, else with their ranges."""
        axes = keras_tuner.HyperParameters()
        if self.sampler == "grid":
            for name, values in self.space.axes().items():
                axes.Choice(name, list(values))
        else:
            self.space.declare_hyperparameters(axes)
        return axes

    def _not_tried(self, results: list[TrialResult], trials: Mapping[int, FrozenTrial]) -> list[dict[str, Any]]:
        """What was asked for and has no result; what samplers would propose is not known."""
        done = {result.trial for result in results}
        if self.sampler == "grid":
            points = dict(enumerate(self._grid))
        else:
            points = {place: {**each.params, "seed": place % self.seeds} for place, each in trials.items()}
        return [values for place, values in points.items() if place not in done]

    @cached_property
    def _grid(self) -> list[dict[str, Any]]:
        points = Grid(self._axes(), self.enqueue).points
        return [{**point, "seed": seed} for point in points for seed in range(self.seeds)]

    def _begin(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if stored_definition(self.directory) is None:
            write_text(self._file(DEFINITION), json_text({"name": self.name, **self.definition}))
        self._file("checkpoints").mkdir(exist_ok=True)
        if self._shared is None:
            self._shared = SharedStudy(self.storage, self.directory, self.name, pruner=self.pruner)
        self._check_folder()
        if self._shared.read(_DEFINITION) is None:
            self._shared.keep(_DEFINITION, self.definition)

    def _search(self, progress: Progress, budget: float | None, trials: int | None) -> None:
        def keep(result: TrialResult, number: int, model: keras.Model) -> None:
            if may_win(result, self.refresh(), self.checkpoints):
                self._models.save(number, model)

        def record(result: TrialResult) -> None:
            kept = worth_keeping(self.refresh(), self.checkpoints)
            self._models.keep_only([self._numbers[place] for place in kept], self._numbers.values())
            progress(self, result)

        assert self._shared is not None
        oracle = OptunaOracle(
            keras_tuner.Objective("score", "min"),
            trials,
            sampler=self.sampler,
            storage=self._shared,
            seed=self.sampler_seed,
            enqueue=self.enqueue,
            budget=budget,
            seeds=self.seeds,
            cheap=("learning_rate",),
            hyperparameters=self._axes(),
        )
        oracle.verbose = 0
        tuner = StudyTuner(
            oracle,
            self.space,
            self.data,
            self.directory,
            epochs=self.epochs,
            reuse=1 if self.sampler == "grid" else _REUSE,
            begin=lambda values: progress(self, values),
            keep=keep,
            record=record,
            versions=versions(),
            measure=self.measure,
        )
        try:
            tuner.search()
        finally:
            self._shared.keeper.release()  # of a trial that was interrupted; this process may go on, and run it again

    def _finish(self) -> None:
        """Writes what is known now. Of several workers the last one has all."""
        assert self._shared is not None
        with turn(self.directory):
            self.refresh()
            best, file = self._results.best, self._file(BEST)
            if recorded(self.directory) == len(self._results) and (best is None or file.exists()):
                if best is not None:
                    check_model(file)
                return
            if not self._shared.running():
                remove_drafts(self.directory)  # of workers that were killed; nobody writes now
            if best is not None:
                with whole_file(file) as draft:
                    shutil.copyfile(self._checkpoint(best), draft)
            self._results.save(self.directory, command())

    @cached_property
    def _models(self) -> Checkpoints:
        assert self._shared is not None
        return open_checkpoints(self._shared.keeper, self.name, self._file("checkpoints"))

    def _checkpoint(self, trial: TrialResult) -> Path:
        return self._models.fetch(self._numbers[trial.trial])

    def _best(self) -> TrialResult:
        best = self._results.best
        if best is None:
            raise RuntimeError(f"{self.directory}: no usable trial, so there is no best model")
        return best

    def _find(self, name: str | None) -> tuple[str, SharedStudy | None]:
        """Return the name of the study, which stays when the folder is renamed, and the study if its storage has it."""
        stored, usual = stored_definition(self.directory), self.directory.resolve().name
        name = name or (stored or {}).get("name") or (usual if self.storage else None)
        shared = find_study(self.storage, self.directory, name, self.pruner)
        if shared is None and stored is None and self._file(JOURNAL).exists():
            raise ValueError(f"{self._file(JOURNAL)} has no study {name or 'at all'!r}: choose another folder or name")
        return name or (usual if shared is None else shared.name), shared

    def _check_folder(self) -> None:
        """Read the results, and refuse a folder or a storage of another study, or one that has lost trials."""
        stored, before = stored_definition(self.directory), recorded(self.directory)
        if stored is not None:
            named = {"name": self.name, **self.definition}
            refuse_another({"name": self.name, **stored}, named, str(self.directory))
        if self._shared is not None and (kept := self._shared.read(_DEFINITION)) is not None:
            where = f"{self._shared.keeper.place}: study {self.name!r} of the storage"
            try:
                check_definition(kept)
            except ValueError as error:
                raise ValueError(f"{where} has no definition that can be read: {error}") from error
            refuse_another(kept, self.definition, where)
        self.refresh()
        if (before or 0) > len(self._results):
            where = "the database" if self.storage else str(self._file(JOURNAL))
            raise ValueError(
                f"{self._file(RESULTS)} has {before} trials, and of the study {self.name!r} there are only "
                f"{len(self._results)} in {where}. Restore what was lost, or give the study its former name; or choose "
                "another folder to start anew"
            )

    def _result(self, stored: FrozenTrial) -> TrialResult:
        assert self._shared is not None
        try:
            result = TrialResult.from_dict(stored.system_attrs[RESULT])
            same = stored.params.items() <= result.values.items()
            if not same or (result.trial, result.seed) != (index(stored), index(stored) % self.seeds):
                raise ValueError("it is that of another trial")
        except ValueError as error:
            raise ValueError(
                f"{self._shared.keeper.place} cannot be read as the storage of a study: the result of trial "
                f"{stored.number}: {error}. Restore it from a copy, or choose another folder or name to start anew"
            ) from error
        return result

    def _file(self, name: str) -> Path:
        return self.directory / name


def _seed(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**32:
        raise ValueError(f"`sampler_seed` must be an integer from 0 to 2**32 - 1. Received: sampler_seed={value!r}")
    return value
