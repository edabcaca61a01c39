"""A database as the storage, and heartbeats as the ownership of running trials."""

import functools
import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import optuna
from optuna.storages import RDBStorage

from bnzoo.passwords import MASK, mask_passwords
from bnzoo.tuning.storage.backend import Backend
from bnzoo.tuning.storage.forwarding import ForwardingStorage

# seconds between two heartbeats of a worker, and without a heartbeat until its trial is given to another worker
HEARTBEAT, GRACE_PERIOD = 5, 40
# attempts, one a second, while the database cannot be reached
ATTEMPTS = 600


class Database(Backend):
    """Any database that SQLAlchemy supports. A worker records heartbeats while it runs a trial.

    Args:
        url: An SQLAlchemy URL.

    Attributes:
        engine: The `sqlalchemy.Engine`.

    Raises:
        ValueError: If the database cannot be reached, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self.location = mask_passwords(url)
        self._database = _connect(url)
        self.engine = self._database.engine
        self._cached = optuna.storages.get_storage(self._database)  # finished trials are read once
        self.storage = RetryingStorage(self._cached)
        self._stopped = threading.Event()

    def set_first(self, study_id: int, key: str, value: Any) -> None:
        """Set a system attribute of a study, unless it is set. The database refuses a second one of the same key."""
        if key not in self.storage.get_study_system_attrs(study_id):
            retrying(self._insert_attribute)(study_id=study_id, key=key, value_json=json.dumps(value))

    def _insert_attribute(self, **row: Any) -> None:
        import sqlalchemy as sql

        # Optuna would replace the attribute if another process has set it since it was read
        table = sql.table("study_system_attributes", *map(sql.column, row))
        with suppress(sql.exc.IntegrityError), self.engine.begin() as connection:
            connection.execute(table.insert().values(row))

    def acquire(self, number: int, trial_id: int) -> bool:
        """Start the heartbeats of a trial. Only the storage decides between two workers that start it."""
        self._record_heartbeat(trial_id)
        self._stopped = threading.Event()
        threading.Thread(target=self._record_heartbeats, args=(trial_id, self._stopped), daemon=True).start()
        return True

    def release(self) -> None:
        """Stop the heartbeats."""
        self._stopped.set()

    def fail_abandoned(self, study: optuna.Study) -> None:
        """Set the state of running trials without a heartbeat in the grace period to `FAIL`."""
        retrying(self._fail_stale_trials)(study.study_name)

    def _fail_stale_trials(self, study_name: str) -> None:
        study = optuna.load_study(study_name=study_name, storage=self._cached)  # Optuna checks the storage's class
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(study)

    def _record_heartbeats(self, trial_id: int, stopped: threading.Event) -> None:
        with suppress(ConnectionError):  # the thread that trains raises the same error
            while not stopped.wait(HEARTBEAT):
                self._record_heartbeat(trial_id)

    def _record_heartbeat(self, trial_id: int) -> None:
        retrying(self._database.record_heartbeat)(trial_id)


class RetryingStorage(ForwardingStorage):
    """A storage in a database, whose calls are retried while the database cannot be reached.

    A call may be carried out although its answer was lost, so that the retry repeats it. That does no harm: setting a
    value twice leaves the same value; a second trial of the same index does not count; and a trial that cannot be
    claimed or ended a second time is read again (`SharedStudy.end`) or becomes stale.
    """

    def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a method of the inner storage, and retry it if the connection is lost."""
        return retrying(method)(*args, **kwargs)


def retrying(function: Callable) -> Callable:
    """Return a function that is retried while the database cannot be reached.

    Args:
        function: A function that uses the database. A second call must do no harm.

    Returns:
        A function that raises `ConnectionError` if no attempt succeeds.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return _retry(lambda: function(*args, **kwargs), _is_connection_lost, attempts=ATTEMPTS, pause=1)
        except Exception as error:
            if not _is_connection_lost(error):
                raise
            reason = mask_passwords(str(error).strip().partition("\n")[0])
            raise ConnectionError(
                f"The database of the study could not be reached in {ATTEMPTS} attempts ({reason}). Start the "
                "database, then run the same study again to continue it."
            ) from error

    return call


def _retry(call: Callable[[], Any], is_transient: Callable[[Exception], bool], attempts: int, pause: float) -> Any:
    """Return the result of a call that is retried after transient errors.

    Args:
        call: Function without arguments.
        is_transient: Function of an exception that returns whether a retry may help.
        attempts: Integer, the maximum number of retries.
        pause: Float, the seconds between two attempts.
    """
    for _ in range(attempts):
        try:
            return call()
        except Exception as error:
            if not is_transient(error):
                raise
            time.sleep(pause)
    return call()


def _is_connection_lost(error: BaseException | None) -> bool:
    """Return whether an error or one of its causes is a lost connection.

    The cause may be several levels down: Optuna queries again in the same session, and raises the error of that.
    """
    from sqlalchemy import exc

    if error is None or isinstance(error, exc.OperationalError | exc.InterfaceError):
        return error is not None
    return _is_connection_lost(error.__cause__ or error.__context__)


def _connect(url: str) -> RDBStorage:
    if url.startswith("postgresql://"):
        url = url.replace("://", "+psycopg://", 1)  # SQLAlchemy's own default depends on its version
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.startswith("postgresql"):
        options["connect_args"] = {"connect_timeout": 10}

    def connect() -> RDBStorage:
        return RDBStorage(url, options, heartbeat_interval=HEARTBEAT, grace_period=GRACE_PERIOD)

    with _explained(url):
        return _retry(connect, _is_race, attempts=4, pause=0.2)


def _is_race(error: Exception) -> bool:
    """Return whether another worker has created the same tables at the same moment."""
    text = str(error).lower()
    return any(word in text for word in ("exist", "duplicate", "unique", "locked"))


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Raise the errors of a connection as a `ValueError` that names the argument, without the password."""
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

    with suppress(Exception):  # a URL that cannot be parsed has no decoded password
        text = text.replace(str(make_url(url).password or MASK), MASK)
    return mask_passwords(text)
