"""The storage of a study, a journal in its folder or a database, and the ownership of running trials."""

import warnings
from pathlib import Path

import optuna

from bnzoo.tuning.storage.backend import Backend
from bnzoo.tuning.storage.database import Database
from bnzoo.tuning.storage.journal import Journal
from bnzoo.tuning.storage.journal_file import NAME as JOURNAL

__all__ = ["JOURNAL", "Backend", "Database", "Journal", "open_backend"]


def open_backend(url: str | None, folder: Path) -> Backend:
    """Open the storage of a study.

    Args:
        url: An SQLAlchemy URL, or `None` for the journal in the folder.
        folder: The folder of the study. It must exist for a journal.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return Journal(folder) if url is None else Database(url)
