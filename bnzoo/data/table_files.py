"""Files of tables: their formats, by the suffix, and their content as a DataFrame."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from bnzoo.data import csv_tables, parquet_tables

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet")


def is_csv(path: Path) -> bool:
    """Return whether a file has the name of a CSV table."""
    return path.suffix.lower() == ".csv"


def is_table(path: Path) -> bool:
    """Return whether a file has the name of a table."""
    return path.suffix.lower() in SUFFIXES


def read(
    path: Path,
    *,
    separator: str | None = None,
    encoding: str | None = None,
    texts: Collection[str] = (),
    max_bytes: int | None = None,
) -> "pd.DataFrame":
    """Read a table.

    Args:
        path: A `.csv` or `.parquet` file.
        separator: As in `csv_tables.read`. A Parquet table needs neither it nor the two that follow.
        encoding: As in `csv_tables.read`.
        texts: As in `csv_tables.read`.
        max_bytes: As in `parquet_tables.read`. A CSV table does not need it.

    Raises:
        ValueError: If the file is not a table. The message names the file.
        ImportError: If pyarrow is not installed, for Parquet.
    """
    if is_csv(path):
        return csv_tables.read(path, separator, encoding, texts)
    return parquet_tables.read(path, max_bytes)
