"""Readers of CSV and Parquet tables: the features' columns, and the target as classes or numbers."""

import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bnzoo.data import columns
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


def read(path: Path, target: str | None, task: str | None) -> Table:
    """Reads a table and takes the target out of it.

    Args:
        path: A `.csv` or `.parquet` file.
        target: String, the column to predict.
        task: String, `"classification"` or `"regression"`; `None` for what the column's kind says.

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
    frame = _csv(path) if path.suffix.lower() == ".csv" else _parquet(path)
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


def _csv(path: Path) -> "pd.DataFrame":
    import pandas as pd

    options: dict[str, Any] = {"encoding": "utf-8-sig", "skipinitialspace": True, "low_memory": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header would be cut
            header = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, **options)
            _check_names(path, list(header.iloc[0]))
            if all(_is_number(name) for name in header.iloc[0]):
                raise ValueError(f"{path}: the first line must hold the names of the columns; it holds numbers only")
            return pd.read_csv(path, index_col=False, **options)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not in UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{path}: empty; its first line must hold the names of the columns") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise ValueError(f"{path}: not every line has as many values as there are columns ({error})") from error


def _check_names(path: Path, names: list[str]) -> None:
    if not all(names):
        raise ValueError(
            f"{path}: column {names.index('') + 1} has no name; if it numbers the rows, drop it "
            "(DataFrame.to_csv(..., index=False) does not write it)"
        )
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise ValueError(f"{path}: {count} columns are named {name!r}; leave one of that name")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parquet(path: Path) -> "pd.DataFrame":
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("Parquet tables are read with pyarrow: pip install 'bnzoo[tune]'") from error
    try:
        # not pandas.read_parquet, whose error for two columns of one name does not say so
        with parquet.ParquetFile(path) as file:
            frame = file.read().to_pandas()
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: not a readable Parquet file, perhaps truncated ({error})") from error
    # an index with a name is a column of the file, which pandas has set aside
    frame = frame.reset_index(drop=all(name is None for name in frame.index.names))
    frame.columns = [str(name) for name in frame.columns]
    _check_names(path, list(frame.columns))
    return frame


def _target(what: str, column: "pd.Series", task: str | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """The target's values and classes, by the rule that `load` tells."""
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
    return values
