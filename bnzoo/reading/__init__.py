"""Readers of untrusted files: they refuse special files, references to other files, and inflated content."""

from bnzoo.reading.archive import members
from bnzoo.reading.files import RefusedError, declared, read_json, reading, regular_file
from bnzoo.reading.folders import Entry, entries
from bnzoo.reading.formats import first_bytes, format_of
from bnzoo.reading.hdf5 import closed_hdf5, datasets, open_hdf5, tensor
from bnzoo.reading.npz import read_npz

__all__ = [
    "Entry",
    "RefusedError",
    "closed_hdf5",
    "datasets",
    "declared",
    "entries",
    "first_bytes",
    "format_of",
    "members",
    "open_hdf5",
    "read_json",
    "read_npz",
    "reading",
    "regular_file",
    "tensor",
]
