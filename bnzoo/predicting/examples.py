"""The examples in files, in batches that fit into memory."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bnzoo.data import table_files
from bnzoo.errors import printable
from bnzoo.export.formats.record import SERVE
from bnzoo.export.signatures import SERVE_IMAGE_BYTES, SERVE_UINT8
from bnzoo.pictures import read as pictures
from bnzoo.pictures.bounds import bounded
from bnzoo.pictures.names import FORMATS, SUFFIXES, is_image, is_stray
from bnzoo.pictures.others import pillow_format
from bnzoo.predicting.predictor import Arrays, Input, Predictor
from bnzoo.reading import read_npz, regular_file

_ARRAYS = ".npz"
# in a batch: the rows of a table, the examples of arrays, and the files with their bytes
_ROWS, _EXAMPLES, _FILES, _BYTES = 4096, 256, 32, 2**26


class Batch(NamedTuple):
    """Examples of one signature.

    Attributes:
        signature: String.
        arrays: Dict of arrays by input name.
        names: List of strings, the file of each example.
        rows: Integers, the index of each example in its file; `None` for image files.
        problems: Dict of strings by the index in the batch, the reasons why files cannot be read.
    """

    signature: str
    arrays: Arrays
    names: list[str]
    rows: Sequence[int] | None
    problems: dict[int, str]


class _File(NamedTuple):
    name: str
    content: bytes = b""
    problem: str = ""  # the reason why it cannot be read


def batches(
    predictor: Predictor, sources: Sequence[Path], separator: str | None = None, encoding: str | None = None
) -> Iterator[Batch]:
    """Read examples in batches.

    Args:
        predictor: The `Predictor`.
        sources: Paths of image files and of folders of them at any depth; or of tables; or of `.npz` files.
        separator: String, the separator of `.csv` tables; `None` to find it.
        encoding: String, the encoding of `.csv` tables; `None` to find it.

    Yields:
        `Batch`es, in the order of the sources, the files of a folder by name.

    Raises:
        ValueError: If a table or an `.npz` file cannot be read, if the sources are of several kinds, or if the
            predictor or an option does not fit them.
        FileNotFoundError: If a source does not exist, or a folder has no images.
    """
    kinds = {_kind(source) for source in sources}
    if len(kinds) > 1:
        raise ValueError(f"All inputs must be of one kind. Received: {' and '.join(sorted(kinds))}")
    (kind,) = kinds
    options = {"separator": separator, "encoding": encoding}
    for option, value in options.items():
        if value is not None and (other := next((file for file in sources if not table_files.is_csv(file)), None)):
            raise ValueError(f"`{option}` is for .csv tables. Received: {option}={value!r} for {other}")
    if kind == "images":
        yield from _of_images(predictor, _files(sources))
    for source in sources if kind != "images" else ():
        yield from _of_table(predictor, source, options) if kind == "tables" else _of_arrays(predictor, source)


def _kind(source: Path) -> str:
    if source.is_dir():
        return "images"
    if table_files.is_table(regular_file(source)):
        return "tables"
    if source.suffix.lower() == _ARRAYS:
        return "arrays"
    if is_image(source):
        return "images"
    known = ", ".join((*SUFFIXES, *table_files.SUFFIXES, _ARRAYS))
    raise ValueError(f"{source} cannot be read. It must be a folder of images, or a file with a suffix of {known}")


def _files(sources: Sequence[Path]) -> Iterator[Path]:
    for source in sources:
        if not source.is_dir():
            yield source
            continue
        count = 0
        for count, file in enumerate(_images_in(source), start=1):  # noqa: B007
            yield file
        if not count:
            raise FileNotFoundError(f"{source} has no {FORMATS} file at any depth")


def _images_in(folder: Path) -> Iterator[Path]:
    seen = set()  # a link may lead back
    for path, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(path)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_stray(name))
        yield from (file for name in sorted(names) if is_image(file := Path(path, name)) and not is_stray(name))


def _of_images(predictor: Predictor, files: Iterator[Path]) -> Iterator[Batch]:
    if SERVE_IMAGE_BYTES not in predictor.inputs:
        reason = (
            "how images were scaled in its training is unknown. Pass `image` (`--image`): raw for a model of a study"
            if predictor.path.is_file()
            else "it was exported without `image`. Pass its inputs as an .npz file, or export the model with `--image`"
        )
        raise ValueError(f"{predictor.path} takes no image files: {reason}")
    (name,) = predictor.inputs[SERVE_IMAGE_BYTES]
    held: list[_File] = []
    size = 0
    for path in files:
        file = _read(path)
        if held and (len(held) == _FILES or size + len(file.content) > _BYTES):
            yield _batch(name, held)
            held, size = [], 0
        held.append(file)
        size += len(file.content)
    if held:
        yield _batch(name, held)


def _batch(name: str, files: Sequence[_File]) -> Batch:
    contents = np.empty(len(files), object)
    contents[:] = [file.content for file in files]
    problems = {number: file.problem for number, file in enumerate(files) if file.problem}
    return Batch(SERVE_IMAGE_BYTES, {name: contents}, [printable(file.name) for file in files], None, problems)


def _read(file: Path) -> _File:
    try:
        return _File(str(file), _served(bounded(regular_file(file)).read_bytes()))
    except OSError as error:
        return _File(str(file), problem=error.strerror or str(error))
    except ValueError as error:
        return _File(str(file), problem=str(error))


def _served(content: bytes) -> bytes:
    """Return an image file that a model decodes: a PNG file of the same pixels for a format that only training reads.

    Raises:
        ValueError: If such a file is damaged, or has more than 8 bits for each channel.
    """
    if pillow_format(content) is None:
        return content
    picture = pictures.read(content)
    if not picture.unserved:
        return content
    if picture.levels.dtype != np.uint8:
        raise ValueError(f"it is a {picture.unserved} file of {picture.levels.dtype}. It must have 8 bits")
    return tf.io.encode_png(picture.levels).numpy()


def _of_table(predictor: Predictor, path: Path, options: dict[str, Any]) -> Iterator[Batch]:
    if predictor.encoder is None:
        raise ValueError(
            f"{predictor.path} takes no tables: it has no encoder.json. Pass the folder of a study on a table, or its "
            "features as an .npz file"
        )
    (name,) = predictor.inputs[SERVE]
    frame = table_files.read(path, **options, texts=predictor.encoder.texts)
    for start in range(0, max(len(frame), 1), _ROWS):  # a table without rows has answers without rows
        part = frame.iloc[start : start + _ROWS]
        try:
            features = predictor.encoder.encode(part)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        yield _rows(SERVE, {name: features}, path, start)


def _of_arrays(predictor: Predictor, path: Path) -> Iterator[Batch]:
    signature, arrays = _arrays(predictor, path)
    taken = predictor.inputs[signature]
    for start in range(0, len(next(iter(arrays.values()))), _EXAMPLES):
        part = {name: values[start : start + _EXAMPLES].astype(taken[name].dtype) for name, values in arrays.items()}
        yield _rows(signature, part, path, start)


def _rows(signature: str, arrays: Arrays, path: Path, start: int) -> Batch:
    count = len(next(iter(arrays.values())))
    return Batch(signature, arrays, [printable(str(path))] * count, range(start, start + count), {})


def _arrays(predictor: Predictor, path: Path) -> tuple[str, Arrays]:
    """Return the signature for the arrays of a file, and these by input name."""
    held, signature = read_npz(path), SERVE
    taken = predictor.inputs[signature]
    if len(taken) == 1:
        x = next((held[key] for key in ("x", *taken) if key in held), None)
        if x is not None and x.dtype == np.uint8 and SERVE_UINT8 in predictor.inputs:
            signature = SERVE_UINT8  # levels as those of a file, which are not scaled
            taken = predictor.inputs[signature]
        held = {} if x is None else dict.fromkeys(taken, x)
    if missing := sorted(taken.keys() - held):
        wanted = ["x"] if len(taken) == 1 else missing
        raise ValueError(
            f"{path} has no array named {' or '.join(wanted)}. Save it with np.savez(path, {wanted[0]}=...)"
        )
    arrays = {name: _fitting(path, name, held[name], spec) for name, spec in taken.items()}
    if len({len(values) for values in arrays.values()}) > 1:
        raise ValueError(f"{path}: all arrays must have the same number of examples")
    return signature, arrays


def _fitting(path: Path, name: str, values: np.ndarray, taken: Input) -> np.ndarray:
    if values.ndim == 3 and len(taken.shape) == 4:  # grey images without their one channel
        values = values[..., None]
    fits = values.ndim == len(taken.shape) and all(
        size in (None, own) for own, size in zip(values.shape[1:], taken.shape[1:], strict=True)
    )
    if not fits or values.dtype.kind not in "biuf" or taken.dtype == "string":
        raise ValueError(
            f"{path}: the input {name!r} takes {taken.dtype} of the shape {taken.shape}. Received: {values.dtype} of "
            f"the shape {values.shape}"
        )
    return values
