"""The reader of tables: the columns of the features, and the target as classes or numbers."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnzoo.data import columns, table_files
from bnzoo.data.encoder import problems_of
from bnzoo.errors import choice, unknown

if TYPE_CHECKING:
    import pandas as pd

TASKS = ("classification", "multilabel", "regression")
FEW_NUMBERS = 20
_SHOWN = 30


class LabelledTable(NamedTuple):
    """A table of features with one or several targets.

    Attributes:
        features: DataFrame of the columns of the features.
        y: Array, the indices of the classes or the float targets; of several targets, with a column for each.
        labels: Tuple of strings, the names of the classes or labels; empty for a regression.
        targets: Tuple of strings, the names of the targets of a regression, else empty.
    """

    features: "pd.DataFrame"
    y: np.ndarray
    labels: tuple[str, ...]
    targets: tuple[str, ...] = ()


def read(
    path: Path,
    target: str | Sequence[str] | None,
    task: str | None,
    max_bytes: int | None = None,
    *,
    drop: Sequence[str] = (),
    separator: str | None = None,
    encoding: str | None = None,
) -> LabelledTable:
    """Read a table and separate its targets. Rows without a target are left out, with a warning.

    Args:
        path: A `.csv` or `.parquet` file.
        target: String, the column to predict, or sequence of strings.
        task: String, one of `TASKS`; `None` to decide by the type of the target, as in `load`.
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
    whole = table_files.read(path, separator=separator, encoding=encoding, max_bytes=max_bytes)
    problems = [unknown("column in `drop`", name, whole.columns) for name in drop if name not in whole.columns]
    targets = list(dict.fromkeys([target] if isinstance(target, str) else target or ()))
    problems += [
        f"the target {name!r} is also in `drop`; remove it from one of them" for name in targets if name in drop
    ]
    frame = whole.loc[:, ~whole.columns.isin([name for name in drop if name not in targets])]
    problems += columns.problems_of_names(list(frame.columns))
    frame = frame.loc[:, ~frame.columns.duplicated()]
    names = list(frame.columns)
    if len(names) < 2:
        problems.append(
            f"it has only one column, {', '.join(names)!r}; a table must have the target and at least one other column "
            "(name the separator of a .csv by `separator` if it is not one of , ; | and tab)"
        )
    if not targets:
        shown = ", ".join(names[:_SHOWN]) + f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)
        problems.append(f"`target` (`--target`), the column to predict, is missing; it must be one of: {shown}")
    missing = [name for name in targets if name not in names]
    problems += [_unknown_target(name, names) for name in missing]
    if 1 < len(names) == len(targets):
        problems.append("all columns are in `target`; at least one other column is needed to predict them from")
    if frame.empty:
        problems.append("it has no rows; a table must have at least one")
    if missing or not 0 < len(targets) < max(len(names), 2) or frame.empty:
        raise ValueError(columns.one_message(path, problems))
    absent = frame[targets].apply(columns.missing)
    left_out = absent.any(axis=1)
    rows = frame[~left_out]
    features = rows.drop(columns=targets)
    stray = columns.stray_texts(features)
    problems += stray.values()
    try:
        whole_numbers = {name: columns.integers(rows[name]) for name in targets if absent[name].any()}
        y, labels = _target_of(rows[targets].assign(**whole_numbers), task)
    except ValueError as error:
        problems.append(str(error))
    if problems:
        others = features.drop(columns=list(stray))
        raise ValueError(columns.one_message(path, [*problems, *problems_of(others, others)]))
    if left_out.any():
        named = " or ".join(repr(name) for name in targets if absent[name].any())
        warnings.warn(
            f"{path}: {left_out.sum()} of {len(frame)} rows are left out, as they have no value in the target "
            f"{named}, the first at index {left_out.idxmax()}.",
            stacklevel=3,
        )
    if counters := columns.counters(frame.drop(columns=targets)):
        named = " and ".join(map(repr, counters))
        warnings.warn(
            f"{path}: the integers in column {named} count the rows. If they only identify the rows, leave the column "
            f"out: `drop={counters}` or `{' '.join(f'--drop {name!r}' for name in counters)}`.",
            stacklevel=3,
        )
    return LabelledTable(features, y, labels, () if labels else tuple(targets))


def _unknown_target(name: str, names: Sequence[str]) -> str:
    several = "," in name and all(part.strip() in names for part in name.split(","))
    hint = ". For several columns, pass a list, or repeat `--target`" if several else ""
    return unknown("column in `target`", name, names) + hint


def _target_of(frame: "pd.DataFrame", task: str | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the values of the targets, and the classes or labels, by the rule in `load`."""
    names = list(frame.columns)
    if len(names) == 1 and task != "multilabel":
        return _target(f"the target {names[0]!r}", frame[names[0]], task)
    if len(names) == 1 or task == "classification":
        wanted = "one column" if task == "classification" else "at least two columns of 0 and 1"
        raise ValueError(
            f"`task` is {task!r}, which needs {wanted} in `target`. Received: {', '.join(map(repr, names))}"
        )
    if frame.empty:
        raise ValueError(f"no row has a value in each of the targets {', '.join(map(repr, names))}; choose others")
    inferred = {name: columns.inferred_type(frame[name]) for name in names}
    numbers = [name for name in names if inferred[name] in columns.NUMBERS]
    binary = [name for name in numbers if frame[name].isin([0, 1]).all()]
    if task == "multilabel" or (task is None and (len(binary) == len(names) or not numbers)):
        if others := [name for name in names if name not in binary]:
            raise ValueError(
                f"{'labels' if task else 'several targets'} must be columns of 0 and 1, or of booleans; "
                f"{', '.join(map(repr, others))} {'have' if len(others) > 1 else 'has'} other values, such as "
                f"{str(frame[others[0]].iloc[0])!r}. Write 1 for the examples with the label, else 0"
            )
        return frame.to_numpy(dtype=np.int64), tuple(names)
    values = [_numbers(f"the target {name!r}", inferred[name], frame[name]) for name in names]
    return np.stack(values, axis=1), ()


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
        place, value = columns.first_text(column) or (column.index[0], str(column.iloc[0]))
        raise ValueError(f"{what} is text ({value!r} at index {place}); a regression needs numbers")
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
