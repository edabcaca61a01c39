"""The reader of tables: the columns of the features, and the target as classes or numbers."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnzoo.data import columns, csv_tables, parquet_tables
from bnzoo.data.encoder import problems_of
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


def read(
    path: Path,
    target: str | None,
    task: str | None,
    max_bytes: int | None = None,
    *,
    drop: Sequence[str] = (),
    separator: str | None = None,
    encoding: str | None = None,
) -> LabelledTable:
    """Read a table and separate its target. Rows without a target are left out, with a warning.

    Args:
        path: A `.csv` or `.parquet` file.
        target: String, the column to predict.
        task: String, `"classification"` or `"regression"`; `None` to decide by the type of the target, as in `load`.
        max_bytes: Integer, the maximum number of bytes of a Parquet table in memory, as in `bnzoo.reading.declared`.
        drop: Sequence of strings, the columns to leave out.
        separator: String, the separator of a CSV file; `None` to find it.
        encoding: String, the encoding of a CSV file; `None` to find it.

    Raises:
        ValueError: If the file, the target or a column cannot be used. The message names all columns that cannot.
        ImportError: If pandas, or pyarrow for Parquet, is not installed.
    """
    if task is not None:
        choice("task", task, TASKS)
    try:
        import pandas as pd  # noqa: F401
    except ImportError as error:
        raise ImportError("Tables are read with pandas: pip install 'bnzoo[tune]'") from error
    is_csv = path.suffix.lower() == ".csv"
    whole = csv_tables.read(path, separator, encoding) if is_csv else parquet_tables.read(path, max_bytes)
    problems = [unknown("column in `drop`", name, whole.columns) for name in drop if name not in whole.columns]
    if target is not None and target in drop:
        problems.append(f"the target {target!r} is also in `drop`; remove it from one of them")
    frame = whole.loc[:, ~whole.columns.isin([name for name in drop if name != target])]
    problems += columns.problems_of_names(list(frame.columns))
    frame = frame.loc[:, ~frame.columns.duplicated()]
    names = list(frame.columns)
    if len(names) < 2:
        problems.append(
            f"it has only one column, {', '.join(names)!r}; a table must have the target and at least one other column "
            "(name the separator of a .csv by `separator` if it is not one of , ; | and tab)"
        )
    if target is None:
        shown = ", ".join(names[:_SHOWN]) + f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)
        problems.append(f"`target` (`--target`), the column to predict, is missing; it must be one of: {shown}")
    elif target not in names:
        problems.append(unknown("column in `target`", target, names))
    if frame.empty:
        problems.append("it has no rows; a table must have at least one")
    if target not in names or frame.empty:
        raise ValueError(columns.one_message(path, problems))
    absent = frame[target].isna()
    rows = frame[~absent]
    features = rows.drop(columns=target)
    stray = columns.stray_texts(features)
    problems += stray.values()
    try:
        column = columns.integers(rows[target]) if absent.any() else rows[target]
        y, labels = _target(f"the target {target!r}", column, task)
    except ValueError as error:
        problems.append(str(error))
    if problems:
        others = features.drop(columns=list(stray))
        raise ValueError(columns.one_message(path, [*problems, *problems_of(others, others)]))
    if absent.any():
        warnings.warn(
            f"{path}: {absent.sum()} of {len(frame)} rows are left out, as they have no value in the target "
            f"{target!r}, the first at index {absent.idxmax()}.",
            stacklevel=4,
        )
    return LabelledTable(features, y, labels)


def _target(what: str, column: "pd.Series", task: str | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the values and the classes of the target, by the rule in `load`."""
    if column.empty:
        raise ValueError(f"{what} has no value in any row; choose another column")
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
        raise ValueError(
            f"{what} is text ({str(column.iloc[0])!r} at index {column.index[0]}); a regression needs numbers"
        )
    values = column.to_numpy(dtype=np.float64)
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(values.astype(np.float32))
    if bad.any():
        raise ValueError(
            f"{what} is infinite or too large for float32 in {bad.sum()} rows, the first at index "
            f"{column.index[bad.argmax()]}; "
            "replace or remove them"
        )
    columns.check_distinct(what, column, values)
    return values
