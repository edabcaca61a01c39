"""The dialect of a CSV file: its separator, its decimal sign and its encoding."""

import codecs
import csv
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

_UTF8 = "utf-8-sig"
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_SEPARATORS = (",", ";", "\t", "|")
_SPOKEN = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_NAMES = {_UTF8: "UTF-8", "cp1252": "Windows-1252 (Latin-1)", "latin-1": "Latin-1"}
_SAMPLE = 1_000  # rows
_CHUNK = 2**20  # characters
_DECIMAL = re.compile(r" *[+-]?\d*([.,])\d+ *")
_WHOLE = re.compile(r" *[+-]?([1-9]\d*) *")
_THOUSANDS = re.compile(r" *[+-]?[1-9]\d{0,2}[.,]\d{3} *")
# fewer decimals may all have three digits by chance
_MANY = 10


@dataclass(frozen=True)
class Dialect:
    """The dialect of a CSV file.

    Attributes:
        separator: String, the character between two values.
        decimal: String, the decimal sign of the numbers: `"."` or `","`.
        encoding: String, a codec of Python.
    """

    separator: str = ","
    decimal: str = "."
    encoding: str = _UTF8

    def __str__(self) -> str:
        decimal = ", decimal comma" * (self.decimal == ",")
        separator = _SPOKEN.get(self.separator, repr(self.separator))
        return f"separator {separator}{decimal}, encoding {_NAMES.get(self.encoding, self.encoding)}"


def sniff(file: Path, separator: str | None = None, encoding: str | None = None) -> Dialect:
    """Find the dialect of a file.

    Args:
        file: The file.
        separator: String, the separator if it is known.
        encoding: String, the encoding if it is known.

    Raises:
        ValueError: If `separator` or `encoding` is invalid, or the encoding does not fit the file.
    """
    if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
        raise ValueError(f"`separator` must be one character, no quote and no line break. Received: {separator!r}")
    encoding = _encoding(file) if encoding is None else _checked(file, encoding)
    if separator is None:
        separator = max(_SEPARATORS, key=lambda candidate: _share(file, candidate, encoding))
    return Dialect(separator, _decimal(file, separator, encoding), encoding)


def _encoding(file: Path) -> str:
    with file.open("rb") as stream:
        start = stream.read(4)
    if start in _UTF32_MARKS:  # that of UTF-16 is its beginning
        return "utf-32"
    if start.startswith(_UTF16_MARKS):
        return "utf-16"
    if len(start) == 4 and start[1] == start[3] == 0 != start[0]:
        return "utf-16-le"
    if len(start) == 4 and start[0] == start[2] == 0 != start[1]:
        return "utf-16-be"
    # latin-1 decodes any file
    return next(name for name in (_UTF8, "cp1252", "latin-1") if _fault(file, name) is None)


def _checked(file: Path, encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        fault = _fault(file, encoding)
    except LookupError as error:
        raise ValueError(
            f"`encoding` must be a text encoding of Python, such as utf-8, latin-1 or utf-16. Received: {encoding!r}"
        ) from error
    if fault is not None:
        reason = getattr(fault, "reason", fault)
        raise ValueError(f"it is not {encoding} ({reason}); omit `encoding` to find it")
    return _UTF8 if name == "utf-8" else name


def _fault(file: Path, encoding: str) -> UnicodeError | None:
    """Return the error of decoding a file, or `None`."""
    try:
        with file.open(encoding=encoding, newline="") as lines:
            while lines.read(_CHUNK):
                pass
    except UnicodeError as error:
        return error
    return None


def _share(file: Path, separator: str, encoding: str) -> float:
    """Return the share of rows that have as many values as the first line, 0 if that has one value."""
    widths = [len(row) for row in _first_rows(file, separator, encoding)]
    return widths.count(widths[0]) / len(widths) if widths and widths[0] > 1 else 0.0


def _decimal(file: Path, separator: str, encoding: str) -> str:
    """Return the decimal sign that more numbers have. In a file separated by commas it is a point."""
    if separator == ",":
        return "."
    rows = _first_rows(file, separator, encoding)
    signs = [found[1] for row in rows for value in row if (found := _DECIMAL.fullmatch(value))]
    return "," if signs.count(",") > signs.count(".") else "."


def thousands(file: Path, dialect: Dialect) -> dict[int, str]:
    """Return a number of each column whose decimal signs may separate thousands, by the place of the column.

    In such a column, one to three digits are before each sign, three after it, and at most three in a number without
    one. So are some columns of decimals. They differ in one of two traits. Numbers that end in 0 stand beside numbers
    without a sign: decimals are written with all zeros or with none. Or the sign is a comma, and the whole file has it
    for nothing else. Many measurements with a point have three decimals.
    """
    columns = [*zip_longest(*_first_rows(file, dialect.separator, dialect.encoding), fillvalue="")]
    signed = [
        [value.strip() for value in column if (found := _DECIMAL.fullmatch(value)) and found[1] == dialect.decimal]
        for column in columns
    ]
    alike = [all(map(_THOUSANDS.fullmatch, numbers)) for numbers in signed]
    only_so = dialect.decimal == "," and all(alike)
    suspects = {}
    for place, (column, numbers) in enumerate(zip(columns, signed, strict=True)):
        whole = [found[1] for value in column if (found := _WHOLE.fullmatch(value))]
        zeros = bool(whole) and any(number.endswith("0") for number in numbers)
        usual = bool(numbers) and alike[place] and max(map(len, whole), default=0) <= 3
        if usual and (zeros or (only_so and len(numbers) >= _MANY)):
            suspects[place] = numbers[0]
    return suspects


def _first_rows(file: Path, separator: str, encoding: str) -> Iterator[list[str]]:
    with file.open(encoding=encoding, newline="") as lines, any_length():
        rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        yield from islice((row for row in rows if row), _SAMPLE)


@contextmanager
def any_length() -> Iterator[None]:
    """Remove the limit on the length of a value in the block."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)
