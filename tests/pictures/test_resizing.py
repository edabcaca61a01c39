"""Resizing in the graph of a server, compared with Pillow, which resizes the images of training."""

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bnzoo.export.image import INTERPOLATIONS
from bnzoo.pictures.resizing import resize

RESIZE = {
    name: tf.function(
        lambda images, size, name=name: resize(images, size, name), autograph=False
    ).get_concrete_function(tf.TensorSpec((None, None, None, 3), tf.uint8), tf.TensorSpec((2,), tf.int32))
    for name in INTERPOLATIONS
}
SIDE = st.integers(1, 90)


@settings(max_examples=50)
@given(SIDE, SIDE, SIDE, SIDE, st.sampled_from([*RESIZE]), st.integers(0, 2**32 - 1))
def test_each_level_is_that_of_pillow(rows, columns, new_rows, new_columns, interpolation, seed):
    # the extreme levels overshoot, and are cut
    images = np.random.default_rng(seed).choice([0, 1, 128, 254, 255], (2, rows, columns, 3)).astype(np.uint8)
    found = RESIZE[interpolation](tf.constant(images), tf.constant([new_rows, new_columns])).numpy()
    resample = getattr(Image.Resampling, interpolation.upper())
    for image, new in zip(images, found, strict=True):
        wide = Image.fromarray(image).resize((new_columns, rows), resample)
        np.testing.assert_array_equal(new, wide.resize((new_columns, new_rows), resample))
