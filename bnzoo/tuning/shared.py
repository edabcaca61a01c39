"""An Optuna study as the workers share it: trials are begun, reported, noted and ended, each by one of them."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bnzoo.errors import choice
from bnzoo.tuning.storage import JOURNAL, create_quietly, open_storage

# under which names an Optuna trial has what bnzoo keeps with it
INDEX, ENDED = "bnzoo:index", "bnzoo:ended"

# each looks at 1, 3, 9, ... epochs; successive halving and Hyperband keep about the best third
PRUNERS = {
    "successive_halving": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=1, reduction_factor=3),
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=5),
}


def make_pruner(pruner: str | optuna.pruners.BasePruner | None) -> optuna.pruners.BasePruner:
    """The pruner of a name, one that prunes nothing for `None`."""
    if isinstance(pruner, optuna.pruners.BasePruner):
        return pruner
    return optuna.pruners.NopPruner() if pruner is None else PRUNERS[choice("pruner", pruner, PRUNERS)]()


class SharedStudy:
    """An Optuna study in a storage.

    Args:
        url: An SQLAlchemy URL, or `None` for the journal in the folder.
        folder: The folder of the study; the journal needs that it exists.
        name: String, the study in the storage; `None` for the only one of a journal, whose name is then that of a
            folder that was renamed since.
        direction: `optuna.study.StudyDirection`.
        pruner: As `OptunaOracle`'s.
        create: Boolean, whether the study is made if there is none.

    Raises:
        KeyError: If there is none and it is not made.
        ValueError: If the storage cannot be read, or it has several studies and no name tells which is meant.

    Attributes:
        name: String, the study in the storage.
        optuna: The `optuna.Study`.
        keeper: `bnzoo.tuning.storage.Keeper`.
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
        self.keeper = open_storage(url, folder)
        self.name = name = self._only_name() if name is None else name
        options: dict[str, Any] = {"study_name": name, "storage": self.storage, "pruner": make_pruner(pruner)}
        try:
            self.optuna = optuna.load_study(**options)
        except KeyError:
            if not create:
                raise
            with create_quietly():  # or another worker has done it meanwhile
                self.optuna = optuna.create_study(direction=direction, load_if_exists=True, **options)
        self._id = self.storage.get_study_id_from_name(name)

    def _only_name(self) -> str:
        names = [study.study_name for study in self.storage.get_all_studies()]
        if len(names) > 1:
            raise ValueError(f"{self.keeper.place} has {len(names)} studies: {', '.join(names)}. Pass `name=`")
        if not names:
            raise KeyError("no study")
        return names[0]

    @property
    def storage(self) -> BaseStorage:
        """The storage."""
        return self.keeper.storage

    def trials(self) -> dict[int, FrozenTrial]:
        """Return the trials that count, by index: the first of each index that was not lost with its worker."""
        return counted(self.stored())

    def stored(self) -> list[FrozenTrial]:
        """Return all trials.

        Raises:
            ValueError: If a trial was not added by bnzoo.
        """
        stored = self.optuna.get_trials(deepcopy=False)
        for trial in stored:
            place = trial.system_attrs.get(INDEX)
            if type(place) is not int or place < 0:
                raise ValueError(
                    f"{self.keeper.place}: trial {trial.number} of the study {self.name!r} has no place in it: it was "
                    "not added by bnzoo, or is damaged. Choose another folder or name"
                )
        return stored

    def running(self) -> bool:
        """Whether any trial is running."""
        return bool(self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    def read(self, key: str) -> Any:
        """What is kept with the study under a name, or `None`."""
        return self.storage.get_study_system_attrs(self._id).get(key)

    def keep(self, key: str, value: Any) -> None:
        """Keeps something JSON-able with the study."""
        self.storage.set_study_system_attr(self._id, key, value)

    def note(self, number: int, key: str, value: Any) -> None:
        """Keeps something JSON-able with a running trial; nothing if it was lost to another worker."""
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            self.storage.set_trial_system_attr(self._trial_id(number), key, value)

    def show(self, number: int, **values: Any) -> None:
        """Puts values beside a running trial where dashboards show them."""
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            for name, value in values.items():
                self.storage.set_trial_user_attr(self._trial_id(number), name, value)

    def report(self, number: int, value: float, step: int) -> bool:
        """Reports how far a running trial has come; gives whether it should end here."""
        trial = optuna.trial.Trial(self.optuna, self._trial_id(number))
        try:
            trial.report(value, step)
            return trial.should_prune()
        except optuna.exceptions.UpdateFinishedTrialError:
            return True  # it was lost to another worker: no use in going on

    def end(self, number: int, state: TrialState, value: float | None = None) -> bool:
        """Ends a running trial; gives whether it was still this worker's to end."""
        self.note(number, ENDED, True)
        try:
            values = None if value is None else [value]
            return self.storage.set_trial_state_values(self._trial_id(number), state, values)
        except optuna.exceptions.UpdateFinishedTrialError:
            # lost; or the database went away between doing this and saying so
            return self.storage.get_trial(self._trial_id(number)).state == state
        finally:
            self.keeper.release()

    def _trial_id(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self._id, number)


def find_study(url: str | None, folder: Path, name: str | None, pruner: Any = None) -> SharedStudy | None:
    """The study of this name, if there is one; nothing is written into the folder to find out.

    Takes what `SharedStudy` does.
    """
    if url is None and not (folder / JOURNAL).exists():
        return None
    with suppress(KeyError):
        return SharedStudy(url, folder, name, pruner=pruner, create=False)
    return None


def index(trial: FrozenTrial) -> int:
    """The index of a trial."""
    return trial.system_attrs[INDEX]


def counted(stored: list[FrozenTrial]) -> dict[int, FrozenTrial]:
    """The trials that count among the stored ones, by index."""
    trials: dict[int, FrozenTrial] = {}
    for trial in stored:
        if trial.state != TrialState.FAIL or ENDED in trial.system_attrs:
            trials.setdefault(index(trial), trial)
    return dict(sorted(trials.items()))
