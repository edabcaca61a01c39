"""HDF5 files that are closed in themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from bnzoo.reading.files import declared, reading


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
    with reading(path, kind) as file, h5py.File(file, "r") as opened:
        declared(file, sum(_size(dataset) for dataset in _datasets(opened)), max_bytes)
        yield opened


def _datasets(file: h5py.File) -> Iterator[h5py.Dataset]:
    """Every dataset once; groups may be linked in circles."""
    seen, groups = set(), [file["/"]]
    while groups:
        group = groups.pop()
        for name in group:
            where = f"{group.name.rstrip('/')}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{where} is a link, which may lead to any other file")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset):
                yield _closed(where, item)


def _closed(where: str, dataset: h5py.Dataset) -> h5py.Dataset:
    if dataset.is_virtual or dataset.external:
        kind = "a virtual dataset" if dataset.is_virtual else "a dataset in external storage"
        raise ValueError(f"{where} is {kind}, which may take its content from any other file")
    return dataset


def _size(dataset: h5py.Dataset) -> int:
    return 0 if dataset.shape is None else dataset.size * max(dataset.dtype.itemsize, 1)
