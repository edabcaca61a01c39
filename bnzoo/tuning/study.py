"""A study: a space and data in; records, the best model, a report and an artefact out."""

import itertools
import json
import platform
import shutil
import sys
from collections.abc import Callable
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import filelock
import keras

from bnzoo.data import Dataset
from bnzoo.errors import positive_integer
from bnzoo.files import remove_drafts, whole_file, write_text
from bnzoo.tuning.artefact import Artefact, ship
from bnzoo.tuning.results import Results, TrialResult
from bnzoo.tuning.spaces import Space
from bnzoo.tuning.tuner import StudyTuner
from bnzoo.tuning.verdict import Verdict, verdict


class Study:
    """Every combination of a space, on data, with one or several seeds, kept in a folder.

    A study that was stopped at any moment goes on where it was when the same study is run again; one that has ended
    does nothing. What is in the folder is written whole or not at all.

    Args:
        space: A `Space`.
        data: A `bnzoo.data.Dataset`.
        directory: The folder of the study; made when it runs.
        seeds: Integer, the number of seeds (0, 1, ...) of every configuration, for weights and shuffling.
        epochs: Integer, of every trial.
        batch_size: Integer, of training.

    Raises:
        ValueError: If an argument is not possible, or the folder holds another study (the message says what
            differs) or anything else.

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
        batch_size: int = 64,
    ) -> None:
        self.space = space.for_data(data)
        self.space.check()
        self.data = data
        self.directory = Path(directory)
        self.seeds = positive_integer("seeds", seeds)
        self.epochs = positive_integer("epochs", epochs)
        self.batch_size = positive_integer("batch_size", batch_size)
        if self.batch_size < 2:
            raise ValueError("`batch_size` must be at least 2: one example has no batch statistics. Received: 1")
        self._refuse_another_study()
        self._results = Results(self._load_trials(), self.definition)

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
            "batch_size": self.batch_size,
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
        """Whether every trial has run."""
        return not self._pending()

    def run(self, progress: Callable[["Study", dict[str, Any] | TrialResult], None] | None = None) -> Results:
        """Runs the trials that have not run, then writes `results.csv`, `results.json` and `best.keras`.

        Args:
            progress: Function of the study and what happened, instead of the progress bar: the values of the trial
                that starts, or the `TrialResult` of the one that has ended.

        Returns:
            The `Results`.

        Raises:
            BlockingIOError: If another process is running this study.
        """
        if progress is None:
            from bnzoo.tuning.progress import progress_bar

            with progress_bar(self) as bar:
                return self.run(bar)
        self.directory.mkdir(parents=True, exist_ok=True)
        with self._alone():
            remove_drafts(self.directory)
            self._refuse_another_study()
            self._results = Results(self._load_trials(), self.definition)
            if not self._file("study.json").exists():
                write_text(self._file("study.json"), json.dumps(self.definition, indent=1) + "\n")
            for name in ("trials", "checkpoints"):
                self._file(name).mkdir(exist_ok=True)
            if pending := self._pending():
                self._search(pending, progress)
            if pending or not self._file("results.json").exists():
                self._finish()
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
        reports.write_report(self._results, self.verdict, path)
        return path

    def best_model(self) -> keras.Model:
        """The trained model of the best trial, statistics recalibrated; nothing is trained again.

        Its output are logits.

        Raises:
            RuntimeError: If no trial is usable.
        """
        return keras.saving.load_model(self._checkpoint(self._best()))

    def export(self) -> Artefact:
        """Exports the best model as the SavedModel `best/1` in the study's folder. See `bnzoo.export.saved_model`.

        It is compared with the model on the test data before it appears, and the test accuracy is that of the artefact.
        Where the study has exported it before, that is what is returned.

        Returns:
            An `Artefact`.

        Raises:
            RuntimeError: If no trial is usable, or the artefact differs from the model.
        """
        note, path = self._file("export.json"), self._file("best/1")
        if note.exists() and path.exists():
            return Artefact.load(note)
        artefact = ship(self.best_model(), self._best().trial, self.data, path)
        artefact.save(note)
        return artefact

    def _best(self) -> TrialResult:
        best = self._results.best
        if best is None:
            raise RuntimeError(f"{self.directory}: no usable trial, so there is no best model")
        return best

    def _search(self, pending: list, progress: Callable) -> None:
        def record(result: TrialResult, model: keras.Model | None) -> None:
            if model is not None and self._may_be_best(result):
                with whole_file(self._checkpoint(result)) as draft:
                    model.save(draft)
            result.save(self._file(f"trials/{result.trial:05d}.json"))
            self._results = Results([*self._results.trials, result], self.definition)
            self._drop_checkpoints(result)
            progress(self, result)

        tuner = StudyTuner(
            self.space,
            self.data,
            self.directory,
            pending,
            seeds=self.seeds,
            epochs=self.epochs,
            batch_size=self.batch_size,
            begin=lambda values: progress(self, values),
            record=record,
            versions=_versions(),
        )
        tuner.search()

    def _finish(self) -> None:
        best = self._results.best
        if best is not None:
            with whole_file(self._file("best.keras")) as draft:
                shutil.copyfile(self._checkpoint(best), draft)
        self._results.save(self.directory, _command())

    def _pending(self) -> list[tuple[int, dict[str, Any]]]:
        """The trials still to run, architecture by architecture, the seeds of a configuration one after the other."""
        grid = [{**values, "seed": seed} for values, seed in itertools.product(self.space.grid(), range(self.seeds))]
        done = {trial.trial for trial in self._results.trials}
        return [(index, values) for index, values in enumerate(grid) if index not in done]

    def _may_be_best(self, result: TrialResult) -> bool:
        """Whether a configuration could win with this as its best seed: its mean is not below its best seed."""
        usable = self._results.usable
        return result.outcome == "ok" and (usable.empty or result.score < usable.iloc[0]["score"])

    def _drop_checkpoints(self, last: TrialResult) -> None:
        """Keeps those of the best configuration and of the one whose seeds are running."""
        keep = {trial.trial for trial in self._results.of(last.depth, last.norm, last.learning_rate)}
        if self._results.best is not None:
            best = self._results.best
            complete = len(keep) == self.seeds
            keep = {best.trial} if complete else keep | {best.trial}
        for file in self._file("checkpoints").glob("*.keras"):
            if int(file.stem) not in keep:
                file.unlink()

    def _load_trials(self) -> list[TrialResult]:
        return [TrialResult.load(path) for path in sorted(self._file("trials").glob("*.json"))]

    def _refuse_another_study(self) -> None:
        path = self._file("study.json")
        if not path.exists():
            if self.directory.is_dir() and any(not entry.name.startswith(".") for entry in self.directory.iterdir()):
                raise ValueError(f"{self.directory} is not empty and holds no study: choose another folder")
            return
        stored, asked = _flat(json.loads(path.read_text(encoding="utf-8"))), _flat(self.definition)
        stored["data.name"] = asked["data.name"]  # the fingerprint tells whether data are the same, not their path
        if differences := [
            f"{key}: {stored.get(key)} there, {asked.get(key)} asked for"
            for key in sorted(stored.keys() | asked.keys())
            if stored.get(key) != asked.get(key)
        ]:
            raise ValueError(
                f"{self.directory} holds another study. What differs: {'; '.join(differences)}. Choose another folder, "
                "or ask for the same study to go on with it"
            )

    @contextmanager
    def _alone(self) -> Any:
        lock = filelock.FileLock(self._file(".lock"))
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise BlockingIOError(f"{self.directory}: another process is running this study") from error
        try:
            yield
        finally:
            lock.release()

    def _file(self, name: str) -> Path:
        return self.directory / name

    def _checkpoint(self, trial: TrialResult) -> Path:
        return self._file(f"checkpoints/{trial.trial:05d}.keras")


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {k: v for key, value in tree.items() for k, v in _flat(value, f"{prefix}.{key}" if prefix else key).items()}


def _versions() -> dict[str, str]:
    packages = ("bnzoo", "keras", "keras-tuner", "numpy", "tensorflow")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}


def _command() -> str:
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
