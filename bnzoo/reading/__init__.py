"""Files of strangers, read with care: what is no regular file, reaches outside itself or inflates is refused."""

from bnzoo.reading.files import declared, read_json, reading, regular_file
from bnzoo.reading.folders import Entry, entries
from bnzoo.reading.hdf5 import open_hdf5
from bnzoo.reading.npz import read_npz

__all__ = ["Entry", "declared", "entries", "open_hdf5", "read_json", "read_npz", "reading", "regular_file"]
