"""Resizing in the graph of a server, compared with Pillow, which resizes the images of training."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bnzoo import data, export
from bnzoo.export.decoding import Pixels
from bnzoo.pictures.resizing import resize

RESIZE = {
    name: tf.function(
        lambda images, size, name=name: resize(images, size, name), autograph=False
    ).get_concrete_function(tf.TensorSpec((None, None, None, 3), tf.uint8), tf.TensorSpec((2,), tf.int32))
    for name in export.image.INTERPOLATIONS
}
SIDE = st.integers(1, 90)


@given(SIDE, SIDE, SIDE, SIDE, st.sampled_from([*RESIZE]), st.integers(0, 2**32 - 1))
def test_each_level_is_that_of_pillow(rows, columns, new_rows, new_columns, interpolation, seed):
    # the extreme levels overshoot, and are cut
    images = np.random.default_rng(seed).choice([0, 1, 128, 254, 255], (2, rows, columns, 3)).astype(np.uint8)
    found = RESIZE[interpolation](tf.constant(images), tf.constant([new_rows, new_columns])).numpy()
    resample = getattr(Image.Resampling, interpolation.upper())
    for image, new in zip(images, found, strict=True):
        wide = Image.fromarray(image).resize((new_columns, rows), resample)
        np.testing.assert_array_equal(new, wide.resize((new_columns, new_rows), resample))


def write(path, mode, kind, size, seed):
    noise = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    (image.quantize(60) if mode == "P" else image.convert(mode)).save(path, kind)


@pytest.mark.parametrize("modes", [pytest.param(("L",), marks=pytest.mark.slow), ("RGB", "L", "P")])
def test_an_image_is_served_with_the_pixels_of_its_training(tmp_path, modes):
    random, kinds = np.random.default_rng(0), {"L": ("PNG", "JPEG", "BMP"), "P": ("GIF", "PNG")}
    for number in range(24):
        mode = modes[number % len(modes)]
        kind = str(random.choice(kinds.get(mode, ("PNG", "JPEG", "BMP"))))
        size = [int(side) for side in random.integers(3, 60, 2)]
        write(tmp_path / "ab"[number % 2] / f"{number:02}.{kind.lower()}", mode, kind, size, number)
    images = data.load(tmp_path, image_size=(17, 23))
    channels = images.input_shape[-1]
    assert channels == (1 if modes == ("L",) else 3)
    files = [path.read_bytes() for path in sorted(tmp_path.rglob("*.*"))]
    pixels, usable = Pixels(export.Image(), (17, 23, channels)).decode_batch(tf.constant(files))
    assert usable.numpy().all()
    trained = np.concatenate([images.train.x, images.validation.x, images.test.x])
    assert {image.tobytes() for image in pixels.numpy()} == {image.tobytes() for image in trained.astype(np.float32)}
