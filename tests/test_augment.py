import dataclasses
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from bnzoo import data
from bnzoo.data.augment import AUGMENTATIONS

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(1, 256, (40, 16, 12, 3), np.uint8)
CLASSES = (np.arange(40) % 4).astype(np.int32)


def dataset(augment, x=IMAGES, y=CLASSES):
    split = data.Split(x, y)
    return data.Dataset("made", tuple("abcd"), split, split, split, augment=augment)


def batches(made, seed=0, count=2):
    """Return augmented batches of all examples."""
    examples = tf.data.Dataset.from_tensors((made.train.x.astype(np.float32), made.train.y)).repeat(count)
    return [(x.numpy(), y.numpy()) for x, y in examples.map(made.augmentation(seed)).prefetch(2)]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "randaugment" else ()) for name in AUGMENTATIONS]
)
def test_the_seed_decides(name):
    made = dataset(name)
    found, again, other = batches(made), batches(made), batches(made, seed=1)
    for one, two in zip(found, again, strict=True):
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(one[1], two[1])
    assert (found[0][0] != found[1][0]).any(), "batches differ"
    assert (found[0][0] != other[0][0]).any(), "seeds differ"
    assert found[0][0].shape == IMAGES.shape
    assert found[0][0].dtype == np.float32


def test_flips_are_left_and_right():
    ((found, _),) = batches(dataset("flip"), count=1)
    mirrored = (found == IMAGES[:, :, ::-1]).all((1, 2, 3))
    np.testing.assert_array_equal(found[~mirrored], IMAGES[~mirrored])
    assert 5 < mirrored.sum() < 35


def test_crops_are_windows_of_the_padded_image():
    ((found, _),) = batches(dataset("crop"), count=1)
    padded = np.pad(IMAGES, ((0, 0), (2, 2), (2, 2), (0, 0)))
    windows = {
        (row, column): padded[:, row : row + 16, column : column + 12] for row in range(5) for column in range(5)
    }
    equal = {place: (found == window).all((1, 2, 3)) for place, window in windows.items()}
    assert np.any(list(equal.values()), 0).all(), "each image is a window"
    assert sum(places.any() for places in equal.values()) > 5, "of its own"


def test_rotations_are_by_at_most_fifteen_degrees():
    """A ramp stays one: its slope in the middle turns by the angle of the image."""
    ramp = np.zeros((400, 16, 16, 1), np.float32) + 10 * np.arange(16, dtype=np.float32)[:, None]
    ((found, _),) = batches(dataset("rotation", ramp, np.arange(400, dtype=np.int32) % 4), count=1)
    middle = found[:, 7:9, 7:9, 0]
    down, right = (np.diff(middle, axis=axis).mean((1, 2)) for axis in (1, 2))
    np.testing.assert_allclose(np.hypot(down, right), 10, rtol=1e-2)
    angles = np.degrees(np.arctan2(down, right))
    assert -15.1 < angles.min() < -13
    assert 13 < angles.max() < 15.1


def test_an_erased_part_is_one_rectangle():
    ((found, _),) = batches(dataset("erasing"), count=1)
    for before, after in zip(IMAGES, found, strict=True):
        rows, columns = np.nonzero((before != after).any(-1))
        if len(rows):
            assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    erased = (found != IMAGES).any((1, 2, 3))
    assert 14 < erased.sum() < 26, "half"


@pytest.mark.parametrize("low", [0, -400])
def test_colours_change_by_a_fifth(low):
    flat = RANDOM.integers(80, 170, (400, 1, 1, 3)).repeat(4, 1).repeat(4, 2)
    flat[-1] = np.linspace(0, 255, 48).reshape(4, 4, 3)  # the levels are 0 to 255
    inputs = flat.astype(np.uint8) if low == 0 else (flat + low).astype(np.float32)
    ((found, _),) = batches(dataset("color", inputs, np.arange(400, dtype=np.int32) % 4), count=1)
    before, after = flat[:-1, 0, 0], found[:-1, 0, 0] - low
    brighter = after.max(-1) - before.max(-1)
    assert -51.1 < brighter.min() < -45
    assert 45 < brighter.max() < 51.1
    ratio = np.ptp(after, -1) / np.ptp(before, -1)  # brightness leaves it, contrast has none to change
    ratio = ratio[np.ptp(before, -1) > 20]
    assert 0.799 < ratio.min() < 0.85
    assert 1.15 < ratio.max() < 1.201


@pytest.mark.slow
def test_randaugment_is_that_of_keras():
    reference = keras.layers.RandAugment((0, 1), seed=3, dtype="float32")
    examples = tf.data.Dataset.from_tensors(IMAGES.astype(np.float32)).repeat(20)
    expected = list(examples.map(lambda x: 255 * reference(x / 255, training=True)).as_numpy_iterator())
    found = [x for x, _ in batches(dataset("randaugment"), seed=3, count=20)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


LEVELS = np.array([10, 60, 120, 250], np.uint8)
FLAT = np.ones_like(IMAGES) * LEVELS[CLASSES][:, None, None, None]


def test_mixup_mixes_labels_as_images():
    ((x, y),) = batches(dataset("mixup", FLAT), count=1)
    np.testing.assert_allclose(y.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(x, (y @ LEVELS)[:, None, None, None] * np.ones(IMAGES.shape), rtol=1e-5)
    assert ((y > 0.01).sum(-1) == 2).any()


def test_cutmix_gives_labels_the_share_of_their_pixels():
    ((x, y),) = batches(dataset("cutmix", FLAT), count=1)
    shares = (x[..., :1] == LEVELS).mean((1, 2))
    np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-6)
    rounding = (16 + 12) / (16 * 12)  # a pixel along the sides: Keras takes the share before it rounds to pixels
    np.testing.assert_allclose(y, shares, atol=rounding)
    assert ((y > 0.1).sum(-1) == 2).any()


def test_levels_are_those_of_the_data():
    assert dataset("color").levels == (0, 255)
    wide = dataset("color", IMAGES.astype(np.uint16) * 200)
    assert wide.levels == (wide.train.x.min(), wide.train.x.max())
    (x, _), _ = batches(wide)
    assert x.max() > 255
    assert x.max() <= wide.levels[1]


def test_names_are_checked_and_ordered():
    assert dataset("crop, flip,crop").augment == ("flip", "crop")
    assert dataset(["mixup", "color"]).augment == ("color", "mixup")
    assert [dataset(nothing).augment for nothing in ("none", None, ())] == [(), (), ()]
    assert pickle.loads(pickle.dumps(dataset("flip"))).augment == ("flip",)
    assert data.load("digits", augment="flip").augment == ("flip",)
    with pytest.raises(ValueError, match=r"Unknown augmentation: 'flop'\. Did you mean 'flip'"):
        dataset("crop,flop")
    with pytest.raises(ValueError, match=r"Unknown augmentation: '3'"):
        dataset(["crop", 3])
    with pytest.raises(ValueError, match=r"`augment` is for images .* augment='flip' for examples .* \(13,\)"):
        data.load("wine", augment="flip")
    with pytest.raises(ValueError, match="1 or 3 channels"):
        dataset("flip", IMAGES[..., :2])
    assert dataclasses.replace(dataset("flip"), augment="crop").augment == ("crop",)
