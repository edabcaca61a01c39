"""The reader of CSV tables."""

import csv
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnzoo.data import columns
from bnzoo.reading import reading

if TYPE_CHECKING:
    import pandas as pd

_ENCODING = "utf-8-sig"


def read(path: Path) -> "pd.DataFrame":
    """Read a CSV file, whose first line has the names of the columns.

    In a column of numbers or booleans, pandas' words for a missing value (`NA`, `nan`, `None`, `null`, ...) are missing
    values. In a column of text they are categories, and only an empty cell is a missing value.

    Raises:
        ValueError: If the file is not a CSV table. The message names the file.
    """
    import pandas as pd

    with reading(path, "a CSV table") as file:
        try:
            _check_quotes(file)
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header would be cut
                return _read(file)
        except UnicodeDecodeError as error:
            raise ValueError(f"it is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error
        except pd.errors.EmptyDataError as error:
            raise ValueError("it is empty; its first line must have the names of the columns") from error
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            raise ValueError(f"a line has another number of values than the first line ({error})") from error


def _read(file: Path) -> "pd.DataFrame":
    import pandas as pd

    options: dict[str, Any] = {"encoding": _ENCODING, "skipinitialspace": True, "low_memory": False}
    header = pd.read_csv(file, header=None, nrows=1, dtype=str, keep_default_na=False, **options)
    names = list(header.iloc[0])
    columns.check_names(names)
    if all(_is_number(name) for name in names):
        raise ValueError("its first line has only numbers; it must have the names of the columns")
    frame = pd.read_csv(file, index_col=False, **options)
    inexact = [name for name in names if _lost_digits(frame[name])]
    again = [*inexact, *(name for name in names if columns.inferred_type(frame[name]) == "string")]
    if again:
        as_text = {"dtype": str, "keep_default_na": False, "na_values": [""], "usecols": again, "index_col": False}
        texts = pd.read_csv(file, **as_text, **options)
        for name in inexact:  # Python's integers keep all digits
            pairs = zip(frame[name].isna(), texts[name], strict=True)
            texts[name] = pd.Series([None if absent else int(Decimal(text)) for absent, text in pairs], dtype=object)
        frame[again] = texts[again]
    return frame


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


def _check_quotes(file: Path) -> None:
    """Raise an error for a quote that is not closed, or closed in the middle of another value.

    pandas would read the lines between two such quotes as one value.
    """
    with file.open(encoding=_ENCODING, newline="") as lines, _any_length():
        rows = csv.reader(lines, skipinitialspace=True, strict=True)
        begun = 1
        while True:
            try:
                if next(rows, None) is None:
                    return
            except csv.Error as error:
                if rows.line_num > begun or "end of data" in str(error):
                    raise ValueError(
                        f"a quote in line {begun} is not closed before the line ends; close it, or write a quote "
                        'within a text as two: ""'
                    ) from error
            begun = rows.line_num + 1


@contextmanager
def _any_length() -> Iterator[None]:
    """Remove the limit on the length of a value in the block."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)
