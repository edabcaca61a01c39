"""Keras' layer RandAugment at a lower cost, with the same results."""

import functools
from typing import Any

import tensorflow as tf
from keras import layers


class RandAugment(layers.RandAugment):
    """`keras.layers.RandAugment` in a pipeline of `tf.data`, with the same results.

    Keras' layer draws a few changes for each batch, computes all changes that it knows, and keeps the drawn ones. This
    layer computes the drawn ones only.

    Args:
        value_range: Sequence of two floats, the lowest and the highest level.
        **kwargs: Other arguments of `keras.layers.RandAugment`.
    """

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        """Return a batch of images with the drawn changes."""
        images = self.backend.cast(images, self.compute_dtype)
        for drawn in tf.unstack(transformation["layer_idxes"], self.num_ops):
            changes = [
                functools.partial(getattr(self, name).transform_images, images, values)
                for name, values in transformation["transforms"].items()
            ]
            images = tf.switch_case(drawn, changes)
        return images
