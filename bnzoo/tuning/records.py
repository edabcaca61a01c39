"""The records of a study: the files in its folder, and its trials in the storage."""

import filecmp
import shutil
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import keras
from optuna.trial import FrozenTrial

from bnzoo.files import remove_drafts, whole_file, write_text
from bnzoo.json_text import json_text
from bnzoo.tools import load_model
from bnzoo.training.files import BEST
from bnzoo.tuning.checkpoints import Checkpoints, open_checkpoints
from bnzoo.tuning.costs import Latencies, Latency
from bnzoo.tuning.definition import check_definition, command, require_same_study
from bnzoo.tuning.finalists import FIRST_TRIAL, Finalists, add, listed
from bnzoo.tuning.folder import DEFINITION, RESULTS, TABLE, check_model, count_results, stored_definition
from bnzoo.tuning.results import Results
from bnzoo.tuning.shared import SharedStudy, counted, find_study, is_confirmation, study_names
from bnzoo.tuning.storage import JOURNAL
from bnzoo.tuning.trial_result import TrialResult

# keys of the attributes for the definition and the `Latencies` of a study, and for the `TrialResult` of a trial
_DEFINITION, _LATENCIES, RESULT = "bnzoo:definition", "bnzoo:latencies", "bnzoo:result"


class Stored(NamedTuple):
    """The trials of a study in its storage.

    Attributes:
        results: List of the `TrialResult`s of the search, from all workers.
        trials: Dict of all trials of the search by index.
        confirmations: List of the `TrialResult`s of the finalists.
        finalists: The `Finalists`, or `None`.
    """

    results: list[TrialResult]
    trials: dict[int, FrozenTrial]
    confirmations: list[TrialResult]
    finalists: Finalists | None


