"""Classified examples in three stratified splits."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Examples and their labels.

    Attributes:
        x: float32 array of shape `(examples, *input_shape)`, as they were read: models scale them.
        y: int32 array of shape `(examples,)`, `0 .. classes - 1`.
    """

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """Classified examples in three stratified splits.

    Attributes:
        name: String, the name, file or folder that the data came from.
        labels: Tuple of strings, the name of each class.
        train: `Split` to train on.
        validation: `Split` to choose by.
        test: `Split` to report.
    """

    name: str
    labels: tuple[str, ...]
    train: Split
    validation: Split
    test: Split

    @property
    def classes(self) -> int:
        """The number of classes."""
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
        """
        axes = tuple(range(self.train.x.ndim - 1))
        variance = self.train.x.var(axes, dtype=np.float64)
        return self.train.x.mean(axes, dtype=np.float64).tolist(), np.where(variance > 0, variance, 1.0).tolist()

    @cached_property
    def fingerprint(self) -> str:
        """A digest of every example and label, in their splits."""
        digest = hashlib.sha256(repr((self.labels, self.input_shape)).encode())
        for split in (self.train, self.validation, self.test):
            for array in split:
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def stratified(
    x: np.ndarray, y: np.ndarray, labels: Sequence[str], name: str, validation: float, test: float, seed: int
) -> Dataset:
    """Splits every class in the same proportions, each split getting at least one example of each class.

    Args:
        x: Array of examples.
        y: Integer array, `0 .. classes - 1`.
        labels: The names of the classes.
        name: Where the data came from.
        validation: Float, the share of the validation data.
        test: Float, the share of the test data.
        seed: Integer.

    Raises:
        ValueError: If a share is not possible, there is only one class, or a class has fewer than three examples.
    """
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise ValueError(
            "`validation` and `test` must be shares above 0 that leave something to train on. "
            f"Received: validation={validation}, test={test}"
        )
    if len(labels) < 2:
        raise ValueError(f"{name}: one class only ({', '.join(labels)}); a classifier needs at least two")
    random = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for label, word in enumerate(labels):
        members = random.permutation(np.flatnonzero(y == label))
        tests, validations = (max(1, round(len(members) * share)) for share in (test, validation))
        if len(members) < 1 + tests + validations:
            raise ValueError(
                f"{name}: class {word!r} has {len(members)} example{'s' * (len(members) != 1)}; training, validation "
                "and test need at least one each, so give every class three or more"
            )
        parts["test"].append(members[:tests])
        parts["validation"].append(members[tests : tests + validations])
        parts["train"].append(members[tests + validations :])
    splits = {}
    for part, chosen in parts.items():
        order = random.permutation(np.concatenate(chosen))
        splits[part] = Split(np.ascontiguousarray(x[order], np.float32), y[order].astype(np.int32))
    return Dataset(name, tuple(labels), **splits)
