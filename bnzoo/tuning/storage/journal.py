"""A journal in the study's folder as the storage, and lock files as the ownership of running trials."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import filelock
import optuna
from optuna.trial import TrialState

from bnzoo.tuning.storage.backend import Backend
from bnzoo.tuning.storage.journal_file import NAME, open_journal


class Journal(Backend):
    """A journal in the study's folder.

    A worker locks a file for its trial. The operating system releases the lock when the worker dies.

    Args:
        folder: The folder of the study, which exists.
    """

    def __init__(self, folder: Path) -> None:
        self.storage = open_journal(folder / NAME)
        self.location = str(folder / NAME)
        self._folder = folder / ".running"
        self._held: filelock.FileLock | None = None

    def set_first(self, study_id: int, key: str, value: Any) -> None:
        """Set a system attribute of a study, unless it is set. A lock admits one process at a time."""
        with filelock.FileLock(self._folder.with_name(".definition.lock")):
            if key not in self.storage.get_study_system_attrs(study_id):
                self.storage.set_study_system_attr(study_id, key, value)

    def acquire(self, number: int, trial_id: int) -> bool:
        """Lock the file of the trial, without waiting. Return `False` if another worker holds the lock.

        The file is named after `number`; `trial_id` is not used.
        """
        self._held = self._lock(number)
        return self._held is not None

    def release(self) -> None:
        """Unlock the file of the trial and remove it."""
        if self._held is not None:
            self._remove(self._held)
            self._held = None

    def fail_abandoned(self, study: optuna.Study) -> None:
        """Set the state of running trials whose files are not locked to `FAIL`."""
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        study_id = self.storage.get_study_id_from_name(study.study_name)
        for trial in running:
            lock = self._lock(trial.number)
            if lock is not None:
                trial_id = self.storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
                # its worker may have ended the trial since the trials were read
                with suppress(optuna.exceptions.UpdateFinishedTrialError):
                    self.storage.set_trial_state_values(trial_id, TrialState.FAIL)
                self._remove(lock)

    def _lock(self, number: int) -> filelock.FileLock | None:
        self._folder.mkdir(exist_ok=True)
        lock = filelock.FileLock(self._folder / f"{number}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return None
        return lock

    @staticmethod
    def _remove(lock: filelock.FileLock) -> None:
        """Release a lock and remove its file. A trial that is run again has another number."""
        with suppress(PermissionError):  # Windows removes no file that is open
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