class Records:
    """The records of a study, which `check` checks and `create` creates.

    Args:
        definition: Dict, as `Study.definition`.
        folder: The folder of the study.
        url: An SQLAlchemy URL, or `None` for the journal in the folder.
        name: String, the name of the study in the storage, or `None` for the name in the folder.
        pruner: String, as in `Study`.

    Raises:
        ValueError: If the folder or the storage is damaged.

    Attributes:
        name: String, the name of the study in the storage.
    """

    def __init__(
        self, definition: dict[str, Any], folder: Path, url: str | None, name: str | None, pruner: str | None
    ) -> None:
        self._definition, self._folder, self._url, self._pruner = definition, folder, url, pruner
        self._numbers: dict[int, int] = {}  # the number in the storage of each finished trial, by `TrialResult.trial`
        self._results: dict[int, TrialResult] = {}  # by number; a storage does not change finished trials
        self.name, self._shared = _find(folder, url, name, pruner)

    def check(self) -> None:
        """Raise `ValueError` if the folder or the storage has another study, is damaged, or has lost trials."""
        stored, before = stored_definition(self._folder), count_results(self._folder)
        if stored is not None:
            requested = {"name": self.name, **self._definition}
            require_same_study({"name": self.name, **stored}, requested, str(self._folder))
        if self._shared is not None and (definition := _definition_in(self._shared)) is not None:
            require_same_study(definition, self._definition, _place(self._shared))
        stored_trials = self.read()
        count = len(stored_trials.results) + len(stored_trials.confirmations)
        if (before or 0) > count:
            location = "the database" if self._url else str(self._folder / JOURNAL)
            raise ValueError(
                f"{self._folder / RESULTS} has {before} trials, and the study {self.name!r} has only {count} in "
                f"{location}. Restore the lost trials from a copy, or pass the former `name` of the study; or choose "
                "another folder to start a new study."
            )

    def store(self) -> dict[str, Any]:
        """Create the study in the storage if it does not exist, and return its definition in the storage.

        It is that of the first process: several may store theirs at the same moment.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._shared is None:
            self._shared = SharedStudy(self._url, self._folder, self.name, pruner=self._pruner)
        self._shared.set_first(_DEFINITION, self._definition)
        definition = _definition_in(self._shared)
        assert definition is not None
        return definition

    def create(self) -> None:
        """Create the study in the storage, the folder and the definition in it, each if it does not exist."""
        self.store()
        self.check()
        if stored_definition(self._folder) is None:
            write_text(self._folder / DEFINITION, json_text({"name": self.name, **self._definition}))
        (self._folder / "checkpoints").mkdir(exist_ok=True)

    @property
    def shared(self) -> SharedStudy:
        """The study in the storage, which `create` has created."""
        assert self._shared is not None
        return self._shared

    def read(self) -> Stored:
        """Return the trials of all workers in the storage."""
        if self._shared is None:
            return Stored([], {}, [], None)
        every = self._shared.every()
        trials = counted([trial for trial in every if not is_confirmation(trial)])
        confirming = counted([trial for trial in every if is_confirmation(trial)])
        finalists, seeds = listed(self._shared, trials) if confirming else None, self._definition["seeds"]
        self._numbers, self._finished = {}, [trial.number for trial in every if trial.state.is_finished()]
        results = self._read(trials, 0, 0, seeds)
        confirmations = self._read(confirming, FIRST_TRIAL, seeds, finalists.seeds) if finalists else []
        return Stored(results, trials, confirmations, finalists)

    @property
    def latencies(self) -> Latencies:
        """The latencies that were measured. Raise `ValueError` if they are damaged."""
        stored = None if self._shared is None else self._shared.get_attribute(_LATENCIES)
        try:
            return Latencies() if stored is None else Latencies.from_dict(stored)
        except ValueError as error:
            raise ValueError(
                f"{_place(self.shared)} is damaged: {error}. Restore the storage from a copy, or choose another folder "
                "or `name`."
            ) from error

    def add_latencies(self, format: str, measured: Iterable[Latency]) -> None:
        """Store latencies of further networks in a format."""
        self.shared.set_attribute(_LATENCIES, self.latencies.with_more(format, measured).to_dict())

    def _read(self, trials: dict[int, FrozenTrial], first: int, first_seed: int, seeds: int) -> list[TrialResult]:
        """Return the results of finished trials.

        Args:
            trials: Dict of trials by index.
            first: Integer, the number of the trial with the index 0.
            first_seed: Integer, the first of the seeds of each configuration.
            seeds: Integer, the number of them.
        """
        finished = {number: trial for number, trial in trials.items() if trial.state.is_finished()}
        self._numbers |= {first + number: trial.number for number, trial in finished.items()}
        for number, trial in finished.items():
            if trial.number not in self._results and RESULT in trial.system_attrs:
                self._results[trial.number] = self._result(trial, first + number, first_seed + number % seeds)
        return [self._results[trial.number] for trial in finished.values() if trial.number in self._results]

    def _result(self, stored: FrozenTrial, number: int, seed: int) -> TrialResult:
        """Return the result of a finished trial with a number and a seed. Raise `ValueError` if it is damaged."""
        try:
            result = TrialResult.from_dict(stored.system_attrs[RESULT])
            same = stored.params.items() <= result.values.items()
            if not same or (result.trial, result.seed) != (number, seed):
                raise ValueError("it belongs to another trial")
        except ValueError as error:
            raise ValueError(
                f"{self.shared.location} cannot be read as the storage of a study: the result of trial "
                f"{stored.number}: {error}. Restore it from a copy, or choose another folder or `name` to start a new "
                "study."
            ) from error
        return result

    def confirm(self, trials: Sequence[int], seeds: int) -> Finalists:
        """Add trials of the search to the finalists, and return all of them. See `bnzoo.tuning.finalists`."""
        return add(self.shared, trials, seeds)

    def finalists(self) -> Finalists | None:
        """Return the finalists, or `None` if there are none."""
        return listed(self.shared, self.shared.trials())

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """The models of the best trials."""
        return open_checkpoints(self.shared.backend, self.name, self._folder / "checkpoints")

    def keep_only(self, trials: Iterable[int]) -> None:
        """Remove the models of all finished trials but these, given by index. Killed trials may have left one."""
        self.checkpoints.keep_only([self._numbers[trial] for trial in trials], self._finished)

    def load_model(self, trial: TrialResult) -> keras.Model:
        """Return the trained model of a trial."""
        return load_model(self._checkpoint(trial))

    def _checkpoint(self, trial: TrialResult) -> Path:
        return self.checkpoints.fetch(self._numbers[trial.trial])

    def write_model(self, trial: TrialResult) -> None:
        """Write the kept model of a trial as the best model into the folder, unless it is there.

        Raises:
            FileNotFoundError: If the model was not kept.
            ValueError: If its file is damaged.
        """
        kept, file = self._checkpoint(trial), self._folder / BEST
        if file.exists() and filecmp.cmp(kept, file, shallow=False):
            return
        check_model(kept)
        with whole_file(file) as draft:
            shutil.copyfile(kept, draft)

    def write(self, results: Results, trained: bool = False) -> None:
        """Write the results and the best model into the folder, if they have changed.

        Args:
            results: The `Results` of the trials that were read last.
            trained: Boolean, whether the file of the best model is that of a training of the same trial. Only a
                training replaces it, or writes it again if it is missing.
        """
        best, file = results.best, self._folder / BEST
        written = count_results(self._folder) == len(results.every) and (self._folder / TABLE).exists()
        if written and (best is None or trained or file.exists()):
            if best is not None and file.exists():
                check_model(file)
            return
        if not self.shared.is_running():
            remove_drafts(self._folder)  # of killed workers, as no worker writes now
        if best is not None and not trained:
            self.write_model(best)
        results.save(self._folder, command())


def find_definition(folder: Path, url: str | None, name: str | None) -> dict[str, Any] | None:
    """Return the definition of a study that has begun, from its folder or its storage; `None` for a new study.

    Args:
        folder: As in `Records`.
        url: As in `Records`.
        name: As in `Records`.

    Raises:
        ValueError: If the definition is damaged, the storage cannot be used, or the folder has other files.
    """
    stored = stored_definition(folder)
    if stored is not None:
        return stored
    shared = _find(folder, url, name, None)[1]
    return None if shared is None else _definition_in(shared)


def _find(folder: Path, url: str | None, name: str | None, pruner: str | None) -> tuple[str, SharedStudy | None]:
    """Return the name of the study and the study, if it is in the storage. A renamed folder keeps the name."""
    stored, default = stored_definition(folder), folder.resolve().name
    name = name or (stored or {}).get("name") or (default if url else None)
    shared = find_study(url, folder, name, pruner)
    # a process that was killed may have left a journal without a study
    if shared is None and stored is None and study_names(folder):
        raise ValueError(f"{folder / JOURNAL} has no study {name!r}. Choose another folder or `name`.")
    return name or (default if shared is None else shared.name), shared


def _definition_in(shared: SharedStudy) -> dict[str, Any] | None:
    """Return the definition of a study in its storage. Raise `ValueError` if it is damaged."""
    definition = shared.get_attribute(_DEFINITION)
    try:
        return None if definition is None else check_definition(definition)
    except ValueError as error:
        raise ValueError(
            f"{_place(shared)} has no valid definition: {error}. Restore the storage from a copy, or choose another "
            "folder or `name`."
        ) from error


def _place(shared: SharedStudy) -> str:
    return f"{shared.location}: study {shared.name!r} of the storage"
