"""The reader of Parquet tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnzoo.data import columns
from bnzoo.reading import declared, reading

if TYPE_CHECKING:
    import pandas as pd

# bytes of a number, or of the place of a text, in memory
_VALUE = 8


def read(path: Path, max_bytes: int | None = None) -> "pd.DataFrame":
    """Read a Parquet file. An index with a name becomes a column.

    Args:
        path: The file.
        max_bytes: Integer, how many bytes its columns may take in memory, as `bnzoo.reading.declared` takes it.

    Raises:
        ValueError: If the file is no Parquet table, or its columns would take more; the message names the file.
        ImportError: If pyarrow is not installed.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("Parquet tables are read with pyarrow: pip install 'bnzoo[tune]'") from error
    with reading(path, "a Parquet table") as file:
        # not pandas.read_parquet, whose error for two columns of one name does not say so
        try:
            with parquet.ParquetFile(file) as opened:
                names = opened.schema_arrow.names
                columns.check_names([name for name in names if not name.startswith("__index_level_")])
                declared(file, _size(opened.metadata), max_bytes)
                kinds = zip(names, opened.schema_arrow.types, strict=True)
                texts = [
                    name for name, kind in kinds if arrow.types.is_string(kind) or arrow.types.is_large_string(kind)
                ]
            # equal texts are kept once: thousands of times the same long one are short in the file
            with parquet.ParquetFile(file, read_dictionary=texts) as opened:
                frame = opened.read().to_pandas()
        except (arrow.ArrowException, OSError) as error:
            raise ValueError(f"perhaps truncated ({error})") from error
        # an index with a name is a column of the file, which pandas has set aside
        frame = frame.reset_index(drop=all(name is None for name in frame.index.names))
        frame.columns = [str(name) for name in frame.columns]
        columns.check_names(list(frame.columns))
        return frame.astype({name: object for name in texts if name in frame.columns})


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return types.is_string(kind) or types.is_large_string(kind)


def _size(metadata: Any) -> int:
    """Return how many bytes the columns say they take in memory."""
    size = 0
    for group in range(metadata.num_row_groups):
        for place in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(place)
            length = max(_VALUE, metadata.schema.column(place).length)
            size += max(chunk.num_values * length, chunk.total_uncompressed_size)
    return max(size, metadata.num_rows * metadata.num_columns * _VALUE)
