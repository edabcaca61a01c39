"""The reader of CSV tables."""

import csv
import warnings
from collections.abc import Collection
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnzoo.data import columns
from bnzoo.data.dialects import Dialect, any_length, sniff, thousands
from bnzoo.reading import reading

if TYPE_CHECKING:
    import pandas as pd


def read(
    path: Path, separator: str | None = None, encoding: str | None = None, texts: Collection[str] = ()
) -> "pd.DataFrame":
    """Read a CSV file, whose first line has the names of the columns.

    A warning names the separator, the decimal sign and the encoding unless they are comma, point and UTF-8, or known.
    Another one names a column whose decimal signs may be thousands separators.

    In a column of numbers, booleans or dates, pandas' words for a missing value (`NA`, `nan`, `None`, `null`, ...) are
    missing values. In a column of text they are categories, and only an empty cell is a missing value.

    Args:
        path: The file.
        separator: String, the separator; `None` to find it.
        encoding: String, the encoding; `None` to find it.
        texts: Collection of strings, the columns that are known to hold text, even if all values look like numbers.

    Returns:
        A DataFrame. Its names are those of the file, which may be empty or occur twice.

    Raises:
        ValueError: If the file is not a CSV table. The message names the file.
    """
    import pandas as pd

    with reading(path, "a CSV table") as file:
        try:
            dialect = sniff(file, separator, encoding)
            short = _short_lines(file, dialect)
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header would be cut
                frame = _read(file, dialect, texts)
            suspects = [
                (frame.columns[place], number)
                for place, number in thousands(file, dialect).items()
                if frame.dtypes.iloc[place] == "float64"
            ]
        except pd.errors.EmptyDataError as error:
            raise ValueError("it is empty; its first line must have the names of the columns") from error
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            raise ValueError(f"a line has another number of values than the first line ({error})") from error
    known = Dialect(separator or ",", encoding=dialect.encoding if encoding else Dialect.encoding)
    if dialect != known:
        warnings.warn(f"{path} is read with {dialect}.", stacklevel=5)
    if short:
        warnings.warn(
            f"{path}: {len(short)} rows have fewer values than the first line, the first in line {short[0]}. The "
            "values at their end are missing.",
            stacklevel=5,
        )
    if suspects:
        name, number = suspects[0]
        warnings.warn(
            f"{path}: {number} in the column {name!r} is read as {float(number.replace(',', '.'))}. If the "
            f"{'comma' if dialect.decimal == ',' else 'point'} separates thousands, remove it from all numbers.",
            stacklevel=5,
        )
    return frame


def _read(file: Path, dialect: Dialect, texts: Collection[str]) -> "pd.DataFrame":
    import pandas as pd

    options: dict[str, Any] = {
        "sep": dialect.separator,
        "decimal": dialect.decimal,
        "encoding": dialect.encoding,
        "skipinitialspace": True,
        "low_memory": False,
    }
    header = pd.read_csv(file, header=None, nrows=1, dtype=str, keep_default_na=False, **options)
    names = list(header.iloc[0])
    if all(_is_number(name) for name in names):
        raise ValueError("its first line has only numbers; it must have the names of the columns")
    # numbers instead of names, of which some may be equal
    options |= {"header": 0, "names": list(range(len(names))), "index_col": False}
    frame = pd.read_csv(file, **options)
    inexact = [place for place in frame.columns if _lost_digits(frame[place])]
    words = [place for place in frame.columns if names[place] in texts or _is_words(frame[place])]
    again = sorted({*inexact, *words})
    if again:
        as_text = {"dtype": str, "keep_default_na": False, "na_values": [""], "usecols": again}
        exact = pd.read_csv(file, **as_text, **options)
        for place in set(inexact).difference(words):  # Python's integers keep all digits
            pairs = zip(frame[place].isna(), exact[place], strict=True)
            exact[place] = pd.Series([None if absent else int(Decimal(text)) for absent, text in pairs], dtype=object)
        frame[again] = exact[again]
    frame.columns = names
    return frame


def _is_words(column: "pd.Series") -> bool:
    return columns.inferred_type(column) == "string" and columns.form_of_dates(column) is None


def _lost_digits(column: "pd.Series") -> bool:
    """Return whether integers lost digits: pandas reads a column with missing values as float64."""
    if column.dtype != "float64" or not column.isna().any():
        return False
    present = column.dropna()
    return bool(((present % 1 == 0) & (present.abs() < 2**64)).all() and (present.abs() > 2**53).any())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _short_lines(file: Path, dialect: Dialect) -> list[int]:
    """Return the lines of the rows that have fewer values than the first line.

    Raises:
        ValueError: If a quote is not closed, or closed in the middle of another value. pandas would read the lines
            between two such quotes as one value.
    """
    with file.open(encoding=dialect.encoding, newline="") as lines, any_length():
        rows = csv.reader(lines, delimiter=dialect.separator, skipinitialspace=True, strict=True)
        short: list[int] = []
        begun, width = 1, 0
        while True:
            try:
                if (row := next(rows, None)) is None:
                    return short
                width = width or len(row)
                if 0 < len(row) < width:  # an empty line has none
                    short.append(begun)
            except csv.Error as error:
                if rows.line_num > begun or "end of data" in str(error):
                    raise ValueError(
                        f"a quote in line {begun} is not closed before the line ends; close it, or write a quote "
                        'within a text as two: ""'
                    ) from error
            begun = rows.line_num + 1
