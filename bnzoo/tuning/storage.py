"""Where a study is kept, a journal in its folder or a database, and whose a running trial is."""

import functools
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock
import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from bnzoo.passwords import MASK, mask_passwords
from bnzoo.tuning.journal import NAME as JOURNAL
from bnzoo.tuning.journal import Operations

# seconds: how often a worker says that it lives, and after how long a silence its trial is another's to take
HEARTBEAT, SILENCE = 5, 40
# seconds that a database may be away in the middle of a study
PATIENCE = 600


@contextmanager
def create_quietly() -> Iterator[None]:
    """Keeps Optuna from announcing each study that is created."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


class Keeper(ABC):
    """An Optuna storage that knows whether the worker of a running trial still lives.

    Attributes:
        storage: The `optuna.storages.BaseStorage`.
        place: String, where it is, for messages: the path of the journal, or the URL without its password.
    """

    storage: BaseStorage
    place: str

    @abstractmethod
    def hold(self, trial: FrozenTrial) -> bool:
        """Makes a trial this worker's, before it runs; false if it is another's."""

    @abstractmethod
    def release(self) -> None:
        """Lets go of the trial."""

    @abstractmethod
    def end_abandoned(self, study: optuna.Study) -> None:
        """Ends the running trials whose workers are dead as `FAIL`."""


class Journal(Keeper):
    """A file in the study's folder. A worker holds a lock on its trial, which the system takes away when it dies.

    Args:
        folder: The folder of the study, which exists.
    """

    def __init__(self, folder: Path) -> None:
        self.storage = Operations(folder / JOURNAL)
        self.place = str(folder / JOURNAL)
        self._folder = folder / ".running"
        self._held: filelock.FileLock | None = None

    def hold(self, trial: FrozenTrial) -> bool:
        """Takes the trial's lock."""
        self._held = self._lock(trial)
        return self._held is not None

    def release(self) -> None:
        """Gives the lock back."""
        if self._held is not None:
            self._remove(self._held)
            self._held = None

    def end_abandoned(self, study: optuna.Study) -> None:
        """Ends those whose lock is free."""
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            lock = self._lock(trial)
            if lock is not None:
                # between the reading and the lock its worker may have ended it
                with suppress(optuna.exceptions.UpdateFinishedTrialError):
                    self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
                self._remove(lock)

    def _lock(self, trial: FrozenTrial) -> filelock.FileLock | None:
        self._folder.mkdir(exist_ok=True)
        lock = filelock.FileLock(self._folder / f"{trial.number}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return None
        return lock

    @staticmethod
    def _remove(lock: filelock.FileLock) -> None:
        """Releases a lock and takes its file away: its trial has ended, or waits again and gets a new file."""
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


class Database(Keeper):
    """Any database that SQLAlchemy knows. A worker says every few seconds that it lives.

    Args:
        url: An SQLAlchemy URL.

    Attributes:
        engine: The `sqlalchemy.Engine`.

    Raises:
        ValueError: If the database cannot be reached, or has no driver here.
    """

    def __init__(self, url: str) -> None:
        self.place = mask_passwords(url)
        database = _connect(url)
        self.engine = database.engine
        self.storage = optuna.storages.get_storage(database)  # which puts a cache of finished trials before it
        self._silent = threading.Event()

    def hold(self, trial: FrozenTrial) -> bool:
        """Begins to say that this trial's worker lives; that it is this one, the storage decides."""
        self.storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
        self._silent = threading.Event()
        threading.Thread(target=self._beat, args=(trial._trial_id, self._silent), daemon=True).start()
        return True

    def release(self) -> None:
        """Falls silent."""
        self._silent.set()

    def end_abandoned(self, study: optuna.Study) -> None:
        """Ends those of which nothing was heard for too long."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(study)

    def _beat(self, trial_id: int, silent: threading.Event) -> None:
        with suppress(ConnectionError):  # of which the thread that trains is told too
            while not silent.wait(HEARTBEAT):
                self.storage.record_heartbeat(trial_id)  # type: ignore[attr-defined]


def open_storage(url: str | None, folder: Path) -> Keeper:
    """The storage of a study.

    Args:
        url: An SQLAlchemy URL, or `None` for the journal in the folder.
        folder: The folder of the study; the journal needs that it exists.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return Journal(folder) if url is None else Database(url)


def patient(method: Callable) -> Callable:
    """Return the same method, called again while the database is away, and at the end a `ConnectionError`."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return _insist(lambda: method(*args, **kwargs), _is_away, times=PATIENCE, pause=1)
        except Exception as error:
            if not _is_away(error):
                raise
            reason = mask_passwords(str(error).strip().partition("\n")[0])
            raise ConnectionError(
                f"The database of the study was away for {PATIENCE} seconds ({reason}). The same study, run again, "
                "goes on"
            ) from error

    return call


def _insist(call: Callable[[], Any], excused: Callable[[Exception], bool], times: int, pause: float) -> Any:
    """What a call gives that is made again, a number of times, where its error is excused."""
    for _ in range(times):
        try:
            return call()
        except Exception as error:
            if not excused(error):
                raise
            time.sleep(pause)
    return call()


def _is_away(error: BaseException | None) -> bool:
    """Return whether an error goes back to a lost connection, at any depth: Optuna asks again in the same session."""
    from sqlalchemy import exc

    if error is None or isinstance(error, exc.OperationalError | exc.InterfaceError):
        return error is not None
    return _is_away(error.__cause__ or error.__context__)


class _PatientDatabase(RDBStorage):
    """Waits for a database that goes away in the middle of a study."""


# the private ones are what Optuna's cache, which stands before the database, calls of it
for _name in (
    *(name for name in vars(BaseStorage) if not name.startswith("_")),
    "record_heartbeat",
    "_get_stale_trial_ids",
    "_get_trials",
    "_get_best_trial_id",
    "_create_new_trial",
    "_set_trial_param",
):
    setattr(_PatientDatabase, _name, patient(getattr(RDBStorage, _name)))


@contextmanager
def _explained(url: str) -> Iterator[None]:
    from sqlalchemy import exc

    shown = mask_passwords(url)
    try:
        yield
    except ImportError as error:
        hint = "; pip install 'bnzoo[postgresql]'" if url.startswith("postgresql") else ""
        raise ValueError(f"`storage`: no driver for {shown} is installed ({error}){hint}") from error
    except exc.ArgumentError as error:
        raise ValueError(
            "`storage` must be an SQLAlchemy URL as postgresql://user@host/database or sqlite:///study.db. "
            f"Received: {shown!r}"
        ) from error
    except (exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, TypeError, ValueError) as error:
        reason = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        raise ValueError(f"`storage`: the database {shown} cannot be used: {_masked(reason, url)}") from None


def _masked(text: str, url: str) -> str:
    """Return the text without the password, which a driver may have decoded and quoted."""
    from sqlalchemy.engine import make_url

    with suppress(Exception):  # of a URL that cannot be parsed nothing is decoded
        text = text.replace(str(make_url(url).password or MASK), MASK)
    return mask_passwords(text)


def _connect(url: str) -> RDBStorage:
    if url.startswith("postgresql://"):
        url = url.replace("://", "+psycopg://", 1)  # SQLAlchemy's own default depends on its version
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.startswith("postgresql"):
        options["connect_args"] = {"connect_timeout": 10}

    def connect() -> RDBStorage:
        return _PatientDatabase(url, options, heartbeat_interval=HEARTBEAT, grace_period=SILENCE)

    with _explained(url):
        return _insist(connect, _is_race, times=4, pause=0.2)


def _is_race(error: Exception) -> bool:
    """Of two workers that come first and make the same tables, one is told that they exist."""
    return "exist" in str(error) or "duplicate" in str(error).lower()
