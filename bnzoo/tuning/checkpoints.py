"""The trained models of the best trials, in a folder or a database that every worker can reach."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras

from bnzoo.files import whole_file
from bnzoo.tuning.results import Results
from bnzoo.tuning.storage import Backend, Database
from bnzoo.tuning.storage.database import retrying
from bnzoo.tuning.trial_result import TrialResult


class Checkpoints(ABC):
    """Trained models by the number of their trial in the storage."""

    @abstractmethod
    def save(self, number: int, model: keras.Model) -> None:
        """Save a model."""

    @abstractmethod
    def fetch(self, number: int) -> Path:
        """Return the path of a model's file, in Keras' format.

        Raises:
            FileNotFoundError: If the model was not kept.
        """

    @abstractmethod
    def keep_only(self, kept: Iterable[int], finished: Iterable[int]) -> None:
        """Remove the models of all finished trials but those that are kept."""


class FolderCheckpoints(Checkpoints):
    """Models as files in a folder.

    Args:
        folder: The folder, which exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, number: int, model: keras.Model) -> None:
        """Write the file atomically."""
        with whole_file(self.path(number)) as draft:
            model.save(draft)

    def fetch(self, number: int) -> Path:
        """Return the path of the file."""
        path = self.path(number)
        if not path.exists():
            raise FileNotFoundError(
                f"{path}: the checkpoint of this trial was not kept. Pass a larger `checkpoints` to keep more of them."
            )
        return path

    def keep_only(self, kept: Iterable[int], finished: Iterable[int]) -> None:
        """Remove files."""
        for number in set(finished) - set(kept):
            self.path(number).unlink(missing_ok=True)

    def path(self, number: int) -> Path:
        """Return the path of the file of a trial, which may not exist."""
        return self._folder / f"{number:05d}.keras"


class DatabaseCheckpoints(Checkpoints):
    """Models as rows of a table in the study's database.

    Args:
        engine: The `sqlalchemy.Engine` of the database.
        study: String, the name of the study.
        folder: The folder for files of models that are saved and fetched. It exists.
    """

    def __init__(self, engine: Any, study: str, folder: Path) -> None:
        import sqlalchemy as sql

        self._engine, self._study, self._files = engine, study, FolderCheckpoints(folder)
        self._table = sql.Table(
            "bnzoo_checkpoints",
            sql.MetaData(),
            sql.Column("study", sql.String(512), primary_key=True),
            sql.Column("trial", sql.Integer, primary_key=True, autoincrement=False),
            sql.Column("model", sql.LargeBinary(2**32 - 1), nullable=False),
        )
        self._create()

    @retrying
    def _create(self) -> None:
        from sqlalchemy import exc

        # another worker may create the table at the same moment
        with suppress(exc.ProgrammingError, exc.IntegrityError):
            self._table.create(self._engine, checkfirst=True)

    @retrying
    def save(self, number: int, model: keras.Model) -> None:
        """Write the row."""
        self._files.save(number, model)
        data = self._files.fetch(number).read_bytes()
        with self._engine.begin() as connection:
            connection.execute(self._table.delete().where(self._is(number)))
            connection.execute(self._table.insert().values(study=self._study, trial=number, model=data))

    @retrying
    def fetch(self, number: int) -> Path:
        """Write the row into a file and return its path."""
        import sqlalchemy as sql

        with self._engine.connect() as connection:
            data = connection.execute(sql.select(self._table.c.model).where(self._is(number))).scalar()
        if data is None:
            raise FileNotFoundError(f"The checkpoint of trial {number} of {self._study} is not in the database.")
        with whole_file(self._files.path(number)) as draft:
            draft.write_bytes(data)
        return self._files.path(number)

    @retrying
    def keep_only(self, kept: Iterable[int], finished: Iterable[int]) -> None:
        """Remove rows and their files."""
        dropped = sorted(set(finished) - set(kept))
        with self._engine.begin() as connection:
            connection.execute(
                self._table.delete().where(self._table.c.study == self._study, self._table.c.trial.in_(dropped))
            )
        self._files.keep_only(kept, finished)

    def _is(self, number: int) -> Any:
        import sqlalchemy as sql

        return sql.and_(self._table.c.study == self._study, self._table.c.trial == number)


def open_checkpoints(backend: Backend, study: str, folder: Path) -> Checkpoints:
    """Return the checkpoints of a study: in its database, or in the folder, which exists."""
    if isinstance(backend, Database):
        return DatabaseCheckpoints(backend.engine, study, folder)
    return FolderCheckpoints(folder)


def may_win(result: TrialResult, results: Results, count: int) -> bool:
    """Return whether a configuration can be among the best ones if this is its best seed.

    The mean of its seeds, which ranks configurations, is at least the score of its best seed. Among equal scores the
    first configuration wins, and it may be the last to end.
    """
    usable = results.usable
    return len(usable) < count or result.score <= usable.iloc[count - 1]["score"]


def best_checkpoints(results: Results, count: int) -> list[int]:
    """Return the trials whose models are kept.

    They are the best seed of each of the best configurations, all trials of configurations with missing seeds, and the
    best seed of each confirmed configuration.
    """
    axes = list(results.axes)
    winners = results.usable.head(count)[axes].to_dict("records")
    best = [min(results.of(dict(winner)), key=lambda trial: trial.score).trial for winner in winners]
    complete = [tuple(row) for row in results.configurations[axes].itertuples(index=False)]
    confirmed: dict[tuple, TrialResult] = {}
    for trial in sorted(results.confirmation.trials if results.confirmation else (), key=lambda trial: trial.score):
        if trial.outcome == "ok":
            confirmed.setdefault(tuple(trial.values[axis] for axis in axes), trial)
    return [
        *best,
        *(trial.trial for trial in results.trials if tuple(trial.values[axis] for axis in axes) not in complete),
        *(trial.trial for trial in confirmed.values()),
    ]
