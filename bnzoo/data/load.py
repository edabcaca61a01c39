"""Where data comes from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bnzoo.data import downloads, tables
from bnzoo.data.dataset import Dataset, Split
from bnzoo.data.encoder import TableEncoder
from bnzoo.data.sources import Examples, embedded, image_folder, npz
from bnzoo.data.splits import divide
from bnzoo.errors import unknown

_EMBEDDED = ("digits", "wine", "breast_cancer", "diabetes")
_TEST = 0.2


def list_datasets() -> list[str]:
    """The names that `load` knows without a download."""
    return list(_EMBEDDED)


def list_downloads() -> list[str]:
    """The names that `load` knows through `keras.datasets`, which downloads them once."""
    return list(downloads.NAMES)


def load(
    source: str | Path = "digits",
    *,
    target: str | None = None,
    task: str | None = None,
    image_size: tuple[int, int] | int | None = None,
    validation: float = 0.15,
    test: float | None = None,
    seed: int = 0,
    max_bytes: int | None = None,
) -> Dataset:
    """Examples with their classes or numbers, split into training, validation and test data.

    The splits depend on the seed alone. Those of a classification are stratified (each has every class), those of a
    regression random. Values stay as they were read; the models that `bnzoo.tuning` builds scale them in their first
    layer, so that what is deployed takes raw data.

    What kind of column the target of a table is decides the task: text, truth values and categories are classes, and so
    are whole numbers (of an integer column) if there are at most 20 different ones; any other number is a regression.
    The other columns are the features, encoded as `TableEncoder` tells from the training rows alone; a code that is a
    whole number counts as a number, unless a letter before it makes it text. In a CSV column of numbers `NA`, `nan`,
    `None`, `null` and the like are missing values; in a column of text they are words, and only an empty cell is a
    missing value. A column of which many numbers become equal in float32, such as ids of 64 bits, is refused. An `.npz`
    file with an integer `y` is a classification, one with a float `y` a regression.

    Images are PNG, JPEG, GIF, BMP, WebP or TIFF files of at most 2**26 (67 million) pixels. What a file is decides its
    content, not its name; of several frames or pages the first is read. They are turned upright as their EXIF says.
    Grey images give one channel; if any is of colour, all have three. Opacity is left out. Levels stay as they are, 8
    bits, 16 bits or fractions, but must be of one kind. A warning counts the files that are not read, and those that
    `serve_image_bytes` of an exported model cannot decode: WebP, TIFF, BMP with a palette, 16 bits. Hidden files and
    what operating systems leave behind are skipped.

    Args:
        source: One of `list_datasets()` or `list_downloads()`; the path of an `.npz` file with arrays `x` and `y`; a
            `.csv` or `.parquet` table; or a folder with one subfolder of images for each class, as below.
        target: String, the column of a table that is to be predicted. Needed for tables.
        task: String, `"classification"` or `"regression"`, for a table whose target is of another kind than the rule
            says: grades from 1 to 6 to regress on, or classes stored as floats.
        image_size: Tuple `(height, width)` that images of a folder are resized to, or one integer for both. Needed if
            they differ in size.
        validation: Float, the share of the validation data. Of a download it is a share of its training data.
        test: Float, the share of the test data; `None` for 0.2. A download has its own test data.
        seed: Integer, of the splits.
        max_bytes: Integer, how many bytes the content of a file may take in memory; `None` for 512 MiB or 100 times
            the size of the file, whichever is more. A file that would inflate to more is not read.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: If the data cannot be used; the message names the file, the class or the column.
        FileNotFoundError: If there is no such name, file or folder.
        OSError: If a download failed.
        ImportError: If a package that reads the data is not there.

    Examples:
    >>> digits = bnzoo.data.load("digits")
    >>> digits.input_shape, digits.classes, len(digits.train.x)
    ((8, 8, 1), 10, 1169)
    >>> diabetes = bnzoo.data.load("diabetes")
    >>> diabetes.task, diabetes.input_shape, diabetes.classes
    ('regression', (10,), 0)
    """
    name, path = str(source), Path(source)
    _check_options(name, path, target=target, task=task, image_size=image_size, test=test)
    if name in downloads.NAMES:
        return _download(name, validation, seed)
    shares = {"validation": validation, "test": _TEST if test is None else test}
    if _is_table(name, path):
        return _table(name, path, target, task, shares, seed, max_bytes)
    x, y, labels = _examples(name, path, image_size, max_bytes)
    _check_finite(name, x, y)
    parts = divide(y, labels, name, shares, seed)
    return _dataset(name, labels, {part: _split(x, y, rows) for part, rows in parts.items()})


def _is_table(name: str, path: Path) -> bool:
    return name not in _EMBEDDED and path.suffix.lower() in tables.SUFFIXES and path.is_file()


def _check_options(name: str, path: Path, *, test: float | None, image_size: object, **columns: str | None) -> None:
    named = name in (*_EMBEDDED, *downloads.NAMES)
    if not named and not path.exists():
        raise FileNotFoundError(
            f"{unknown('data set', name, (*_EMBEDDED, *downloads.NAMES))}; and there is no such file or folder (an "
            ".npz with x and y, a .csv or .parquet table, or a folder with a subfolder of images for each class)"
        )
    if image_size is not None and (named or not path.is_dir()):
        raise ValueError(f"`image_size` is for a folder of images; {name} is none. Received: image_size={image_size}")
    for option, value in columns.items():
        if value is not None and not _is_table(name, path):
            raise ValueError(f"`{option}` is for a .csv or .parquet table; {name} is none. Received: {option}={value}")
    if test is not None and name in downloads.NAMES:
        raise ValueError(f"{name} has test data of its own: leave `test` out. Received: test={test}")


def _examples(name: str, path: Path, image_size: tuple[int, int] | int | None, max_bytes: int | None) -> Examples:
    if name in _EMBEDDED:
        return embedded(name)
    if path.is_dir():
        return image_folder(path, image_size)
    if path.suffix != ".npz":
        raise ValueError(
            f"{name}: only .npz files (arrays x and y), .csv and .parquet tables and folders of images can be read"
        )
    return npz(path, max_bytes)


def _download(name: str, validation: float, seed: int) -> Dataset:
    (x, y), test, labels = downloads.read(name)
    parts = divide(y, labels, name, {"validation": validation}, seed)
    splits = {part: _split(x, y, rows) for part, rows in parts.items()}
    return _dataset(name, labels, {**splits, "test": _split(*test, np.arange(len(test[1])))})


def _table(
    name: str,
    path: Path,
    target: str | None,
    task: str | None,
    shares: dict[str, float],
    seed: int,
    max_bytes: int | None,
) -> Dataset:
    table = tables.read(path, target, task, max_bytes)
    parts = divide(table.y, table.labels, name, shares, seed)
    try:
        encoder = TableEncoder.learn(table.features.iloc[parts["train"]])
        splits = {
            part: Split(encoder.encode(table.features.iloc[rows]), _values(table.y, rows))
            for part, rows in parts.items()
        }
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return _dataset(name, table.labels, splits, encoder)


def _dataset(
    name: str, labels: Sequence[str], splits: dict[str, Split], encoder: TableEncoder | None = None
) -> Dataset:
    return Dataset(name, tuple(labels), splits["train"], splits["validation"], splits["test"], encoder)


def _split(x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> Split:
    # the rows of what was read first, then float32: there is never a float32 copy of all of it
    return Split(np.ascontiguousarray(x[rows], np.float32), _values(y, rows))


def _values(y: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return y[rows].astype(np.int32 if np.issubdtype(y.dtype, np.integer) else np.float32)


def _check_finite(name: str, x: np.ndarray, y: np.ndarray) -> None:
    for letter, array in (("x", x), ("y", y)):
        if not np.issubdtype(array.dtype, np.floating):
            continue
        with np.errstate(over="ignore"):
            bad = ~np.isfinite(array.astype(np.float32)).reshape(len(array), -1).all(axis=1)
        if bad.any():
            raise ValueError(
                f"{name}: {bad.sum()} of {len(array)} examples in {letter} hold NaN or infinite values (in float32), "
                f"the first at index {bad.argmax()}; fill or drop them"
            )
