"""Files of strangers, read with care: what is no regular file, reaches outside itself or inflates is refused."""

from bnzoo.reading.archive import members
from bnzoo.reading.files import RefusedError, declared, read_json, reading, regular_file
from bnzoo.reading.folders import Entry, entries
from bnzoo.reading.hdf5 import datasets, open_hdf5, size, tensor
from bnzoo.reading.heaps import check_content, check_heaps
from bnzoo.reading.npz import read_npz

__all__ = [
    "Entry",
    "RefusedError",
    "check_content",
    "check_heaps",
    "datasets",
    "declared",
    "entries",
    "members",
    "open_hdf5",
    "read_json",
    "read_npz",
    "reading",
    "regular_file",
    "size",
    "tensor",
]
