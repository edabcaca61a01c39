"""The trained models that may be the best, where every worker can reach them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras

from bnzoo.files import whole_file
from bnzoo.tuning.results import Results, TrialResult
from bnzoo.tuning.storage import Database, Keeper, patient


class Checkpoints(ABC):
    """Models by the number of their trial."""

    @abstractmethod
    def save(self, number: int, model: keras.Model) -> None:
        """Keeps a model."""

    @abstractmethod
    def fetch(self, number: int) -> Path:
        """The model's file, as Keras saved it.

        Raises:
            FileNotFoundError: If it is not kept.
        """

    @abstractmethod
    def keep_only(self, kept: Iterable[int], finished: Iterable[int]) -> None:
        """Removes models of finished trials but those that are to be kept."""


class Folder(Checkpoints):
    """Files in a folder, which exists."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, number: int, model: keras.Model) -> None:
        """Writes the file, whole or not at all."""
        with whole_file(self.path(number)) as draft:
            model.save(draft)

    def fetch(self, number: int) -> Path:
        """The file."""
        path = self.path(number)
        if not path.exists():
            raise FileNotFoundError(f"{path}: the checkpoint of this trial is not there")
        return path

    def keep_only(self, kept: Iterable[int], finished: Iterable[int]) -> None:
        """Removes files."""
        for number in set(finished) - set(kept):
            self.path(number).unlink(missing_ok=True)

    def path(self, number: int) -> Path:
        """Where the file of a trial is, or would be."""
        return self._folder / f"{number:05d}.keras"


class Table(Checkpoints):
    """Rows of a table in the study's database, so that workers need share nothing else.

    Args:
        engine: The `sqlalchemy.Engine` of the database.
        study: String, the study's name.
        folder: Where models are put that are saved and fetched; it exists.
    """

    def __init__(self, engine: Any, study: str, folder: Path) -> None:
        import sqlalchemy as sql

        self._engine, self._study, self._files = engine, study, Folder(folder)
        self._table = sql.Table(
            "bnzoo_checkpoints",
            sql.MetaData(),
            sql.Column("study", sql.String(512), primary_key=True),
            sql.Column("trial", sql.Integer, primary_key=True, autoincrement=False),
            sql.Column("model", sql.LargeBinary(2**32 - 1), nullable=False),
        )
        self._create()

    @patient
    def _create(self) -> None:
        from sqlalchemy import exc

        # of two workers that make the table at once, one is told that it is there
        with suppress(exc.ProgrammingError, exc.IntegrityError):
            self._table.create(self._engine, checkfirst=True)

    @patient
    def save(self, number: int, model: keras.Model) -> None:
        """Writes the row."""
        self._files.save(number, model)
        data = self._files.fetch(number).read_bytes()
        with self._engine.begin() as connection:
            connection.execute(self._table.delete().where(self._is(number)))
            connection.execute(self._table.insert().values(study=self._study, trial=number, model=data))

    @patient
    def fetch(self, number: int) -> Path:
        """The row, in a file."""
        import sqlalchemy as sql

        with self._engine.connect() as connection:
            data = connection.execute(sql.select(self._table.c.model).where(self._is(number))).scalar()
        if data is None:
            raise FileNotFoundError(f"The checkpoint of trial {number} of {self._study} is not in the database")
        with whole_file(self._files.path(number)) as draft:
            draft.write_bytes(data)
        return self._files.path(number)

    @patient
    def keep_only(self, kept: Iterable[int], finished: Iterable[int]) -> None:
        """Removes rows, and what of them was put into files."""
        dropped = sorted(set(finished) - set(kept))
        with self._engine.begin() as connection:
            connection.execute(
                self._table.delete().where(self._table.c.study == self._study, self._table.c.trial.in_(dropped))
            )
        self._files.keep_only(kept, finished)

    def _is(self, number: int) -> Any:
        import sqlalchemy as sql

        return sql.and_(self._table.c.study == self._study, self._table.c.trial == number)


def open_checkpoints(keeper: Keeper, study: str, folder: Path) -> Checkpoints:
    """The checkpoints of a study: in its database, or in the folder, which exists."""
    return Table(keeper.engine, study, folder) if isinstance(keeper, Database) else Folder(folder)


def may_win(result: TrialResult, results: Results, count: int) -> bool:
    """Whether a configuration could be among the best with this as its best seed: its mean is not below its best."""
    usable = results.usable
    return len(usable) < count or result.score < usable.iloc[count - 1]["score"]


def worth_keeping(results: Results, count: int) -> list[int]:
    """The best seed of each of the best configurations, and every trial of those that still miss seeds."""
    axes = list(results.axes)
    winners = results.usable.head(count)[axes].to_dict("records")
    best = [min(results.of(dict(winner)), key=lambda trial: trial.score).trial for winner in winners]
    complete = [tuple(row) for row in results.configurations[axes].itertuples(index=False)]
    return best + [
        trial.trial for trial in results.trials if tuple(trial.values[axis] for axis in axes) not in complete
    ]
