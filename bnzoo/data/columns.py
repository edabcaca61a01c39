"""What a column of a table holds, as numbers or as words; what cannot be used is refused by name."""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# what `pandas.api.types.infer_dtype` calls them
NUMBERS = ("boolean", "integer", "floating", "mixed-integer-float", "decimal")
_WORDS = ("string", "categorical")
_TIMES = ("datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period", "interval")
# which share of the different values of a column may become equal in float32: of 1e6 random ones it is a hundredth
LOST = 0.1
MANY_CATEGORIES = 100
FEW_CATEGORIES = 10


def check_names(names: Sequence[str]) -> None:
    """Refuse names of columns that are empty or there twice.

    Raises:
        ValueError: If there is one; the message tells what to do.
    """
    if not all(names):
        raise ValueError(
            f"column {list(names).index('') + 1} has no name; if it numbers the rows, drop it "
            "(DataFrame.to_csv(..., index=False) does not write it)"
        )
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise ValueError(f"{count} columns are named {name!r}; leave one of that name")


def content(column: "pd.Series") -> str:
    """What a column holds, missing values left aside: a word of `pandas.api.types.infer_dtype`."""
    from pandas.api.types import infer_dtype

    found = infer_dtype(column, skipna=True)
    return "empty" if found != "empty" and column.isna().all() else found


def kind(name: str, column: "pd.Series") -> str:
    """Whether a column of the training rows is `"numeric"` or `"categorical"`.

    Raises:
        ValueError: If it is neither.
    """
    found = content(column)
    if found in NUMBERS:
        return "numeric"
    if found in _WORDS:
        return "categorical"
    if found == "empty":
        raise ValueError(f"column {name!r} has no value in any of the {len(column)} training rows; drop it")
    raise ValueError(f"column {name!r} {unusable(found)}")


def unusable(found: str) -> str:
    """The end of the message for a column that is neither numbers nor words."""
    if found in _TIMES:
        return f"holds times ({found}); turn them into numbers that matter (days since, month, hour), or drop it"
    return f"holds values of no single usable type ({found}); make all of them numbers or text, or drop it"


def numbers(name: str, column: "pd.Series") -> np.ndarray:
    """The values of a column as float64, missing ones as NaN.

    Raises:
        ValueError: If something in it is not a number that float32 can hold.
    """
    found = content(column)
    if found not in (*NUMBERS, "empty") and not _all(column, Real, Decimal):
        stray = next((value for value in column.dropna() if isinstance(value, str)), None)
        what = f"text ({stray!r})" if stray is not None else f"something else ({found})"
        raise ValueError(f"column {name!r} must hold numbers, and holds {what}")
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(over="ignore"):
        bad = np.isinf(values.astype(np.float32))
    if bad.any():
        raise ValueError(
            f"column {name!r} holds {bad.sum()} values that are infinite or too large for float32, the first at index "
            f"{column.index[bad.argmax()]}; replace them, or leave them empty"
        )
    return values


def check_distinct(what: str, column: "pd.Series", values: np.ndarray) -> None:
    """Refuse numbers of which many become equal in float32: ids, or times counted from long ago.

    Args:
        what: String, the beginning of the message: `"column 'id'"`.
        column: The column.
        values: Its values as float64.

    Raises:
        ValueError: If more than a tenth of its different values are lost.
    """
    different = column.nunique()
    kept = len(np.unique(values[~np.isnan(values)].astype(np.float32)))
    if kept < (1 - LOST) * different:
        raise ValueError(
            f"{what} has {different} different values, which become {kept} in float32: {column.dropna().iloc[0]} and "
            "its like are too large beside their differences. Drop it if it only names the rows; count times from a "
            "later start (seconds since the first row), or subtract what all have in common"
        )


def words(name: str, column: "pd.Series") -> tuple[np.ndarray, list[str]]:
    """For each row the place of its word, -1 for a missing value; and the words.

    Raises:
        ValueError: If it holds something that is not a word: a time or a list.
    """
    found = content(column)
    if found not in (*_WORDS, *NUMBERS, "empty") and not _all(column, str, Real, Decimal):
        raise ValueError(f"column {name!r} {unusable(found)}")
    places, values = column.factorize()
    return places, [word(value) for value in values]


def _all(column: "pd.Series", *kinds: type) -> bool:
    """Whether there are only values of these kinds: rows given one by one may have integers beside decimals."""
    return all(isinstance(value, kinds) for value in column.dropna())


def word(value: Any) -> str:
    """A category as text; whole numbers are the same whether stored as integers or floats."""
    return str(int(value)) if isinstance(value, float | np.floating) and value.is_integer() else str(value)


def check_categories(name: str, column: "pd.Series", count: int) -> None:
    """Refuses a column of the training rows that has a different text in nearly every row.

    Raises:
        ValueError: If there are more than 100 categories, or more than 10 and than half of the rows.
    """
    if count <= MANY_CATEGORIES and count <= max(FEW_CATEGORIES, len(column) / 2):
        return
    stray = stray_text(column)
    advice = (
        f"most are numbers, but {stray[1]!r} at index {stray[0]} is not: replace it or leave it empty"
        if stray
        else "drop it if it only names the rows; else put rare ones together, or turn it into numbers"
    )
    raise ValueError(
        f"column {name!r} has {count} different texts in {len(column)} training rows, too many for a feature each; "
        f"{advice}"
    )


def stray_text(column: "pd.Series") -> tuple[Any, str] | None:
    """The first text, after its index, in a column of which more than half are numbers."""
    import pandas as pd

    present = column.dropna().astype(str)
    text = pd.to_numeric(present, errors="coerce").isna()
    return (text.idxmax(), present[text.idxmax()]) if text.any() and text.mean() < 0.5 else None


def frame(rows: "pd.DataFrame | Sequence[Mapping[str, Any]]", names: Sequence[str]) -> "pd.DataFrame":
    """Rows as a DataFrame that has these columns, each once.

    Raises:
        ValueError: If one is not there, or there twice.
    """
    import pandas as pd

    if not isinstance(rows, pd.DataFrame):
        rows = _from_dicts(rows, names)
    twice = set(rows.columns[rows.columns.duplicated()])
    for name in names:
        if name not in rows.columns:
            raise ValueError(f"no column {name!r} among {', '.join(map(str, rows.columns))}")
        if name in twice:
            raise ValueError(f"column {name!r} is there more than once")
    return rows


def _from_dicts(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> "pd.DataFrame":
    import pandas as pd

    if isinstance(rows, str | Mapping) or not all(isinstance(row, Mapping) for row in rows):
        raise ValueError("`rows` must be a DataFrame or a list of dicts, one for each row")
    for number, row in enumerate(rows):
        if absent := [name for name in names if name not in row]:
            raise ValueError(f"row {number} has no column {absent[0]!r}; a missing value is None")
    return pd.DataFrame(list(rows), columns=list(names))
