"""The batches of a training and of its validation, cast to float32 and augmented on their way into the model."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from bnzoo.data import Dataset, Split

# bytes up to which TensorFlow gets a copy of the inputs; more are read one batch at a time
_COPIED = 2**24


def training_batches(
    data: Dataset, batch_size: int, seed: int, *, first: int = 0, also: np.ndarray | None = None
) -> tf.data.Dataset:
    """Return an endless dataset of training batches.

    Their order depends only on the seed and the epoch, the random numbers of augmentations only on the seed and the
    number of the batch. The incomplete last batch of an epoch is dropped: batch norm has no meaningful statistics of
    one or two examples.

    Args:
        data: The `Dataset`.
        batch_size: Integer.
        seed: Integer.
        first: Integer, the number of the first batch: a training goes on there.
        also: Integer array, the indices of the validation examples that are training examples too. `None` for none.
    """
    splits, rows = [data.train], np.arange(len(data.train.x))
    if also is not None:
        splits, rows = [data.train, data.validation], np.concatenate([rows, len(rows) + also])
    used, count = tf.constant(rows, tf.int32), len(rows)

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(used, seed=(seed, number))
        return tf.data.Dataset.from_tensor_slices(order).batch(batch_size, drop_remainder=True)

    epochs, rest = divmod(first, count // batch_size)
    batches = tf.data.Dataset.counter(epochs).flat_map(epoch).skip(rest).map(_examples(data, *splits))
    if data.augment:
        batches = batches.map(data.augmentation(seed, first, batches.element_spec))
    return batches.prefetch(2)


def validation_batches(data: Dataset, batch_size: int) -> tf.data.Dataset:
    """Return the validation data in batches, without augmentation.

    Args:
        data: The `Dataset`.
        batch_size: Integer.
    """
    return evaluation_batches(data, data.validation, batch_size)


def evaluation_batches(data: Dataset, split: Split, batch_size: int) -> tf.data.Dataset:
    """Return a split of the data in batches, in its order and without augmentation."""
    rows = tf.data.Dataset.range(len(split.x)).batch(batch_size)
    return rows.map(_examples(data, split)).prefetch(2)


def _examples(data: Dataset, *splits: Split) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Return a function of indices that returns those examples, with their targets, of splits one after another."""
    y = np.concatenate([split.y for split in splits])
    # `R2Score` requires the targets of a regression as a column
    inputs, targets = (
        _rows_of(*(split.x for split in splits)),
        tf.constant(y if data.classes or y.ndim == 2 else y[:, None]),
    )
    return lambda rows: (tf.cast(inputs(rows), tf.float32), tf.gather(targets, rows))


def _rows_of(*arrays: Any) -> Callable[[tf.Tensor], Any]:
    """Return a function of indices that returns those rows of arrays, one after another."""
    first = arrays[0]
    held = all(isinstance(x, np.ndarray) and not isinstance(x, np.memmap) for x in arrays)
    if held and sum(x.nbytes for x in arrays) <= _COPIED:
        copy = tf.constant(np.concatenate(arrays))
        return lambda rows: tf.gather(copy, rows)
    starts = np.cumsum([0, *(len(x) for x in arrays[:-1])])

    def rows_of_arrays(rows: np.ndarray) -> np.ndarray:
        found = np.empty((len(rows), *first.shape[1:]), first.dtype)
        for x, start in zip(arrays, starts, strict=True):
            here = (rows >= start) & (rows < start + len(x))
            found[here] = x[rows[here] - start]
        return found

    def read(rows: tf.Tensor) -> tf.Tensor:
        found = tf.numpy_function(rows_of_arrays, [rows], first.dtype, stateful=False)
        return tf.ensure_shape(found, (*rows.shape, *first.shape[1:]))

    return read
