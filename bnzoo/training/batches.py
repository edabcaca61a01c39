"""The batches of a training and of its validation, cast to float32 and augmented on their way into the model."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from bnzoo.data import Dataset, Split

# bytes up to which TensorFlow gets a copy of the inputs; more are read one batch at a time
_COPIED = 2**24


def training_batches(data: Dataset, batch_size: int, seed: int) -> tf.data.Dataset:
    """Return an endless dataset of training batches.

    Their order depends only on the seed and the epoch, the random numbers of augmentations only on the seed and the
    number of the batch. The incomplete last batch of an epoch is dropped: batch norm has no meaningful statistics of
    one or two examples.

    Args:
        data: The `Dataset`.
        batch_size: Integer.
        seed: Integer.
    """
    count = len(data.train.x)

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(tf.range(count), seed=(seed, number))
        return tf.data.Dataset.from_tensor_slices(order).batch(batch_size, drop_remainder=True)

    batches = tf.data.Dataset.counter().flat_map(epoch).map(_examples(data, data.train))
    if data.augment:
        batches = batches.map(data.augmentation(seed))
    return batches.prefetch(2)


def validation_batches(data: Dataset, batch_size: int) -> tf.data.Dataset:
    """Return the validation data in batches, without augmentation.

    Args:
        data: The `Dataset`.
        batch_size: Integer.
    """
    rows = tf.data.Dataset.range(len(data.validation.x)).batch(batch_size)
    return rows.map(_examples(data, data.validation)).prefetch(2)


def _examples(data: Dataset, split: Split) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Return a function of indices that returns those examples with their targets."""
    # `R2Score` requires the targets of a regression as a column
    inputs, targets = _rows_of(split.x), tf.constant(split.y if data.classes else split.y[:, None])
    return lambda rows: (tf.cast(inputs(rows), tf.float32), tf.gather(targets, rows))


def _rows_of(x: np.ndarray) -> Callable[[tf.Tensor], Any]:
    """Return a function of indices that returns those rows."""
    if x.nbytes <= _COPIED and not isinstance(x, np.memmap):
        copy = tf.constant(x)
        return lambda rows: tf.gather(copy, rows)

    def read(rows: tf.Tensor) -> tf.Tensor:
        found = tf.numpy_function(lambda rows: np.asarray(x[rows]), [rows], x.dtype, stateful=False)
        return tf.ensure_shape(found, (*rows.shape, *x.shape[1:]))

    return read
