"""Data sets: examples with classes or regression targets, in three splits."""

import hashlib
import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bnzoo.data import augment
from bnzoo.data.encoder import TableEncoder
from bnzoo.data.rows import Rows
from bnzoo.data.splits import check_varied

if TYPE_CHECKING:
    import pandas as pd

# examples in a chunk, and the most bytes of a chunk as float64
_CHUNK, _CHUNK_BYTES = 4096, 2**26
# the types of inputs that are kept; other numbers become float32
_KEPT = (np.uint8, np.uint16, np.float32)


def kept_type(dtype: np.dtype) -> np.dtype:
    """Return the type in which inputs of a type are held: uint8, uint16 or float32."""
    return np.dtype(dtype.type if dtype.type in _KEPT else np.float32)


def is_one_hot(y: np.ndarray) -> bool:
    """Return whether each row of targets is 0 but for a single 1."""
    return bool(np.isin(y, (0, 1)).all() and (y.sum(1) == 1).all())


def chunks(x: np.ndarray | Rows) -> Iterator[np.ndarray]:
    """Return the examples in parts that are small enough to be converted to float64."""
    size = max(1, min(_CHUNK, _CHUNK_BYTES // max(1, 8 * int(np.prod(x.shape[1:])))))
    return (x[start : start + size] for start in range(0, len(x), size))


class Split(NamedTuple):
    """Examples with their targets.

    Attributes:
        x: Array of shape `(examples, *input_shape)`, uint8, uint16 or float32 as the source has it, not scaled: models
            scale them. `bnzoo.data.rows.Rows`, which has the form of an array, for examples that are read when they are
            used.
        y: Array of shape `(examples,)`: int32 classes, `0 .. classes - 1`, or the float32 targets of a regression. Of
            shape `(examples, labels)` for several labels an example, int32 0 or 1; of shape `(examples, targets)` for
            several targets.
    """

    x: Any
    y: np.ndarray

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to make a copy in another process: examples in a file are not copied, but mapped there too."""
        x = self.x
        if isinstance(x, np.memmap) and isinstance(x.base, mmap.mmap):  # a slice does not know its own offset
            return _mapped, (x.filename, x.dtype, x.offset, x.shape, self.y)
        return Split, tuple(self)


def _mapped(path: Path, dtype: np.dtype, offset: int, shape: tuple[int, ...], y: np.ndarray) -> Split:
    return Split(np.memmap(path, dtype, "r", offset, shape), y)


@dataclass(frozen=True)
class Dataset:
    """A data set for classification, for several labels an example, or for regression, in three splits.

    Attributes:
        name: String, the name, file or folder of the data.
        labels: Tuple of strings, the names of the classes, or of the labels of which an example may have several; empty
            for a regression.
        train: `Split` for training.
        validation: `Split` for choosing a model.
        test: `Split` for the final result.
        encoder: The `TableEncoder` that encoded the columns of a table as features; `None` for other data.
        augment: Tuple of strings, the names of the augmentations in a training. The constructor also takes a string of
            names separated by commas.
        targets: Tuple of strings, the names of the targets of a regression; it may be empty for one target.
    """

    name: str
    labels: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    encoder: TableEncoder | None = None
    augment: str | Sequence[str] = ()
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.labels and not self.targets and self.outputs > 1:
            object.__setattr__(self, "targets", tuple(map(str, range(self.outputs))))
        object.__setattr__(self, "augment", augment.chosen(self.augment))
        augment.check_images(self.augment, self.input_shape)

    @classmethod
    def from_tf_data(
        cls,
        train: Any,
        validation: Any,
        test: Any,
        *,
        classes: int | Sequence[str] | None = None,
        task: str | None = None,
        name: str = "tf.data",
        augment: str | Sequence[str] = (),
        max_memory: int | None = None,
    ) -> "Dataset":
        """Make a data set of three `tf.data.Dataset` or `keras.utils.PyDataset`, each of which is read once.

        Args:
            train: Batches `(x, y)` for training, or single examples of `tf.data`. The images or rows `x` are all of one
                shape and type, not scaled. A class `y` is an integer or a one-hot row, a target of a regression a
                number. For several labels an example, `y` is a row of 0 and 1; for several targets, a row of numbers.
            validation: The same for choosing a model.
            test: The same for the final result.
            classes: Integer or sequence of strings, the number or the names of the classes or labels; `None` for a
                regression.
            task: String, `"multilabel"` for rows of 0 and 1 that are no classes: an example has any number of labels.
                `None` for a classification or, without `classes`, a regression.
            name: String, the name of the data.
            augment: As in `bnzoo.data.load`.
            max_memory: As in `bnzoo.data.load`. The name of the file in `~/.keras/bnzoo` is a digest of its content.

        Returns:
            A `Dataset`.

        Raises:
            ValueError: If a data set is endless or empty, or its elements have another form.

        Examples:
        >>> train, validation, test = (
        ...     tfds.load("beans", split=part, as_supervised=True) for part in ("train", "validation", "test"))
        >>> beans = bnzoo.data.Dataset.from_tf_data(train, validation, test, classes=3)
        """
        from bnzoo.data.batches import read_splits

        named = () if classes is None else range(classes) if isinstance(classes, int | np.integer) else classes
        labels = tuple(map(str, named))
        if classes is not None and not 2 <= len(labels) == len({*labels}):
            raise ValueError(
                f"`classes` must be at least 2 classes or their names, which differ. Received: classes={classes!r}"
            )
        if task not in (None, "multilabel") or (task and classes is None):
            raise ValueError(
                "`task` must be 'multilabel', with the number or the names of the labels in `classes`, or None. "
                f"Received: task={task!r}, classes={classes!r}"
            )
        parts = {"train": train, "validation": validation, "test": test}
        splits = read_splits(parts, len(labels), max_memory, several=task is not None)
        return cls(name, labels, splits["train"], splits["validation"], splits["test"], augment=augment)

    @property
    def task(self) -> str:
        """`"classification"`, `"multilabel"` (several labels an example) or `"regression"`."""
        if not self.labels:
            return "regression"
        return "classification" if self.train.y.ndim == 1 else "multilabel"

    @property
    def classes(self) -> int:
        """The number of classes or labels; 0 for a regression."""
        return len(self.labels)

    @property
    def outputs(self) -> int:
        """The number of outputs of a network: classes, labels or targets."""
        return len(self.labels) or int(np.prod(self.train.y.shape[1:]))

    @property
    def names_of_outputs(self) -> tuple[str, ...]:
        """The names of the classes, labels or several targets; empty for one target."""
        return self.labels or (self.targets if self.outputs > 1 else ())

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example: `(height, width, channels)` or `(features,)`."""
        return self.train.x.shape[1:]

    @property
    def stem(self) -> str:
        """The name without folders and suffix, for file names."""
        return Path(self.name).stem

    @cached_property
    def scale(self) -> tuple[list[float], list[float]]:
        """Mean and variance of each channel or feature of the training data, for a `Normalization` layer.

        A constant feature gets the variance 1. Images that are decoded when they are used are represented by the first
        4,096 of the training data, which are in random order: the error of a mean is about a 64th of the deviation
        between images, and the layers behind the scale learn the rest.

        Raises:
            ValueError: If a variance is too large for float32. (The encoder of a table avoids that.)
        """
        x = self._sample
        axes = tuple(range(x.ndim - 1))
        if isinstance(x, Rows):
            mean = np.asarray(sum(part.sum(axes, dtype=np.float64) for part in chunks(x))) / (x.size / x.shape[-1])
        else:
            mean = x.mean(axes, dtype=np.float64)
        # not x.var(), which would make a float64 copy of all examples
        squares = np.asarray(sum(np.square(part - mean).sum(axes) for part in chunks(x)))
        variance = squares / (x.size / x.shape[-1])
        if (large := variance > np.finfo(np.float32).max).any():
            raise ValueError(
                f"{self.name}: the variance of feature {large.argmax()}, {variance.max():.3g}, is too large for "
                "float32. Divide x by a constant so that its values are about 1."
            )
        return mean.tolist(), np.where(variance > 0, variance, 1.0).tolist()

    @cached_property
    def levels(self) -> tuple[float, float]:
        """The lowest and the highest level of images: `(0, 255)` for uint8, else those of the data in `scale`."""
        x = self._sample
        if x.dtype == np.uint8:
            return 0.0, 255.0
        ends = [(float(part.min()), float(part.max())) for part in chunks(x)]
        return min(low for low, _ in ends), max(high for _, high in ends)

    @property
    def _sample(self) -> Any:
        """The training inputs from which constants are computed."""
        x = self.train.x
        return x.sample() if isinstance(x, Rows) else x

    def augmentation(self, seed: int, first: int = 0, batch: Any = None) -> Callable[[Any, Any], tuple[Any, Any]]:
        """Return a function that augments a batch of inputs and targets. See `bnzoo.data.augment.augmentation`.

        Use it in a `map` of `tf.data` that is not parallel. With mixup or cutmix, classes become rows of shares.
        """
        images = augment.Images(self.input_shape[-1], *self.levels, self.classes)
        return augment.augmentation(self.augment, images, seed, first, batch)

    @property
    def mixes_labels(self) -> bool:
        """True if an augmentation turns classes into rows of shares."""
        return self.task == "classification" and bool({*self.augment} & {*augment.MIXING})

    @cached_property
    def target_scale(self) -> tuple[Any, Any] | None:
        """Mean and variance of the training targets of a regression, lists for several targets; `None` for classes."""
        if self.labels:
            return None
        check_varied(self.train.y, self.name, self.targets)
        y = self.train.y.astype(np.float64)
        if y.ndim == 2:
            return y.mean(0).tolist(), y.var(0).tolist()
        return float(y.mean()), float(y.var())

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all examples and labels in their splits.

        Images that are decoded when they are used count with the bytes of their files.
        """
        digest = hashlib.sha256(repr((self.labels, self.input_shape)).encode())
        for split in (self.train, self.validation, self.test):
            if isinstance(split.x, Rows):
                contents = split.x.contents()
            else:  # as float32, so that the digest depends on the values only
                contents = (np.ascontiguousarray(part, np.float32).data for part in chunks(split.x))
            for content in contents:
                digest.update(content)
            digest.update(np.ascontiguousarray(split.y).data)
        return digest.hexdigest()

    def encode(self, rows: "pd.DataFrame | Sequence[Mapping[str, Any]]") -> np.ndarray:
        """Return the features of other rows of the table, as the input of a model. See `TableEncoder.encode`.

        Args:
            rows: A DataFrame, or a sequence of dicts, with the columns of the table.

        Returns:
            float32 array of shape `(rows, features)`.

        Raises:
            ValueError: If the data is not from a CSV or Parquet table, or the rows cannot be encoded.
        """
        if self.encoder is None:
            raise ValueError(f"{self.name} is not a CSV or Parquet table, so its examples need no encoding")
        return self.encoder.encode(rows)
