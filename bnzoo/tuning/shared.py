"""An Optuna study that several workers share."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bnzoo.errors import choice
from bnzoo.tuning.storage import JOURNAL, open_backend

# keys of the system attributes of an Optuna trial; `ENDED` tells a failure from a trial whose worker was lost
INDEX, ENDED, CONFIRMATION = "bnzoo:index", "bnzoo:ended", "bnzoo:confirmation"

# they compare trials after 1, 3, 9, ... epochs; successive halving and Hyperband keep about the best third
PRUNERS = {
    "successive_halving": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=1, reduction_factor=3),
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=5),
}


def make_pruner(pruner: str | optuna.pruners.BasePruner | None) -> optuna.pruners.BasePruner:
    """Return the pruner of a name, or one that never prunes for `None`."""
    if isinstance(pruner, optuna.pruners.BasePruner):
        return pruner
    return optuna.pruners.NopPruner() if pruner is None else PRUNERS[choice("pruner", pruner, PRUNERS)]()


@contextmanager
def create_quietly() -> Iterator[None]:
    """Suppress Optuna's log message about each study that is created."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


class SharedStudy:
    """An Optuna study in a storage, each running trial of which belongs to one worker.

    Args:
        url: An SQLAlchemy URL, or `None` for the journal in the folder.
        folder: The folder of the study. It must exist for a journal.
        name: String, the name of the study in the storage. `None` for the only study of a journal, whose folder may
            have been renamed.
        direction: `optuna.study.StudyDirection`.
        pruner: As in `OptunaOracle`.
        create: Boolean, whether the study is created if it does not exist.

    Raises:
        KeyError: If the study does not exist and is not created.
        ValueError: If the storage cannot be read, or has several studies and `name` is `None`.

    Attributes:
        name: String, the name of the study in the storage.
        optuna: The `optuna.Study`.
        backend: The `bnzoo.tuning.storage.Backend`.
        marks: Dict, the attributes that tell the trials of a confirmation from those of the search, which have none.
    """

    def __init__(
        self,
        url: str | None,
        folder: Path,
        name: str | None,
        direction: StudyDirection = StudyDirection.MINIMIZE,
        pruner: Any = None,
        create: bool = True,
    ) -> None:
        self.backend, self.marks = open_backend(url, folder), dict[str, Any]()
        self.name = name = self._only_name() if name is None else name
        options: dict[str, Any] = {"study_name": name, "storage": self.storage, "pruner": make_pruner(pruner)}
        try:
            self.optuna = optuna.load_study(**options)
        except KeyError:
            if not create:
                raise
            with create_quietly():  # another worker may create it at the same moment
                self.optuna = optuna.create_study(direction=direction, load_if_exists=True, **options)
        self._id = self.storage.get_study_id_from_name(name)

    def _only_name(self) -> str:
        names = [study.study_name for study in self.storage.get_all_studies()]
        if len(names) > 1:
            raise ValueError(
                f"{self.location} has {len(names)} studies: {', '.join(names)}. Pass one of them as `name`."
            )
        if not names:
            raise KeyError("no study")
        return names[0]

    @property
    def storage(self) -> BaseStorage:
        """The `optuna.storages.BaseStorage`."""
        return self.backend.storage

    @property
    def location(self) -> str:
        """The path of the journal or the URL of the database without its password, for messages."""
        return self.backend.location

    def trials(self) -> dict[int, FrozenTrial]:
        """Return the trials that count, by index: the first trial of each index whose worker was not lost."""
        return counted(self.stored())

    def confirming(self) -> "SharedStudy":
        """Return the same study with the trials of the confirmation, which no pruner ends, as its trials."""
        other = copy(self)
        other.marks = {CONFIRMATION: True}
        other.optuna = optuna.load_study(study_name=self.name, storage=self.storage, pruner=optuna.pruners.NopPruner())
        return other

    def stored(self) -> list[FrozenTrial]:
        """Return all trials of the search, or of the confirmation."""
        return [trial for trial in self.every() if is_confirmation(trial) == bool(self.marks)]

    def every(self) -> list[FrozenTrial]:
        """Return all trials of the search and of the confirmation.

        Raises:
            ValueError: If a trial was not added by bnzoo.
        """
        stored = self.optuna.get_trials(deepcopy=False)
        for trial in stored:
            number = trial.system_attrs.get(INDEX)
            if type(number) is not int or number < 0:
                raise ValueError(
                    f"{self.location}: trial {trial.number} of the study {self.name!r} has no valid attribute "
                    f"{INDEX!r}. Only bnzoo may add trials to this study. Choose another folder or `name`."
                )
        return stored

    def is_running(self) -> bool:
        """Return whether any trial is running."""
        return bool(self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    def get_attribute(self, key: str) -> Any:
        """Return an attribute of the study, `None` if it was not set."""
        return self.storage.get_study_system_attrs(self._id).get(key)

    def set_attribute(self, key: str, value: Any) -> None:
        """Set an attribute of the study to a JSON-serializable value."""
        self.storage.set_study_system_attr(self._id, key, value)

    def set_first(self, key: str, value: Any) -> None:
        """Set an attribute of the study to a JSON-serializable value, unless a process has set it before."""
        self.backend.set_first(self._id, key, value)

    def set_trial_attribute(self, number: int, key: str, value: Any) -> None:
        """Set an attribute of a running trial to a JSON-serializable value, unless another worker has ended it."""
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            self.storage.set_trial_system_attr(self._trial_id(number), key, value)

    def show(self, number: int, **values: Any) -> None:
        """Set attributes of a running trial that dashboards show."""
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            for name, value in values.items():
                self.storage.set_trial_user_attr(self._trial_id(number), name, value)

    def claim(self, trial: FrozenTrial) -> bool:
        """Start a waiting trial as its only worker.

        Returns:
            Boolean, `False` if another worker has started it.
        """
        trial_id = self._trial_id(trial.number)
        if not self.backend.acquire(trial.number, trial_id):
            return False
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            if self.storage.set_trial_state_values(trial_id, TrialState.RUNNING):
                return True
        self.backend.release()
        return False

    def discard(self, number: int) -> None:
        """Set the state of a trial to `FAIL`, so that it does not count, and is run again if it is wanted."""
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            self.storage.set_trial_state_values(self._trial_id(number), TrialState.FAIL)

    def fail_abandoned(self) -> None:
        """Set the state of running trials whose workers are dead to `FAIL`, so that they do not count."""
        self.backend.fail_abandoned(self.optuna)

    def report(self, number: int, value: float, step: int) -> bool:
        """Report an intermediate value of a running trial.

        Returns:
            Boolean, whether the trial should be pruned.
        """
        trial = optuna.trial.Trial(self.optuna, self._trial_id(number))
        try:
            trial.report(value, step)
            return trial.should_prune()
        except optuna.exceptions.UpdateFinishedTrialError:
            return True  # another worker has taken the trial over, and this result would not count

    def end(self, number: int, state: TrialState, value: float | None = None) -> bool:
        """End a running trial.

        Returns:
            Boolean, `False` if another worker has taken the trial over.
        """
        if state == TrialState.FAIL:
            # before the state, which is final. A success has no need of it: if its worker dies here, it is run again
            self.set_trial_attribute(number, ENDED, True)
        try:
            values = None if value is None else [value]
            return self.storage.set_trial_state_values(self._trial_id(number), state, values)
        except optuna.exceptions.UpdateFinishedTrialError:
            # it was taken over; or the connection was lost after the database had stored this same state
            return self.storage.get_trial(self._trial_id(number)).state == state
        finally:
            self.backend.release()

    def _trial_id(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self._id, number)


def find_study(url: str | None, folder: Path, name: str | None, pruner: Any = None) -> SharedStudy | None:
    """Return the study of this name, or `None` if it does not exist. Write nothing into the folder.

    Args:
        url: As in `SharedStudy`.
        folder: As in `SharedStudy`.
        name: As in `SharedStudy`.
        pruner: As in `SharedStudy`.
    """
    if url is None and not (folder / JOURNAL).exists():
        return None
    with suppress(KeyError):
        return SharedStudy(url, folder, name, pruner=pruner, create=False)
    return None


def study_names(folder: Path) -> list[str]:
    """Return the names of the studies in the journal of a folder."""
    if not (folder / JOURNAL).exists():
        return []
    return [study.study_name for study in open_backend(None, folder).storage.get_all_studies()]


def index(trial: FrozenTrial) -> int:
    """Return the index of a trial: the index of its configuration times the number of seeds, plus its seed."""
    return trial.system_attrs[INDEX]


def is_confirmation(trial: FrozenTrial) -> bool:
    """Return whether a trial belongs to the confirmation of the best configurations, not to the search."""
    return CONFIRMATION in trial.system_attrs


def counted(stored: list[FrozenTrial]) -> dict[int, FrozenTrial]:
    """Return the trials that count, by index: the first trial of each index whose worker was not lost."""
    trials: dict[int, FrozenTrial] = {}
    for trial in stored:
        if trial.state != TrialState.FAIL or ENDED in trial.system_attrs:
            trials.setdefault(index(trial), trial)
    return dict(sorted(trials.items()))
