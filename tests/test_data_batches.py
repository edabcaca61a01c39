import keras
import numpy as np
import pytest
import tensorflow as tf

from bnzoo import data

X = np.random.default_rng(0).integers(0, 256, (30, 4, 5, 3), np.uint8)
Y = np.arange(30) % 3


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y, size=8):
        super().__init__()
        self.x, self.y, self.size = x, y, size

    @property
    def num_batches(self):
        return -(-len(self.x) // self.size) if self.size else None

    def __getitem__(self, index):
        rows = slice(index * self.size, (index + 1) * self.size)
        return self.x[rows], self.y[rows]


def pairs(x=X, y=Y):
    return tf.data.Dataset.from_tensor_slices((x, y))


UNLIKE = tf.data.Dataset.from_generator(
    lambda: [(X[:8], Y[:8]), (X[8:, :3], Y[8:])],
    output_signature=(tf.TensorSpec((None, None, 5, 3), tf.uint8), tf.TensorSpec((None,), tf.int64)),
)

SIZES = tf.data.Dataset.from_generator(
    lambda: [(X[0], 0), (X[1, :3], 1)],
    output_signature=(tf.TensorSpec((None, 5, 3), tf.uint8), tf.TensorSpec((), tf.int64)),
)


def made(train, **options):
    return data.Dataset.from_tf_data(
        train, pairs().take(7), Batches(X[:9], Y[:9]), **{"classes": np.int64(3), **options}
    )


@pytest.mark.parametrize(
    "train",
    [pairs(), pairs().batch(7), pairs(y=np.eye(3)[Y]), pairs(y=np.eye(3)[Y]).batch(7), Batches(X, Y[:, None])],
    ids=["examples", "batches", "one-hot examples", "one-hot", "PyDataset"],
)
def test_all_batches_are_read(train):
    found = made(train)
    np.testing.assert_array_equal(found.train.x, X)
    np.testing.assert_array_equal(found.train.y, Y)
    assert (found.train.x.dtype, found.train.y.dtype) == (np.uint8, np.int32)
    assert (len(found.validation.x), len(found.test.x)) == (7, 9)
    assert (found.labels, found.task, found.name) == (("0", "1", "2"), "classification", "tf.data")


def test_above_the_limit_examples_are_held_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    train = pairs().batch(7)
    found = made(train, max_memory=2 * X[:9].nbytes, classes=["a", "b", "c"], augment="flip")
    assert [type(part.x) for part in (found.train, found.validation)] == [np.memmap, np.ndarray]
    assert (found.labels, found.augment) == (("a", "b", "c"), ("flip",))
    assert found.fingerprint == made(train, classes=["a", "b", "c"]).fingerprint
    assert found.fingerprint == made(train, max_memory=0, classes=["a", "b", "c"]).fingerprint
    assert len(list((tmp_path / "bnzoo").glob("*.bin"))) == 3, "the same content is one file"


def test_a_regression():
    numbers = pairs(X[:, :, 0, 0].astype(np.float64), Y / 7)
    found = data.Dataset.from_tf_data(numbers, numbers, numbers.batch(4), name="heights")
    assert (found.task, found.input_shape, found.train.x.dtype) == ("regression", (4,), np.float32)
    np.testing.assert_array_equal(found.train.y, (Y / 7).astype(np.float32))
    constant = pairs(y=np.stack([Y / 7, np.ones(30)], 1))
    with pytest.raises(ValueError, match=r"tf\.data: the target '1' is 1 in every example; choose"):
        _ = data.Dataset.from_tf_data(constant, constant, constant).target_scale


@pytest.mark.parametrize(
    ("train", "options", "message"),
    [
        (pairs().repeat(), {}, r"`train` has no end: leave out `repeat\(\)`"),
        (Batches(X, Y, size=0), {}, "`train` has no end: its `num_batches` is None"),
        (pairs().take(0), {}, "`train` is empty"),
        ((X, Y), {}, r"`train` must be a tf.data.Dataset .* Received: tuple"),
        (pairs().map(lambda x, y: {"image": x, "label": y}), {}, r"batch 0 must be a pair \(x, y\). Received: dict"),
        (pairs().map(lambda x, y: (x, y, 1.0)), {}, r"must be a pair \(x, y\). Received: 3 values"),
        (pairs(y=Y / 7), {}, "y must have an integer class, .* dtype float64"),
        (pairs(y=Y + 1), {}, "classes must be from 0 to 2. Received: 1 to 3"),
        (pairs(y=Y[:, None].repeat(2, 1)).batch(7), {"classes": None}, r"For a classification, pass `classes`"),
        (pairs(y=np.tile([1, 0, 1], (30, 1))), {}, "a one-hot row has exactly one 1. .* 2. .*pass task='multilabel'"),
        (pairs(y=np.zeros((30, 3), int)), {"task": "multilabel"}, "`train` has no example with a label"),
        (pairs(x=X[:, 0, 0, 0]), {}, r"x must have numbers of the shape .*shape \(30,\)"),
        (pairs(X[:, :3]), {}, "`train`, `validation`, `test` must have inputs of the same shape"),
        (UNLIKE, {}, r"`train`, batch 1: its inputs have the shape \(3, 5, 3\) .* the first batch \(4, 5, 3\)"),
        (pairs(np.full((9, 2), np.nan), Y[:9]), {}, "train: 9 of 9 examples in x hold NaN"),
        (SIZES, {}, "`train`: Cannot batch tensors with different shapes .* resize them with `map`"),
        (pairs(), {"classes": 1}, "`classes` must be at least 2 classes"),
        (pairs(), {"classes": ["a", "b", "a"]}, r"`classes` must .* differ. Received: classes=\['a', 'b', 'a'\]"),
    ],
)
def test_other_forms_are_refused(train, options, message):
    with pytest.raises(ValueError, match=message):
        made(train, **options)
