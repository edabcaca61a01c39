"""Readers of CSV and Parquet tables: the features' columns, and the target as classes or numbers."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnzoo.data import columns, csv_tables, parquet_tables
from bnzoo.errors import choice, unknown

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet")
TASKS = ("classification", "regression")
FEW_NUMBERS = 20
_SHOWN = 30


class Table(NamedTuple):
    """A table that was read.

    Attributes:
        features: DataFrame of the columns to predict from.
        y: Array, the places of the classes or the float targets.
        labels: Tuple of strings, the classes; empty for a regression.
    """

    features: "pd.DataFrame"
    y: np.ndarray
    labels: tuple[str, ...]


def read(path: Path, target: str | None, task: str | None, max_bytes: int | None = None) -> Table:
    """Read a table and take the target out of it.

    Args:
        path: A `.csv` or `.parquet` file.
        target: String, the column to predict.
        task: String, `"classification"` or `"regression"`; `None` for what the column's kind says.
        max_bytes: Integer, how many bytes a Parquet table may take in memory, as `bnzoo.reading.declared` takes it.

    Raises:
        ValueError: If the file or the column cannot be used.
        ImportError: If pandas, or pyarrow for Parquet, is not there.
    """
    if task is not None:
        choice("task", task, TASKS)
    try:
        import pandas as pd  # noqa: F401
    except ImportError as error:
        raise ImportError("tables are read with pandas: pip install 'bnzoo[tune]'") from error
    frame = csv_tables.read(path) if path.suffix.lower() == ".csv" else parquet_tables.read(path, max_bytes)
    names = list(frame.columns)
    if len(names) < 2:
        raise ValueError(
            f"{path}: one column only, {', '.join(names)!r}; a table has the target and at least one more "
            "(in a .csv, commas separate them)"
        )
    if target is None:
        shown = ", ".join(names[:_SHOWN]) + f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)
        raise ValueError(f"{path}: which column is to be predicted? `target` (`--target`) must be one of: {shown}")
    if target not in names:
        raise ValueError(f"{path}: {unknown('column in `target`', target, names)}")
    if frame.empty:
        raise ValueError(f"{path}: no rows")
    y, labels = _target(f"{path}: the target {target!r}", frame[target], task)
    return Table(frame.drop(columns=target), y, labels)


def _target(what: str, column: "pd.Series", task: str | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the target's values and classes, by the rule that `load` tells."""
    if column.isna().any():
        raise ValueError(
            f"{what} is missing in {column.isna().sum()} of {len(column)} rows, the first at index "
            f"{column.isna().argmax()}; remove them"
        )
    found = columns.content(column)
    if found not in (*columns.NUMBERS, "string", "categorical"):
        raise ValueError(f"{what} {columns.unusable(found)}")
    if (_natural_task(found, column) if task is None else task) == "regression":
        return _numbers(what, found, column), ()
    stray = columns.stray_text(column) if column.nunique() > FEW_NUMBERS and task is None else None
    if stray:
        raise ValueError(f"{what} is a number in most rows, but {stray[1]!r} at index {stray[0]}; mend or remove it")
    codes, values = column.factorize(sort=True)
    return codes, tuple(columns.word(value) for value in values)


def _natural_task(found: str, column: "pd.Series") -> str:
    classes = found not in columns.NUMBERS or found == "boolean"
    few = found == "integer" and column.nunique() <= FEW_NUMBERS
    return "classification" if classes or few else "regression"


def _numbers(what: str, found: str, column: "pd.Series") -> np.ndarray:
    if found not in columns.NUMBERS:
        raise ValueError(f"{what} is text ({str(column.iloc[0])!r} at index 0), no number to regress on")
    values = column.to_numpy(dtype=np.float64)
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(values.astype(np.float32))
    if bad.any():
        raise ValueError(
            f"{what} is infinite or too large for float32 in {bad.sum()} rows, the first at index {bad.argmax()}"
        )
    columns.check_distinct(what, column, values)
    return values
