"""The interface of the storages of a study."""

from abc import ABC, abstractmethod
from typing import Any

import optuna
from optuna.storages import BaseStorage


class Backend(ABC):
    """An Optuna storage that also records the worker of each running trial.

    Attributes:
        storage: The `optuna.storages.BaseStorage`.
        location: String, for messages: the path of the journal, or the URL without its password.
    """

    storage: BaseStorage
    location: str

    @abstractmethod
    def set_first(self, study_id: int, key: str, value: Any) -> None:
        """Set a system attribute of a study, unless it is set. Of several processes at the same moment one succeeds."""

    @abstractmethod
    def acquire(self, number: int, trial_id: int) -> bool:
        """Make a trial this worker's, before it runs.

        Args:
            number: Integer, the number of the trial in the study.
            trial_id: Integer, the id of the trial in the storage.

        Returns:
            Boolean, `False` if another worker has the trial.
        """

    @abstractmethod
    def release(self) -> None:
        """Release the trial that this worker has, if there is one."""

    @abstractmethod
    def fail_abandoned(self, study: optuna.Study) -> None:
        """Set the state of running trials whose workers are dead to `FAIL`."""
