"""The journal of a study: a file with an operation of Optuna's in each line, read with care."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import filelock
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from bnzoo.reading import regular_file

NAME = "journal.log"
_TAIL = 8192  # bytes, in which the last line mostly is

_NUMBER = (int, float)
_OBJECT, _MAYBE_TEXT = (dict,), (str, type(None))
# the fields of each operation, by its number in Optuna, and the types that their values may have
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
# fields that the creation of a trial may have
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


class _DamagedJournalError(ValueError):
    """A line of a journal is not one that a writer has written."""


class _JournalFile(JournalFileBackend):
    """A journal that a killed writer cannot spoil: half a line at its end is cut off before the next is written."""

    def __init__(self, path: Path) -> None:
        if os.path.lexists(path):
            regular_file(path)
        self.path = path
        self.last: dict[str, Any] = {}  # that was read
        self._writing = filelock.FileLock(path.with_name(".journal.lock"))
        # Optuna's own locks outlive a killed process by half a minute; this one ends with it
        super().__init__(str(path), lock_obj=self._writing)  # type: ignore[arg-type]

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        line = log_number_from + 1
        try:
            for log in super().read_logs(log_number_from):
                _check(log)
                self.last = log
                yield log
                line += 1
        except (ValueError, RecursionError) as error:
            raise self.damaged(line, error) from error

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with self._writing:
            with self.path.open("rb+") as file:
                _cut_half_a_line(file)
                self._check_last_line(file)
            super().append_logs(logs)

    def _check_last_line(self, file: BinaryIO) -> None:
        """Refuse to write after a damaged line, which readers take for one that is being written."""
        try:
            json.loads(_last_line(file) or "{}")
        except (ValueError, RecursionError) as error:
            file.seek(0)
            raise self.damaged(file.read().count(b"\n"), error) from error

    def damaged(self, line: int, error: Exception) -> _DamagedJournalError:
        """Return the error for a line that cannot be used."""
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error) or type(error).__name__
        return _DamagedJournalError(
            f"{self.path} cannot be read as the journal of a study: line {line}: {reason}. Restore the file from a "
            "copy, or choose another folder to start anew"
        )


class Operations(JournalStorage):
    """Optuna's storage of a journal. An operation that it cannot carry out is an error that names file and line.

    Args:
        path: The file; made if there is none.
    """

    def __init__(self, path: Path) -> None:
        self._file = _JournalFile(path)
        super().__init__(self._file)

    def _sync_with_backend(self) -> None:
        try:
            super()._sync_with_backend()
        except (_DamagedJournalError, DuplicatedStudyError, UpdateFinishedTrialError, OSError):
            raise
        except Exception as error:
            if self._file.last.get("worker_id") == self._replay_result.worker_id:
                raise  # an operation of this process, which should know of it
            raise self._file.damaged(self._replay_result.log_number_read, error) from error


def _check(log: Any) -> None:
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
            raise ValueError(f"{name!r} is missing or of another type than operation {operation} has")
    for name in ("values", "directions"):
        if not all(isinstance(value, _NUMBER) for value in log.get(name) or ()):
            raise ValueError(f"{name!r} must be numbers")


def _cut_half_a_line(file: BinaryIO) -> None:
    end = file.seek(0, os.SEEK_END)
    if end and (file.seek(end - 1), file.read(1))[1] != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def _last_line(file: BinaryIO) -> bytes:
    end, size = file.seek(0, os.SEEK_END), _TAIL
    while True:
        file.seek(max(0, end - size))
        _, sign, line = file.read(end - file.tell()).removesuffix(b"\n").rpartition(b"\n")
        if sign or size >= end:
            return line
        size *= 8
