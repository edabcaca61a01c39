"""HDF5 files that refer to no other file."""

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
    """Open an HDF5 file, if nothing in it leads outside.

    HDF5 knows external storage, virtual datasets, and soft and external links. Each can name any other file, whose
    content would be read as if it were a tensor. All are refused by name. No weights are saved with them.

    Args:
        path: The path of the file.
        kind: String, what it is read as, with its article.
        max_bytes: Integer, how many bytes all datasets may take in memory, as `bnzoo.reading.declared` takes it.

    Yields:
        The `h5py.File`, open for reading. Errors in the block are told as those of the file.

    Raises:
        ValueError: If the file is damaged, something in it leads outside, or it is too large.
    """
    with reading(path, kind) as file, closed_hdf5(file, max_bytes) as opened:
        yield opened


@contextmanager
def closed_hdf5(path: Path, max_bytes: int | None = None, content: bytes | None = None) -> Iterator[h5py.File]:
    """Open an HDF5 file as `open_hdf5` does, with the errors of the library as they are.

    Args:
        path: The path of the file.
        max_bytes: As `open_hdf5` takes it.
        content: Bytes, the HDF5 file itself where it is a part of the file at `path`.

    Raises:
        RefusedError: If something in it leads outside, or it is too large.
    """
    check_heaps(path) if content is None else check_content(content)
    with h5py.File(path if content is None else io.BytesIO(content), "r") as file:
        declared(path, _size(file), max_bytes)
        yield file


def _size(file: h5py.File) -> int:
    shaped = (dataset for _, dataset in datasets(file) if dataset.shape is not None)
    return sum(dataset.size * dataset.dtype.itemsize for dataset in shaped)


def datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Find every dataset of an HDF5 file once, after its path in the file, in the order of the names.

    Args:
        file: An open `h5py.File`.

    Returns:
        An iterator of pairs, the path and the `h5py.Dataset`.

    Raises:
        RefusedError: If something in it leads outside.
    """
    seen: set[int] = set()  # groups may be linked in circles

    def walk(group: h5py.Group, path: str) -> Iterator[tuple[str, h5py.Dataset]]:
        for name in group:
            where = f"{path}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise RefusedError(f"{where!r} is a link, which may lead to any other file")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                yield from walk(item, where)
            elif isinstance(item, h5py.Dataset):
                if item.is_virtual or item.external:
                    kind = "a virtual dataset" if item.is_virtual else "a dataset in external storage"
                    raise RefusedError(f"{where!r} is {kind}, which may take its content from any other file")
                yield where, item

    return walk(file["/"], "")


def tensor(item: h5py.Dataset | h5py.Group | None) -> np.ndarray:
    """Read a dataset of numbers.

    Args:
        item: What stands in the file where a dataset of numbers is expected.

    Raises:
        ValueError: If it is nothing, a group, without a shape, or holds other than numbers.
    """
    if not isinstance(item, h5py.Dataset):
        kind = "nothing" if item is None else f"{item.name!r}, a {type(item).__name__.lower()},"
        raise ValueError(f"it has {kind} in the place of a tensor")
    if item.shape is None or item.dtype.kind not in "biuf":
        what = "no shape" if item.shape is None else f"values of type {item.dtype}"
        raise ValueError(f"{item.name!r} has {what}, where a tensor of real numbers is expected")
    return item[()]
