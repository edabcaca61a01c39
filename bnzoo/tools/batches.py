"""Batches of the data that tools accept."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from bnzoo.errors import positive_integer


class Batch(NamedTuple):
    """One batch.

    Attributes:
        x: The inputs of the model.
        y: Targets, or `None`.
        sample_weight: Weights of the examples, or `None`.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None


def batches_of(data: Any, batches: int | None, batch_size: int) -> Iterator[Batch]:
    """Return the data in batches.

    Args:
        data: An array of inputs or a dict of arrays by input name; a tuple `(x, y)` or `(x, y, sample_weight)` of such;
            a `tf.data.Dataset`, a `keras.utils.PyDataset`, the `DataLoader` of PyTorch or any iterable of batches, each
            of them `x`, `(x, y)` or `(x, y, sample_weight)`. A list is an iterable of batches: pass several inputs as
            a dict by name, or as the `x` of a tuple.
        batches: Integer, the maximum number of batches; `None` for all.
        batch_size: Integer, for arrays.

    Raises:
        ValueError: If a number is not a positive integer, the data has another type, its arrays differ in length, there
            is no batch at all, or the data is endless and `batches` is `None`.
    """
    positive_integer("batch_size", batch_size)
    if batches is not None:
        positive_integer("batches", batches)
    iterator = iter(_all(data, batches is None, batch_size))
    first = list(itertools.islice(iterator, 1))
    if not first:
        raise ValueError("`data` is empty: statistics need at least one batch")
    return map(_batch, itertools.islice(itertools.chain(first, iterator), batches))


def _all(data: Any, whole: bool, batch_size: int) -> Iterable:
    if isinstance(data, keras.utils.PyDataset):
        length = data.num_batches
        _refuse_endless(whole and length is None)
        return (data[i] for i in (itertools.count() if length is None else range(length)))
    if hasattr(data, "cardinality"):  # tf.data
        _refuse_endless(whole and int(data.cardinality()) == -1)
        return data
    if isinstance(data, tuple | dict) or hasattr(data, "shape"):
        return _sliced(data, batch_size)
    if isinstance(data, str) or not isinstance(data, Iterable):
        raise ValueError(
            "`data` must be an array, a dict of arrays, a tuple `(x, y)`, a tf.data.Dataset, a keras.utils.PyDataset "
            f"or an iterable of batches. Received: {type(data).__name__}"
        )
    return data


def _sliced(data: Any, batch_size: int) -> Iterator:
    arrays = data if isinstance(data, tuple) else (data,)
    flat = [array for array in keras.tree.flatten(arrays) if array is not None]
    if other := [type(array).__name__ for array in flat if not hasattr(array, "shape")]:
        raise ValueError(f"`data` must hold arrays. Received: {other[0]}. Convert lists by `numpy.array`")
    lengths = {len(array) for array in flat}
    if len(lengths) != 1:
        raise ValueError(f"`data` must hold arrays of the same length. Received: lengths {sorted(lengths)}")
    for start in range(0, lengths.pop(), batch_size):
        yield tuple(
            keras.tree.map_structure(lambda array: np.asarray(array[start : start + batch_size]), part)  # noqa: B023
            if part is not None
            else None
            for part in arrays
        )


def _refuse_endless(endless: bool) -> None:
    if endless:
        raise ValueError("`data` has no end: set `batches` to the number of batches to use. Received: batches=None")


def _batch(batch: Any) -> Batch:
    # the DataLoader of PyTorch makes lists
    return Batch(*batch[:3]) if isinstance(batch, tuple | list) else Batch(batch)
