"""The loader of data sets: from a name, a file or a folder to a `Dataset`."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bnzoo.data import downloads, store, table_files, tables
from bnzoo.data.augment import chosen
from bnzoo.data.columns import MANY_CATEGORIES, forms_of_dates, one_message
from bnzoo.data.dataset import Dataset, Split, kept_type
from bnzoo.data.encoder import TableEncoder, problems_of
from bnzoo.data.finite import check_finite
from bnzoo.data.images import list_images, read_images
from bnzoo.data.kinds import Categorical, Date
from bnzoo.data.mapped import gathered
from bnzoo.data.rows import Rows, between
from bnzoo.data.sources import embedded, has_npy, npy, npz
from bnzoo.data.splits import Parts, check_split, divide
from bnzoo.errors import unknown

_EMBEDDED = ("digits", "wine", "breast_cancer", "diabetes")
_TEST = 0.2


def list_datasets() -> list[str]:
    """Return the names of the data sets that `load` reads without a download."""
    return list(_EMBEDDED)


def list_downloads() -> list[str]:
    """Return the names of the data sets of `keras.datasets`, which are downloaded once."""
    return list(downloads.NAMES)


def load(
    source: str | Path = "digits",
    *,
    target: str | Sequence[str] | None = None,
    task: str | None = None,
    drop: Sequence[str] = (),
    separator: str | None = None,
    encoding: str | None = None,
    image_size: tuple[int, int] | int | None = None,
    validation: float | None = None,
    test: float | None = None,
    seed: int = 0,
    max_bytes: int | None = None,
    max_memory: int | None = None,
    augment: str | Sequence[str] | None = None,
) -> Dataset:
    """Load a data set and split it into training, validation and test data.

    The splits depend only on the seed. They are stratified for a classification (each split has every class), and
    random for a regression. For several labels an example they are stratified by the combinations of labels that have
    enough examples for each split, and random for the others. Values are not scaled; the models of `bnzoo.tuning` scale
    them in their first layer, so that a deployed model accepts raw data.

    The type of the target column of a table decides the task. Text, booleans and categories are classes. The integers
    of an integer column are classes if there are at most 20 distinct ones. Any other number is the target of a
    regression. Several target columns of 0 and 1, or of booleans, are labels: an example may have any number of them.
    Other numbers in several columns are the targets of one regression. The other columns are the features;
    `TableEncoder` learns their encoding from the training rows only. A code that is an integer counts as a number; put
    a letter before it to make it a category. In a CSV column of numbers or dates, `NA`, `nan`, `None`, `null` and
    similar words are missing values; in a column of text they are categories, and only an empty cell is a missing
    value. Separator, decimal comma and encoding of a CSV file are found, and named in a warning unless they are comma,
    point and UTF-8. Rows without a value in each target are left out, and counted in a warning. One message names all
    columns that cannot be used. It is an error if many numbers of a column become equal as floating-point numbers, such
    as 64-bit ids. Dates are recognized as text too: `2020-12-31`, `2020/12/31`, `31.12.2020`, `12/31/2020`,
    `31/12/2020` or `31-12-2020`, with or without a time. All rows decide the form, and a warning names two that fit. An
    `.npz` file with a `y` of integers, booleans or strings is a classification, one with a float `y` a regression. A
    `y` of the shape `(examples, k)` with integers 0 and 1, or booleans, has k labels; with floats it has k targets of a
    regression.

    Images are PNG, JPEG, GIF, BMP, WebP or TIFF files with at most 2**26 (67 million) pixels. The content of a file
    decides its format, not its name. Only the first frame or page is read. The EXIF orientation is applied. Grey images
    have one channel; if any image has colours, all have three. The alpha channel is ignored. The values are not changed
    and may have 8 bits, 16 bits or be float32, but all images must have the same type. Warnings count the ignored
    files, and the files that `serve_image_bytes` of an exported model cannot decode: WebP, TIFF, BMP with a palette, 16
    bits. Hidden files and files of operating systems are skipped. The headers of all files are read first. Images of at
    most 128 MiB (after `image_size`) are decoded here. More are decoded when they are first used, several at a time.
    Then a damaged file is found by the training, which it ends; the scale is that of 4,096 training images; and the
    bytes of the files identify the data of a study.

    Args:
        source: One of `list_datasets()` or `list_downloads()`; the path of an `.npz` file with arrays `x` and `y`; a
            folder with the files `x.npy` and `y.npy`, which may be larger than the memory; a `.csv` or `.parquet`
            table; or a folder with one subfolder of images for each class.
        target: String, the column of a table to predict, or sequence of strings, several columns. Required for tables.
        task: String, `"classification"`, `"multilabel"` or `"regression"`, if the type of the target columns does not
            decide correctly: grades from 1 to 6 for a regression, or classes that are stored as floats.
        drop: Sequence of strings, the columns of a table to leave out: `["id"]`.
        separator: String, the separator of a CSV file; `None` to find it: comma, semicolon, tab or vertical bar.
        encoding: String, the encoding of a CSV file, as Python names it; `None` to find it: UTF-8, UTF-16 or
            Windows-1252 (Latin-1).
        image_size: Tuple `(height, width)` to which the images of a folder are resized, or one integer for both.
            Required if they differ in size.
        validation: Float, the share of the validation data; `None` for 0.15, but at most about 5,000 examples. For a
            download, the share of its training data.
        test: Float, the share of the test data; `None` for 0.2. A download has its own test data.
        seed: Integer, the seed of the splits.
        max_bytes: Integer, the maximum number of bytes of a file's content in memory; `None` for 512 MiB or 100 times
            the size of the file, whichever is larger.
        max_memory: Integer, the number of bytes up to which the examples of a folder are held in memory; `None` for a
            quarter of the machine's memory. More images are held in a file in `~/.keras/bnzoo` (or
            `$KERAS_HOME/bnzoo`), which is mapped into memory. The next run reads it if the folder has not changed. When
            a new file is written, those that were not used for 30 days are removed. A larger `x.npy` is itself mapped
            into memory.
        augment: String of names separated by commas, or sequence of names, the random changes of the images in a
            training: `"flip"` (left and right), `"crop"` (of the padded image, by up to an eighth), `"rotation"` (up to
            15 degrees), `"erasing"` (of a part of half of the images), `"color"` (brightness, contrast, saturation),
            `"randaugment"`, `"mixup"`, `"cutmix"`. They are layers of Keras, whose random numbers depend on the seed
            of a training. Validation, test and the exported model have none. `None` or `"none"` for no change.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: If the data cannot be used. The message names the file, the class or the column.
        FileNotFoundError: If there is no data set, file or folder of this name.
        OSError: If a download failed.
        ImportError: If a package that reads the data is not installed.

    Examples:
    >>> digits = bnzoo.data.load("digits")
    >>> digits.input_shape, digits.classes, len(digits.train.x)
    ((8, 8, 1), 10, 1169)
    >>> diabetes = bnzoo.data.load("diabetes")
    >>> diabetes.task, diabetes.input_shape, diabetes.classes
    ('regression', (10,), 0)
    >>> films = bnzoo.data.load("films.csv", target=["comedy", "drama", "crime"])
    >>> films.task, films.labels
    ('multilabel', ('comedy', 'drama', 'crime'))
    """
    name, path = str(source), Path(source)
    table_options = {"drop": drop or None, "separator": separator, "encoding": encoding}
    _check_options(name, path, target=target or None, task=task, image_size=image_size, test=test, **table_options)
    names = chosen(augment)
    store.memory_limit(max_memory)  # checks it before anything is read
    shares: dict[str, float | None] = {"validation": validation}
    if name not in downloads.NAMES:
        shares["test"] = _TEST if test is None else test
    check_split(shares, seed)
    if name in downloads.NAMES:
        data = _download(name, shares, seed)
    elif _is_table(name, path):
        table = tables.read(path, target, task, max_bytes, drop=drop, separator=separator, encoding=encoding)
        data = _table(name, table, shares, seed)
    elif name not in _EMBEDDED and has_npy(path):
        data = _npy(name, path, shares, seed, max_memory)
    elif name not in _EMBEDDED and path.is_dir():
        data = _folder(name, path, image_size, shares, seed, max_memory)
    else:
        data = _arrays(name, path, shares, seed, max_bytes)
    return replace(data, augment=names)


def _is_table(name: str, path: Path) -> bool:
    return name not in _EMBEDDED and table_files.is_table(path) and path.is_file()


def _check_options(name: str, path: Path, *, test: float | None, image_size: object, **columns: object) -> None:
    named = name in (*_EMBEDDED, *downloads.NAMES)
    if not named and not path.exists():
        raise FileNotFoundError(
            f"{unknown('data set', name, (*_EMBEDDED, *downloads.NAMES))}; a file or folder of this name does not "
            "exist either (an .npz with x and y, a .csv or .parquet table, or a folder with a subfolder of images for "
            "each class)"
        )
    if image_size is not None and (named or not path.is_dir() or has_npy(path)):
        raise ValueError(
            f"`image_size` is for a folder of images, which {name} is not. Received: image_size={image_size}"
        )
    if isinstance(columns["drop"], str):
        raise ValueError(f"`drop` must be a sequence of columns: [{columns['drop']!r}]. Received: {columns['drop']!r}")
    for option, value in columns.items():
        if value is not None and not _is_table(name, path):
            raise ValueError(
                f"`{option}` is for a .csv or .parquet table, which {name} is not. Received: {option}={value}"
            )
    for option in ("separator", "encoding"):
        if columns[option] is not None and not table_files.is_csv(path):
            raise ValueError(f"`{option}` is for a .csv table. Received: {option}={columns[option]!r} for {name}")
    if test is not None and name in downloads.NAMES:
        raise ValueError(f"{name} has its own test data: omit `test`. Received: test={test}")


def _arrays(name: str, path: Path, shares: dict[str, float | None], seed: int, max_bytes: int | None) -> Dataset:
    if name not in _EMBEDDED and path.suffix != ".npz":
        raise ValueError(
            f"{name} cannot be read; supported are .npz files (arrays x and y), .csv and .parquet tables, and folders "
            "of images"
        )
    x, y, labels = embedded(name) if name in _EMBEDDED else npz(path, max_bytes)
    check_finite(name, x, y)
    parts = divide(y, labels, name, shares, seed)
    return _dataset(name, labels, {part: _split(x, y, rows) for part, rows in parts.items()})


def _folder(
    name: str,
    path: Path,
    image_size: tuple[int, int] | int | None,
    shares: dict[str, float | None],
    seed: int,
    max_memory: int | None,
) -> Dataset:
    images = list_images(path, image_size)
    parts = divide(images.y, images.labels, name, shares, seed)
    x = read_images(images, np.concatenate([*parts.values()]), max_memory)
    return _dataset(name, images.labels, _consecutive(x, images.y, parts))


def _npy(name: str, path: Path, shares: dict[str, float | None], seed: int, max_memory: int | None) -> Dataset:
    x, y, labels = npy(path)
    check_finite(name, x, y)
    parts = divide(y, labels, name, shares, seed)
    order = np.concatenate([*parts.values()])
    return _dataset(name, labels, _consecutive(gathered(x, order, max_memory), y, parts))


def _consecutive(x: np.ndarray | Rows, y: np.ndarray, parts: Parts) -> dict[str, Split]:
    """Return the splits of examples that lie in the order of the parts. Nothing is copied."""
    ends = np.cumsum([len(rows) for rows in parts.values()])
    return {
        part: Split(between(x, end - len(rows), end), _values(y, rows))
        for end, (part, rows) in zip(ends.tolist(), parts.items(), strict=True)
    }


def _download(name: str, shares: dict[str, float | None], seed: int) -> Dataset:
    (x, y), test, labels = downloads.read(name)
    parts = divide(y, labels, name, shares, seed)
    splits = {part: _split(x, y, rows) for part, rows in parts.items()}
    return _dataset(name, labels, {**splits, "test": _split(*test, np.arange(len(test[1])))})


def _table(name: str, table: tables.LabelledTable, shares: dict[str, float | None], seed: int) -> Dataset:
    problems, training = [], table.features
    try:
        parts = divide(table.y, table.labels, name, shares, seed, table.targets)
        training = table.features.iloc[parts["train"]]
        encoder = TableEncoder.learn(training, table.features)
        splits = {
            part: Split(encoder.encode(table.features.iloc[rows]), _values(table.y, rows))
            for part, rows in parts.items()
        }
    except ValueError as error:
        if training is table.features:
            problems.append(str(error).removeprefix(f"{name}: "))
        problems += problems_of(training, table.features)
        raise ValueError(one_message(name, problems or [str(error)])) from error
    if grouped := [column.name for column in encoder.columns if isinstance(column, Categorical) and column.other]:
        warnings.warn(
            f"{name}: the {MANY_CATEGORIES} most frequent texts of {', '.join(map(repr, grouped))} have a feature "
            "each, and all others one. If they are dates or numbers, write them as 2020-12-31 or 1234.5.",
            stacklevel=3,
        )
    for column in encoder.columns:
        forms = list(forms_of_dates(table.features[column.name])) if isinstance(column, Date) else []
        if len(forms) > 1:
            warnings.warn(
                f"{name}: the dates in column {column.name!r} are read as {forms[0]}, but all of them fit {forms[1]} "
                "too. If that is their form, write them as YYYY-MM-DD, or drop the column.",
                stacklevel=3,
            )
    return replace(_dataset(name, table.labels, splits, encoder), targets=table.targets)


def _dataset(
    name: str, labels: Sequence[str], splits: dict[str, Split], encoder: TableEncoder | None = None
) -> Dataset:
    return Dataset(name, tuple(labels), splits["train"], splits["validation"], splits["test"], encoder)


def _split(x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> Split:
    return Split(np.ascontiguousarray(x[rows], kept_type(x.dtype)), _values(y, rows))


def _values(y: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return y[rows].astype(np.int32 if np.issubdtype(y.dtype, np.integer) else np.float32)
