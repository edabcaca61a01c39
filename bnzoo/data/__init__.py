"""Data sets: a name, a file or a folder in; training, validation and test data out."""

from bnzoo.data.dataset import Dataset, Split
from bnzoo.data.encoder import TableEncoder
from bnzoo.data.load import list_datasets, list_downloads, load

__all__ = ["Dataset", "Split", "TableEncoder", "list_datasets", "list_downloads", "load"]
