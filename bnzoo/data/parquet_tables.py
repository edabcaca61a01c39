"""The reader of Parquet tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnzoo.data import columns
from bnzoo.reading import declared, reading

if TYPE_CHECKING:
    import pandas as pd

# bytes of a number, or of a reference to a text, in memory
_VALUE = 8


def read(path: Path, max_bytes: int | None = None) -> "pd.DataFrame":
    """Read a Parquet file. A named index becomes a column.

    Args:
        path: The file.
        max_bytes: Integer, the maximum number of bytes of the columns in memory, as in `bnzoo.reading.declared`.

    Raises:
        ValueError: If the file is not a Parquet table, or its columns need more memory. The message names the file.
        ImportError: If pyarrow is not installed.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("Parquet tables are read with pyarrow: pip install 'bnzoo[tune]'") from error
    with reading(path, "a Parquet table") as file:
        # not pandas.read_parquet, whose error about two columns with the same name is unclear
        try:
            with parquet.ParquetFile(file) as opened:
                names = opened.schema_arrow.names
                _check_names([name for name in names if not name.startswith("__index_level_")])
                declared(file, _size(opened.metadata), max_bytes)
                texts = [name for name in names if _is_text(opened.schema_arrow.field(name).type)]
            # equal texts share memory: a long text in thousands of rows is small in the file
            with parquet.ParquetFile(file, read_dictionary=texts) as opened:
                frame = opened.read().to_pandas()
        except (arrow.ArrowException, OSError) as error:
            raise ValueError(f"it may be truncated ({error})") from error
        # pandas has made the column of a named index its index
        frame = frame.reset_index(drop=all(name is None for name in frame.index.names))
        frame.columns = [str(name) for name in frame.columns]
        _check_names(list(frame.columns))
        return frame.astype({name: object for name in texts if name in frame.columns})


def _check_names(names: list[str]) -> None:
    if problems := columns.problems_of_names(names):
        raise ValueError("; ".join(problems))


def _is_text(type_: Any) -> bool:
    from pyarrow import types

    return types.is_string(type_) or types.is_large_string(type_)


def _size(metadata: Any) -> int:
    """Return the number of bytes of the columns in memory, as declared in the file."""
    size = 0
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            length = max(_VALUE, metadata.schema.column(column).length)
            size += max(chunk.num_values * length, chunk.total_uncompressed_size)
    return max(size, metadata.num_rows * metadata.num_columns * _VALUE)
