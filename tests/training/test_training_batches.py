import itertools

import numpy as np
import pytest

from bnzoo import data
from bnzoo.data.augment import AUGMENTATIONS
from bnzoo.training.batches import training_batches

RANDOM = np.random.default_rng(0)


def images(augment=()):
    splits = (
        data.Split(RANDOM.integers(1, 256, (count, 8, 8, 3), np.uint8), (np.arange(count) % 2).astype(np.int32))
        for count in (12, 4, 4)
    )
    return data.Dataset("made", ("a", "b"), *splits, augment=augment)


@pytest.mark.parametrize(
    "augment",
    [(), *(pytest.param(name, marks=pytest.mark.slow if name == "randaugment" else ()) for name in AUGMENTATIONS)],
)
def test_batches_go_on_at_any_step(augment):
    """The fourth batch of four examples is the first one of the second epoch."""
    made = images(augment)
    expected = list(itertools.islice(training_batches(made, 4, seed=1).as_numpy_iterator(), 6))
    for first in (2, 4):
        found = list(itertools.islice(training_batches(made, 4, seed=1, first=first).as_numpy_iterator(), 2))
        for one, two in zip(found, expected[first:], strict=False):
            np.testing.assert_array_equal(one[0], two[0])
            np.testing.assert_array_equal(one[1], two[1])


@pytest.mark.parametrize("in_a_file", [False, True])
@pytest.mark.parametrize("also", [[0, 1, 2, 3], [1, 3]])
def test_validation_examples_can_be_training_examples_too(in_a_file, also, tmp_path):
    made = images()
    if in_a_file:
        np.save(tmp_path / "x.npy", made.train.x)
        mapped = data.Split(np.load(tmp_path / "x.npy", mmap_mode="r"), made.train.y)
        made = data.Dataset("made", ("a", "b"), mapped, made.validation, made.test)
    size = (len(made.train.x) + len(also)) // 2
    found = list(itertools.islice(training_batches(made, size, seed=0, also=np.array(also)).as_numpy_iterator(), 2))
    x, y = (np.concatenate([batch[part] for batch in found]) for part in (0, 1))
    expected = [*zip(made.train.x, made.train.y, strict=True)]
    expected += [(made.validation.x[row], made.validation.y[row]) for row in also]
    assert sorted((bytes(image.astype(np.uint8)), int(target)) for image, target in zip(x, y, strict=True)) == sorted(
        (bytes(image), int(target)) for image, target in expected
    )
