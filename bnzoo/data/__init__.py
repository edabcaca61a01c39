"""A name, a file or a folder in; training, validation and test data out."""

from bnzoo.data.dataset import Dataset, Split
from bnzoo.data.load import list_datasets, load

__all__ = ["Dataset", "Split", "list_datasets", "load"]
