"""The reader of tables: the columns of the features, and the target as classes or numbers."""

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


class LabelledTable(NamedTuple):
    """A table of features with a target.

    Attributes:
        features: DataFrame of the columns of the features.
        y: Array, the indices of the classes or the float targets.
        labels: Tuple of strings, the names of the classes; empty for a regression.
    """

    features: "pd.DataFrame"
    y: np.ndarray
    labels: tuple[str, ...]


def read(path: Path, target: str | None, task: str | None, max_bytes: int | None = None) -> LabelledTable:
    """Read a table and separate its target.

    Args:
        path: A `.csv` or `.parquet` file.
        target: String, the column to predict.
        task: String, `"classification"` or `"regression"`; `None` to decide by the type of the target, as in `load`.
        max_bytes: Integer, the maximum number of bytes of a Parquet table in memory, as in `bnzoo.reading.declared`.

    Raises:
        ValueError: If the file or the target cannot be used.
        ImportError: If pandas, or pyarrow for Parquet, is not installed.
    """
    if task is not None:
        choice("task", task, TASKS)
    try:
        import pandas as pd  # noqa: F401
    except ImportError as error:
        raise ImportError("Tables are read with pandas: pip install 'bnzoo[tune]'") from error
    frame = csv_tables.read(path) if path.suffix.lower() == ".csv" else parquet_tables.read(path, max_bytes)
    names = list(frame.columns)
    if len(names) < 2:
        raise ValueError(
            f"{path} has only one column, {', '.join(names)!r}; a table must have the target and at least one other "
            "column (a .csv separates them by commas)"
        )
    if target is None:
        shown = ", ".join(names[:_SHOWN]) + f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)
        raise ValueError(
            f"{path}: `target` (`--target`), the column to predict, is missing; it must be one of: {shown}"
        )
    if target not in names:
        raise ValueError(f"{path}: {unknown('column in `target`', target, names)}")
    if frame.empty:
        raise ValueError(f"{path} has no rows; a table must have at least one")
    y, labels = _target(f"{path}: the target {target!r}", frame[target], task)
    return LabelledTable(frame.drop(columns=target), y, labels)


def _target(what: str, column: "pd.Series", task: str | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the values and the classes of the target, by the rule in `load`."""
    if column.isna().any():
        raise ValueError(
            f"{what} is missing in {column.isna().sum()} of {len(column)} rows, the first at index "
            f"{column.isna().argmax()}; remove these rows"
        )
    inferred = columns.inferred_type(column)
    if inferred not in (*columns.NUMBERS, "string", "categorical"):
        raise ValueError(f"{what} {columns.unusable(inferred)}")
    if (_default_task(inferred, column) if task is None else task) == "regression":
        return _numbers(what, inferred, column), ()
    text = columns.text_among_numbers(column) if column.nunique() > FEW_NUMBERS and task is None else None
    if text:
        raise ValueError(f"{what} is a number in most rows, but {text[1]!r} at index {text[0]}; correct or remove it")
    codes, values = column.factorize(sort=True)
    return codes, tuple(columns.category(value) for value in values)


def _default_task(inferred: str, column: "pd.Series") -> str:
    classes = inferred not in columns.NUMBERS or inferred == "boolean"
    few = inferred == "integer" and column.nunique() <= FEW_NUMBERS
    return "classification" if classes or few else "regression"


def _numbers(what: str, inferred: str, column: "pd.Series") -> np.ndarray:
    if inferred not in columns.NUMBERS:
        raise ValueError(f"{what} is text ({str(column.iloc[0])!r} at index 0); a regression needs numbers")
    values = column.to_numpy(dtype=np.float64)
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(values.astype(np.float32))
    if bad.any():
        raise ValueError(
            f"{what} is infinite or too large for float32 in {bad.sum()} rows, the first at index {bad.argmax()}; "
            "replace or remove them"
        )
    columns.check_distinct(what, column, values)
    return values
