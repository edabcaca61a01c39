"""Examples with their classes or numbers, in three splits."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bnzoo.data.encoder import TableEncoder

if TYPE_CHECKING:
    import pandas as pd

_CHUNK = 4096


class Split(NamedTuple):
    """Examples and what is to be predicted for each.

    Attributes:
        x: float32 array of shape `(examples, *input_shape)`, as they were read: models scale them.
        y: Array of shape `(examples,)`: int32 classes, `0 .. classes - 1`, or the float32 targets of a regression.
    """

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """Examples with their classes, or with the numbers of a regression, in three splits.

    Attributes:
        name: String, the name, file or folder that the data came from.
        labels: Tuple of strings, the name of each class; empty for a regression.
        train: `Split` to train on.
        validation: `Split` to choose by.
        test: `Split` to report.
        encoder: The `TableEncoder` that made the features from the columns of a table; `None` for other data.
    """

    name: str
    labels: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    encoder: TableEncoder | None = None

    @property
    def task(self) -> str:
        """`"classification"` or `"regression"`."""
        return "classification" if self.labels else "regression"

    @property
    def classes(self) -> int:
        """The number of classes; 0 for a regression."""
        return len(self.labels)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example: `(height, width, channels)` or `(features,)`."""
        return self.train.x.shape[1:]

    @property
    def stem(self) -> str:
        """The name without folders and suffix, for the names of files."""
        return Path(self.name).stem

    @cached_property
    def scale(self) -> tuple[list[float], list[float]]:
        """Mean and variance of the training data, per channel or feature: what a `Normalization` layer takes.

        A feature that is constant gets the variance 1.

        Raises:
            ValueError: If float32 cannot hold a variance. (The columns of a table get another unit before.)
        """
        x = self.train.x
        axes = tuple(range(x.ndim - 1))
        mean = x.mean(axes, dtype=np.float64)
        # not x.var(), which would make a float64 copy of all examples
        squares = np.asarray(sum(np.square(part - mean).sum(axes) for part in _chunks(x)))
        variance = squares / (x.size / x.shape[-1])
        if (large := variance > np.finfo(np.float32).max).any():
            raise ValueError(
                f"{self.name}: the variance of feature {large.argmax()}, {variance.max():.3g}, is too large for "
                "float32: divide x by what makes its values about 1"
            )
        return mean.tolist(), np.where(variance > 0, variance, 1.0).tolist()

    @cached_property
    def target_scale(self) -> tuple[float, float] | None:
        """Mean and variance of the training targets of a regression; `None` for a classification."""
        if self.labels:
            return None
        y = self.train.y.astype(np.float64)
        return float(y.mean()), float(y.var())

    @cached_property
    def fingerprint(self) -> str:
        """A digest of every example and label, in their splits."""
        digest = hashlib.sha256(repr((self.labels, self.input_shape)).encode())
        for split in (self.train, self.validation, self.test):
            for array in split:
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def encode(self, rows: "pd.DataFrame | Sequence[Mapping[str, Any]]") -> np.ndarray:
        """The features of further rows of the table: what the model takes, as `TableEncoder.encode` makes it.

        Args:
            rows: A DataFrame, or a sequence of dicts, with the columns that the table had.

        Returns:
            float32 array of shape `(rows, features)`.

        Raises:
            ValueError: If the data did not come from a CSV or Parquet table, or the rows cannot be encoded.
        """
        if self.encoder is None:
            raise ValueError(f"{self.name} is no CSV or Parquet table: its examples need no encoding")
        return self.encoder.encode(rows)


def _chunks(x: np.ndarray) -> Iterator[np.ndarray]:
    return (x[start : start + _CHUNK] for start in range(0, len(x), _CHUNK))
