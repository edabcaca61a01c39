"""Splits from `tf.data` datasets and `keras.utils.PyDataset`."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bnzoo.data import store
from bnzoo.data.dataset import Split, is_one_hot, kept_type
from bnzoo.data.finite import check_finite

# of a dataset whose elements are single examples
_BATCH = 256


def read_splits(
    parts: Mapping[str, Any], classes: int, max_memory: int | None, several: bool = False
) -> dict[str, Split]:
    """Read the datasets of all splits.

    Args:
        parts: Dict, a `tf.data.Dataset` or a `keras.utils.PyDataset` for each split.
        classes: Integer, the number of classes or labels, 0 for a regression.
        max_memory: Integer, the bytes up to which all inputs together are held in memory, as in `store.memory_limit`.
        several: Boolean, whether an example has any number of labels, in a row of 0 and 1.

    Raises:
        ValueError: As `read_split`, or if the splits differ in the shape of an input or a target, or one has no label.
    """
    left, splits = store.memory_limit(max_memory), {}
    for name, data in parts.items():
        splits[name] = split = read_split(name, data, classes, left, several)
        if several and not split.y.any():
            raise ValueError(f"`{name}` has no example with a label, so that nothing can be measured. Add some")
        left -= 0 if isinstance(split.x, np.memmap) else split.x.nbytes
    if len(shapes := {split.x.shape[1:] for split in splits.values()}) > 1:
        raise ValueError(
            f"`{'`, `'.join(splits)}` must have inputs of the same shape. Received: {', '.join(map(str, shapes))}"
        )
    if len(shapes := {split.y.shape[1:] for split in splits.values()}) > 1:
        raise ValueError(
            f"`{'`, `'.join(splits)}` must have targets of the same shape. Received: {', '.join(map(str, shapes))}"
        )
    return splits


def read_split(name: str, data: Any, classes: int, max_memory: float, several: bool = False) -> Split:
    """Read all batches of a dataset.

    Args:
        name: String, the argument, for messages.
        data: A `tf.data.Dataset` or a `keras.utils.PyDataset` of `(x, y)`.
        classes: Integer, the number of classes or labels, 0 for a regression.
        max_memory: Float, the bytes up to which the inputs are held in memory; more are held in a file.
        several: Boolean, as in `read_splits`.

    Raises:
        ValueError: If the data is endless or empty, or its elements have another form. The message names the argument.
    """
    targets: list[np.ndarray] = []

    def inputs() -> Iterator[np.ndarray]:
        first = None
        for number, batch in enumerate(_batches(name, data)):
            x, y = _checked(f"`{name}`, batch {number}", batch, classes, several)
            first = x[:0] if first is None else first
            if (x.shape[1:], x.dtype) != (first.shape[1:], first.dtype):
                raise ValueError(
                    f"`{name}`, batch {number}: its inputs have the shape {x.shape[1:]} and the type {x.dtype}, those "
                    f"of the first batch {first.shape[1:]} and {first.dtype}. All must be alike"
                )
            targets.append(y)
            yield x

    try:
        x = store.collected(inputs(), max_memory)
    except store.NoRoomError as error:
        raise ValueError(f"`{name}`: its inputs {error}") from error
    if x is None:
        raise ValueError(f"`{name}` is empty. It must have at least one batch")
    y = np.concatenate(targets)
    check_finite(name, x, y)
    return Split(x, y)


def _batches(name: str, data: Any) -> Iterator[Any]:
    if isinstance(data, keras.utils.PyDataset):
        if data.num_batches is None:
            raise ValueError(f"`{name}` has no end: its `num_batches` is None. It must be finite")
        return (data[i] for i in range(data.num_batches))
    if not hasattr(data, "element_spec"):
        raise ValueError(
            f"`{name}` must be a tf.data.Dataset or a keras.utils.PyDataset of batches (x, y). "
            f"Received: {type(data).__name__}"
        )
    if int(data.cardinality()) == -1:
        raise ValueError(f"`{name}` has no end: leave out `repeat()`, or call `take(count)`")
    return _read(name, data.batch(_BATCH) if _is_single(data.element_spec) else data)


def _is_single(spec: Any) -> bool:
    """Return whether the elements of a dataset are single examples: `y` is a number, or not as long as `x`."""
    if not isinstance(spec, tuple) or len(spec) != 2 or not all(isinstance(part, tf.TensorSpec) for part in spec):
        return False
    x, y = (part.shape for part in spec)
    return y.rank == 0 or bool(x.rank and y.rank and None not in (x[0], y[0]) and x[0] != y[0])


def _read(name: str, data: tf.data.Dataset) -> Iterator[Any]:
    try:
        yield from data.as_numpy_iterator()
    except tf.errors.InvalidArgumentError as error:  # such as images of several sizes in a batch
        raise ValueError(
            f"`{name}`: {error.message.rpartition('}} ')[2]}. If its images differ in size, resize them with `map`"
        ) from error


def _checked(place: str, batch: Any, classes: int, several: bool) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        kind = f"{len(batch)} values" if isinstance(batch, tuple | list) else type(batch).__name__
        raise ValueError(f"{place} must be a pair (x, y). Received: {kind}. Make pairs with `map`")
    x, y = (np.asarray(part) for part in batch)
    if x.dtype.kind not in "biuf" or x.ndim not in (2, 3, 4):
        raise ValueError(
            f"{place}: x must have numbers of the shape (n, features), (n, height, width) or (n, height, width, "
            f"channels). Received: dtype {x.dtype}, shape {x.shape}"
        )
    x = x[..., None] if x.ndim == 3 else x
    x = x.astype(kept_type(x.dtype), copy=False)
    if several:
        return x, _rows_of_labels(place, y, len(x), classes)
    if classes and y.ndim == 2 and y.shape[1] == classes > 1:
        if np.isin(y, (0, 1)).all() and not is_one_hot(y):
            ones = y.sum(1)
            raise ValueError(
                f"{place}: a one-hot row has exactly one 1. Received: a row with {ones[ones != 1][0]:.0f}. If an "
                "example has any number of labels, pass task='multilabel'"
            )
        y = y.argmax(-1)
    several_targets = not classes and y.ndim == 2 and y.shape[1] > 1 and len(y) == len(x) and y.dtype.kind == "f"
    if several_targets and not is_one_hot(y):
        return x, y.astype(np.float32)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.shape != x.shape[:1] or y.dtype.kind not in ("iu" if classes else "iuf"):
        wanted = f"an integer class, or a row of {classes} numbers," if classes else "a number"
        raise ValueError(
            f"{place}: y must have {wanted} for each of its {len(x)} examples. Received: dtype {y.dtype}, shape "
            f"{y.shape}" + ("" if classes else ". For a classification, pass `classes`")
        )
    if classes and len(y) and not 0 <= y.min() <= y.max() < classes:
        raise ValueError(f"{place}: classes must be from 0 to {classes - 1}. Received: {y.min()} to {y.max()}")
    return x, y.astype(np.int32 if classes else np.float32)


def _rows_of_labels(place: str, y: np.ndarray, examples: int, labels: int) -> np.ndarray:
    if y.shape != (examples, labels) or y.dtype.kind not in "biuf" or not np.isin(y, (0, 1)).all():
        raise ValueError(
            f"{place}: y must have a row of {labels} numbers, each 0 or 1, for each of its {examples} examples. "
            f"Received: dtype {y.dtype}, shape {y.shape}"
        )
    return y.astype(np.int32)
