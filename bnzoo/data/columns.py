"""Columns of a table: their types, and their values as numbers or as categories."""

import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from bnzoo.data import dates

if TYPE_CHECKING:
    import pandas as pd

# types in the terms of `pandas.api.types.infer_dtype`
NUMBERS = ("boolean", "integer", "floating", "mixed-integer-float", "decimal")
_TEXTS = ("string", "categorical")
_DATES = ("datetime64", "datetime", "date")
_TIMES = (*_DATES, "timedelta64", "timedelta", "time", "period", "interval")
# the share of distinct values that may become equal in float32; of 1e6 random ones it is a hundredth
LOST = 0.1
MANY_CATEGORIES = 100
FEW_CATEGORIES = 10
# pandas reads these words as missing values in a CSV column of numbers, not in one of texts
_MISSING_WORDS = (
    *("", "NA", "N/A", "n/a", "<NA>", "#N/A", "#N/A N/A", "#NA", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None"),
    *("1.#IND", "1.#QNAN", "-1.#IND", "-1.#QNAN"),
)


def problems_of_names(names: Sequence[str]) -> list[str]:
    """Return a sentence for each name of columns that is empty or occurs twice."""
    unnamed = [str(place) for place, name in enumerate(names, start=1) if not name]
    found = []
    if unnamed:
        found.append(
            f"column {', '.join(unnamed)} has no name; if it is the index of a DataFrame, drop it: `drop=['']` or "
            "`--drop ''` (DataFrame.to_csv(..., index=False) does not write it)"
        )
    twice = {name: count for name, count in Counter(names).items() if name and count > 1}
    return found + [
        f"{count} columns are named {name!r}; keep one of them, or rename them" for name, count in twice.items()
    ]


def one_message(what: object, problems: Sequence[str]) -> str:
    """Return the message about all problems of a table."""
    if len(problems) == 1:
        return f"{what}: {problems[0]}"
    listed = "; ".join(f"({number}) {problem.rstrip('.')}" for number, problem in enumerate(problems, start=1))
    return f"{what} has {len(problems)} problems: {listed}"


def inferred_type(column: "pd.Series") -> str:
    """Return the type of a column's values, in the terms of `pandas.api.types.infer_dtype`. Ignore missing values."""
    from pandas.api.types import infer_dtype

    inferred = infer_dtype(column, skipna=True)
    return "empty" if inferred != "empty" and column.isna().all() else inferred


def missing(column: "pd.Series") -> "pd.Series":
    """Return whether each value is missing. An empty text is missing, as it is in a CSV file."""
    absent = column.isna()
    return absent | (column == "") if inferred_type(column) in _TEXTS else absent


def kind(name: str, column: "pd.Series") -> str:
    """Return the kind of a column of the training rows that holds no dates: `"numeric"` or `"categorical"`.

    Raises:
        ValueError: If it is neither.
    """
    inferred = inferred_type(column)
    if inferred in NUMBERS:
        return "numeric"
    if inferred in _TEXTS:
        return "categorical"
    if inferred == "empty":
        raise ValueError(f"column {name!r} has no value in any of the {len(column)} training rows; drop it")
    raise ValueError(f"column {name!r} {unusable(inferred)}")


def unusable(inferred: str) -> str:
    """Return the end of the error message for a column that has neither numbers nor text.

    Args:
        inferred: String, the type of the column.
    """
    if inferred in _TIMES:
        return f"holds times ({inferred}); convert them to numbers (days since a date, month, hour), or drop the column"
    return (
        f"holds values of mixed or unsupported types ({inferred}); convert all to numbers or text, or drop the column"
    )


def integers(column: "pd.Series") -> "pd.Series":
    """Return floats as integers if all are whole: integers with missing values are read as floats."""
    whole = column.dtype == np.float64 and bool((column % 1 == 0).all() and (column.abs() < 2**53).all())
    return column.astype(np.int64) if whole else column


def numbers(name: str, column: "pd.Series") -> np.ndarray:
    """Return the values of a column as float64, missing ones as NaN.

    Raises:
        ValueError: If a value is not a number that float32 can represent.
    """
    inferred = inferred_type(column)
    if inferred not in (*NUMBERS, "empty") and not _all(column, Real, Decimal):
        text = first_text(column)
        received = f"values of type {inferred}" if text is None else f"text ({text[1]!r} at index {text[0]})"
        raise ValueError(f"column {name!r} must hold numbers, but it holds {received}")
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(over="ignore"):
        bad = np.isinf(values.astype(np.float32))
    if bad.any():
        raise ValueError(
            f"column {name!r} holds {bad.sum()} values that are infinite or too large for float32, the first at index "
            f"{column.index[bad.argmax()]}; replace them by numbers or by missing values"
        )
    return values


def are_distinct(column: "pd.Series", values: np.ndarray) -> bool:
    """Return whether at least 90 % of the distinct values of a column remain distinct in float32.

    Args:
        column: The column.
        values: Its values as float64, without missing ones.
    """
    return _in_float32(values) >= (1 - LOST) * column.nunique()


def check_distinct(what: str, column: "pd.Series", values: np.ndarray) -> None:
    """Raise an error if many values of a column become equal in float32, such as ids or times since 1970.

    Args:
        what: String, the subject of the message: `"column 'id'"`.
        column: The column.
        values: Its values as float64, without missing ones.

    Raises:
        ValueError: If more than a tenth of the distinct values are lost.
    """
    if not are_distinct(column, values):
        raise ValueError(
            f"{what} has {column.nunique()} different values, which become {_in_float32(values)} as floating-point "
            f"numbers, as values such as {column.dropna().iloc[0]} are too large for their small differences. Drop the "
            "column if it only identifies the rows; count times from a later start (seconds since the first row); or "
            "subtract a constant"
        )


def _in_float32(values: np.ndarray) -> int:
    return len(np.unique(values.astype(np.float32)))


def form_of_dates(column: "pd.Series") -> str | None:
    """Return the form of a column of dates as text, as in `bnzoo.data.dates.FORMS`; `None` for other columns."""
    return next(forms_of_dates(column), None)


def forms_of_dates(column: "pd.Series") -> Iterator[str]:
    """Yield all forms that fit a column of dates, the one that is taken first."""
    inferred = inferred_type(column)
    if inferred in _DATES:
        return iter([next(iter(dates.FORMS))])
    return dates.forms_of(list(column[~missing(column)].unique())) if inferred == "string" else iter([])


def dates_of(name: str, column: "pd.Series", form: str) -> dates.Dates:
    """Return the dates of a column: of dates, or of text in a form.

    Raises:
        ValueError: If a value is no date.
    """
    inferred = inferred_type(column)
    if inferred in _DATES:
        return dates.of_times(column)
    codes, texts = column.mask(missing(column)).factorize()
    found = dates.of_texts([str(text) for text in texts], form)
    if not found.valid.all():
        place, text = _first_strange(column[column.isin(texts[~found.valid])])
        raise ValueError(f"column {name!r} must hold dates in the form {form}, but it holds {text!r} at index {place}")
    # the code -1 of a missing value selects the last entry
    return dates.Dates(*(np.append(values, values.dtype.type(0))[codes] for values in found))


def categories(name: str, column: "pd.Series") -> tuple[np.ndarray, list[str]]:
    """Return the code of each row's category, -1 for a missing value, and the categories.

    Raises:
        ValueError: If a value cannot be a category, such as a time or a list.
    """
    inferred = inferred_type(column)
    if inferred not in (*_TEXTS, *NUMBERS, "empty") and not _all(column, str, Real, Decimal):
        raise ValueError(f"column {name!r} {unusable(inferred)}")
    codes, values = column.factorize()
    return codes, [category(value) for value in values]


def _all(column: "pd.Series", *kinds: type) -> bool:
    """Return whether all values have one of these types. Rows that are dicts may mix integers and decimals."""
    return all(isinstance(value, kinds) for value in column.dropna())


def category(value: Any) -> str:
    """Return a category as text. A whole number gives the same text as an integer and as a float."""
    return str(int(value)) if isinstance(value, float | np.floating) and value.is_integer() else str(value)


def frequent(name: str, codes: np.ndarray, categories: Sequence[str]) -> list[str]:
    """Return the categories of a column of the training rows, the 100 most frequent ones if there are more.

    Args:
        name: String, the name of the column.
        codes: The code of each row, as `categories` returns it.
        categories: The categories of the codes.

    Raises:
        ValueError: If there are more than 10 categories, in fewer than twice as many rows.
    """
    if _too_many(len(categories), len(codes)):
        raise ValueError(
            f"column {name!r} has {len(categories)} different texts in {len(codes)} training rows, too many for one "
            "feature each; drop the column if it only identifies the rows; else merge rare texts, or convert it to "
            "numbers, or to dates in the form YYYY-MM-DD"
        )
    counts = Counter[str]()
    for category_, count in zip(categories, np.bincount(codes[codes >= 0], minlength=len(categories)), strict=True):
        counts[category_] += int(count)
    if len(categories) <= MANY_CATEGORIES:
        return list(counts)
    return sorted(counts, key=lambda word: (-counts[word], word))[:MANY_CATEGORIES]


def _too_many(categories: int, rows: int) -> bool:
    return categories > max(FEW_CATEGORIES, rows / 2)


def counters(frame: "pd.DataFrame") -> list[str]:
    """Return the names of the columns of integers that count the rows."""
    several = len(frame) > 1
    integral = [name for name in frame.columns if several and inferred_type(frame[name]) == "integer"]
    return [name for name in integral if frame[name].notna().all() and (np.diff(frame[name].to_numpy()) == 1).all()]


def stray_texts(frame: "pd.DataFrame") -> dict[str, str]:
    """Return a sentence for each column with many different numbers and a few texts, by the name of the column."""
    found = {}
    for name in frame.columns:
        column = frame[name]
        if inferred_type(column) != "string":
            continue
        categories = column.nunique()
        many = categories > MANY_CATEGORIES or _too_many(categories, len(column))
        if many and (text := text_among_numbers(column)):
            found[name] = (
                f"column {name!r} has numbers in most rows, but {text[1]!r} at index {text[0]} is not one; replace it "
                "by a number or a missing value"
            )
    return found


def text_among_numbers(column: "pd.Series") -> tuple[Any, str] | None:
    """Return the index and the value of the first text in a column that holds mostly numbers, else `None`."""
    present = column.dropna().astype(str)
    # in a Parquet file these words are texts too
    for values in (present[~present.isin(_MISSING_WORDS)], present):
        words = _words(values)
        if 0 < len(words) < 0.5 * len(values):
            return _first_strange(words)
    return None


def first_text(column: "pd.Series") -> tuple[Any, str] | None:
    """Return the index and the value of the first text in a column, one that is no number if there is one."""
    texts = column[[isinstance(value, str) for value in column]]
    words = _words(texts)
    return None if texts.empty else _first_strange(texts if words.empty else words)


def _words(texts: "pd.Series") -> "pd.Series":
    """Return the texts that are no numbers."""
    import pandas as pd

    unique = texts.drop_duplicates()  # fewer than the rows
    return texts[texts.isin(unique[pd.to_numeric(unique, errors="coerce").isna()])]


def _first_strange(texts: "pd.Series") -> tuple[Any, str]:
    """Return the index and the value of the first text, one that stands for no missing value if there is one."""
    strange = texts[~texts.isin(_MISSING_WORDS)]
    first = (texts if strange.empty else strange).iloc[:1]
    return first.index[0], first.iloc[0]


def frame(rows: "pd.DataFrame | Sequence[Mapping[str, Any]]", names: Sequence[str]) -> "pd.DataFrame":
    """Return rows as a DataFrame.

    Raises:
        ValueError: If one of the named columns is missing or occurs twice.
    """
    import pandas as pd

    if not isinstance(rows, pd.DataFrame):
        rows = _from_dicts(rows, names)
    twice = set(rows.columns[rows.columns.duplicated()])
    if absent := [repr(name) for name in names if name not in rows.columns]:
        subject = f"columns {', '.join(absent)} are" if absent[1:] else f"column {absent[0]} is"
        raise ValueError(f"{subject} missing; the columns are {', '.join(map(str, rows.columns))}")
    for name in names:
        if name in twice:
            raise ValueError(f"column {name!r} occurs more than once; keep one of them, or rename them")
    return rows


def _from_dicts(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> "pd.DataFrame":
    import pandas as pd

    if isinstance(rows, str | Mapping) or not all(isinstance(row, Mapping) for row in rows):
        raise ValueError(f"`rows` must be a DataFrame or a list of dicts, one per row. Received: {reprlib.repr(rows)}")
    for number, row in enumerate(rows):
        if absent := [name for name in names if name not in row]:
            raise ValueError(f"row {number} has no column {absent[0]!r}; pass None for a missing value")
    return pd.DataFrame(list(rows), columns=list(names))
