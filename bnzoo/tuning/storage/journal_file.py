"""The journal file of a study: one operation of Optuna per line, each of which is checked."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import filelock
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from bnzoo.reading import regular_file
from bnzoo.tuning.storage.forwarding import ForwardingStorage

NAME = "journal.log"
_TAIL = 8192  # bytes that are read first to find the last line

_NUMBER = (int, float)
_OBJECT, _MAYBE_TEXT = (dict,), (str, type(None))
# the fields of each of Optuna's operations, by its number, and the allowed types of their values
_OPERATIONS: dict[int, dict[str, tuple[type, ...]]] = {
    0: {"study_name": (str,), "directions": (list,)},
    1: {"study_id": (int,)},
    2: {"study_id": (int,), "user_attr": _OBJECT},
    3: {"study_id": (int,), "system_attr": _OBJECT},
    4: {"study_id": (int,), "datetime_start": _MAYBE_TEXT},
    5: {"trial_id": (int,), "param_name": (str,), "param_value_internal": _NUMBER, "distribution": (str,)},
    6: {"trial_id": (int,), "state": (int,), "values": (list, type(None))},
    7: {"trial_id": (int,), "step": (int,), "intermediate_value": _NUMBER},
    8: {"trial_id": (int,), "user_attr": _OBJECT},
    9: {"trial_id": (int,), "system_attr": _OBJECT},
    10: {},
}
# optional fields of operation 4, the creation of a trial
_CREATION: dict[str, tuple[type, ...]] = {
    "state": (int,),
    "params": _OBJECT,
    "distributions": _OBJECT,
    "user_attrs": _OBJECT,
    "system_attrs": _OBJECT,
    "intermediate_values": _OBJECT,
    "value": (*_NUMBER, type(None)),
    "values": (list, type(None)),
}


class _JournalFile(JournalFileBackend):
    """A journal file that survives killed writers: a partial last line is removed before the next line is written.

    Args:
        path: The file. It is created if it does not exist.

    Attributes:
        pending: The number and the content of the line that Optuna is applying; `None` if it has applied all.
        own_workers: Set of strings, the ids with which Optuna has written in this process.
    """

    def __init__(self, path: Path) -> None:
        if os.path.lexists(path):
            regular_file(path)
        self.path = path
        self.pending: tuple[int, dict[str, Any]] | None = None
        self.own_workers: set[str] = set()
        self._writing = filelock.FileLock(path.with_name(".journal.lock"))
        # Optuna's own locks remain for half a minute after a process is killed; this one ends with the process
        super().__init__(str(path), lock_obj=self._writing)  # type: ignore[arg-type]

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        line = log_number_from + 1
        self.pending = None
        try:
            for log in super().read_logs(log_number_from):
                _check(log)
                self.pending = line, log
                yield log
                self.pending = None
                line += 1
        except (ValueError, RecursionError) as error:
            raise self.damaged(line, error) from error

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.own_workers |= {log["worker_id"] for log in logs}
        with self._writing:
            with self.path.open("rb+") as file:
                _remove_partial_line(file)
                self._check_last_line(file)
            super().append_logs(logs)

    def _check_last_line(self, file: BinaryIO) -> None:
        """Raise `ValueError` if the last line is damaged. Readers would take it for a line that is being written."""
        try:
            json.loads(_last_line(file) or "{}")
        except (ValueError, RecursionError) as error:
            file.seek(0)
            raise self.damaged(file.read().count(b"\n"), error) from error

    def damaged(self, line: int, error: Exception) -> ValueError:
        """Return the error for a line that cannot be used."""
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error) or type(error).__name__
        return ValueError(
            f"{self.path} cannot be read as the journal of a study: line {line}: {reason}. Restore the file from a "
            "copy, or choose another folder to start a new study."
        )


class _CheckedJournal(ForwardingStorage):
    """A journal storage that names the file and the line if Optuna cannot apply an operation of another process."""

    def __init__(self, file: _JournalFile) -> None:
        self._file = file
        super().__init__(self.call(JournalStorage, file))

    def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a method of Optuna's storage, which first applies new lines of the journal."""
        try:
            return method(*args, **kwargs)
        except OSError:
            raise
        except Exception as error:
            pending, self._file.pending = self._file.pending, None
            # an invalid operation of this process is an error of its caller
            if pending is None or pending[1]["worker_id"] in self._file.own_workers:
                raise
            raise self._file.damaged(pending[0], error) from error


def open_journal(path: Path) -> BaseStorage:
    """Open the journal of a study.

    Args:
        path: The file. It is created if it does not exist.

    Returns:
        An `optuna.storages.BaseStorage`. Its methods raise `ValueError` if a line of the file is damaged.
    """
    return _CheckedJournal(_JournalFile(path))


def _check(log: Any) -> None:
    """Raise `ValueError` if an object is not an operation of Optuna."""
    if not isinstance(log, dict):
        raise ValueError("it must be an object")
    operation = log.get("op_code")
    if type(operation) is not int or operation not in _OPERATIONS:
        raise ValueError(f"there is no operation {operation!r:.40}")
    fields = {"worker_id": (str,), **_OPERATIONS[operation]}
    if operation == 4:
        fields |= {name: kinds for name, kinds in _CREATION.items() if name in log}
    for name, kinds in fields.items():
        value = log.get(name)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(f"{name!r} is missing, or its type is not that of operation {operation}")
    for name in ("values", "directions"):
        if not all(isinstance(value, _NUMBER) for value in log.get(name) or ()):
            raise ValueError(f"{name!r} must be numbers")


def _remove_partial_line(file: BinaryIO) -> None:
    """Truncate a file after its last line break."""
    end = file.seek(0, os.SEEK_END)
    if end and (file.seek(end - 1), file.read(1))[1] != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def _last_line(file: BinaryIO) -> bytes:
    """Return the last line of a file, without reading all of a large one."""
    end, size = file.seek(0, os.SEEK_END), _TAIL
    while True:
        file.seek(max(0, end - size))
        _, sign, line = file.read(end - file.tell()).removesuffix(b"\n").rpartition(b"\n")
        if sign or size >= end:
            return line
        size *= 8
