"""HDF5 files without references to other files."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from bnzoo.reading.files import RefusedError, declared, reading
from bnzoo.reading.heaps import check_content, check_heaps


@contextmanager
def open_hdf5(path: str | Path, kind: str = "an HDF5 file", max_bytes: int | None = None) -> Iterator[h5py.File]:
    """Open an HDF5 file that has no references to other files.

    HDF5 has external storage, virtual datasets, and soft and external links. Each can name any other file, whose
    content would be read as a tensor. All are refused. Files of weights do not use them.

    Args:
        path: The path of the file.
        kind: String, the kind of file with its article.
        max_bytes: Integer, the largest allowed size of all datasets in memory, as in `bnzoo.reading.declared`.

    Yields:
        The `h5py.File`, open for reading. Errors in the block become errors of the file.

    Raises:
        ValueError: If the file is damaged, refers to another file, or is too large.
    """
    with reading(path, kind) as file, closed_hdf5(file, max_bytes) as opened:
        yield opened


@contextmanager
def closed_hdf5(path: Path, max_bytes: int | None = None, content: bytes | None = None) -> Iterator[h5py.File]:
    """Open an HDF5 file as `open_hdf5` does, but leave the errors of the library unchanged.

    Args:
        path: The path of the file.
        max_bytes: As in `open_hdf5`.
        content: Bytes, the HDF5 file, if it is a part of the file at `path`.

    Yields:
        The `h5py.File`, open for reading.

    Raises:
        RefusedError: If the file refers to another file, or is too large.
    """
    check_heaps(path) if content is None else check_content(content)
    with h5py.File(path if content is None else io.BytesIO(content), "r") as file:
        declared(path, _size(file), max_bytes)
        yield file


def _size(file: h5py.File) -> int:
    shaped = (dataset for _, dataset in datasets(file) if dataset.shape is not None)
    return sum(dataset.size * dataset.dtype.itemsize for dataset in shaped)


def datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """List every dataset of an HDF5 file once, in the order of the names.

    Args:
        file: An open `h5py.File`.

    Returns:
        An iterator of pairs: the path in the file and the `h5py.Dataset`.

    Raises:
        RefusedError: If the file refers to another file.
    """
    seen: set[int] = set()  # groups may contain each other

    def walk(group: h5py.Group, path: str) -> Iterator[tuple[str, h5py.Dataset]]:
        for name in group:
            below = f"{path}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise RefusedError(f"{below!r} is a link, which may refer to any other file")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                yield from walk(item, below)
            elif isinstance(item, h5py.Dataset):
                if item.is_virtual or item.external:
                    kind = "a virtual dataset" if item.is_virtual else "a dataset in external storage"
                    raise RefusedError(f"{below!r} is {kind}, which may have its content in any other file")
                yield below, item

    return walk(file["/"], "")


def tensor(item: h5py.Dataset | h5py.Group | None) -> np.ndarray:
    """Read a dataset of numbers.

    Args:
        item: The item of the file, `None` if it is missing.

    Raises:
        ValueError: If the item is missing, a group, without a shape, or holds other values than numbers.
    """
    if not isinstance(item, h5py.Dataset):
        reason = (
            "a tensor is missing" if item is None else f"{item.name!r} is a {type(item).__name__.lower()}, no tensor"
        )
        raise ValueError(reason)
    if item.shape is None or item.dtype.kind not in "biuf":
        content = "no shape" if item.shape is None else f"values of type {item.dtype}"
        raise ValueError(f"{item.name!r} must be a tensor of real numbers. Received: {content}")
    return item[()]
