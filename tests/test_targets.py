"""Data with several labels an example, or with several targets."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import test_cli

from bnzoo import data
from bnzoo.data.splits import divide

bnzoo = test_cli.bnzoo
RANDOM = np.random.default_rng(0)
ROWS = 200
X = RANDOM.normal(size=(ROWS, 3)).astype("float32")
LABELS = (RANDOM.random((ROWS, 3)) < (0.5, 0.3, 0.1)).astype(int)
NUMBERS = X[:, :2] * (3, 1e-3) + (1e4, 0)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1]})
    frame[["old", "big, red", "rare"]] = LABELS
    frame[["mass", "size"]] = NUMBERS
    frame["word"] = RANDOM.choice(["yes", "no"], ROWS)
    frame["wet"] = frame["old"].astype(bool)
    frame.loc[3, "old"] = frame.loc[5, "mass"] = None
    path = tmp_path_factory.mktemp("targets") / "table.csv"
    frame.to_csv(path, index=False)
    return path, frame


def rows_of(frame, found, columns):
    """Return the values of columns in the order of the training examples, which their feature `a` identifies."""
    places = [int((frame["a"].astype("float32") == value).to_numpy().argmax()) for value in found.train.x[:, 0]]
    return frame[columns].iloc[places]


def test_columns_of_0_and_1_are_labels(table):
    path, frame = table
    labels = ["old", "big, red", "wet"]
    with pytest.warns(UserWarning, match="1 of 200 rows are left out, as they have no value in the target 'old'"):
        found = data.load(path, target=labels, drop=["rare", "mass", "size", "word"])
    assert (found.task, found.labels, found.classes, found.outputs) == ("multilabel", tuple(labels), 3, 3)
    assert (found.targets, found.target_scale, found.train.y.dtype) == ((), None, np.int32)
    np.testing.assert_array_equal(found.train.y, rows_of(frame, found, labels).astype(int))


def test_other_columns_of_numbers_are_targets(table):
    path, frame = table
    with pytest.warns(UserWarning, match="in the target 'mass'"):
        found = data.load(path, target=["mass", "size"], drop=["old"])
    assert (found.task, found.labels, found.targets) == ("regression", (), ("mass", "size"))
    values = rows_of(frame, found, ["mass", "size"]).to_numpy()
    np.testing.assert_array_equal(found.train.y, values.astype("float32"))
    mean, variance = found.target_scale
    np.testing.assert_allclose((mean, variance), (values.mean(0), values.var(0)), rtol=1e-4)


def test_the_task_turns_labels_into_numbers(table):
    found = data.load(table[0], target=["big, red", "rare"], task="regression", drop=["old", "mass"])
    assert (found.task, found.targets, found.train.y.dtype) == ("regression", ("big, red", "rare"), np.float32)


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        (["rare", "word"], {"task": "multilabel"}, "'word' has other values, such as '(yes|no)'. Write 1 for"),
        (["word", "b"], {}, "the target 'word' is text"),
        (["word", "old"], {"task": "classification"}, "needs one column in `target`. Received: 'word', 'old'"),
        ("rare", {"task": "multilabel"}, "at least two columns of 0 and 1 in `target`. Received: 'rare'"),
        ("rare,old", {}, "For several columns, pass a list, or repeat `--target`"),
        (["rare", "rar"], {}, "column in `target`.*'rar'"),
        (["rare", "old"], {"drop": ["old"]}, "the target 'old' is also in `drop`"),
        (["a", "b", "old", "big, red", "rare", "mass", "size", "word", "wet"], {}, "all columns are in `target`"),
    ],
)
def test_targets_that_do_not_fit(table, target, options, message):
    with pytest.raises(ValueError, match=message):
        data.load(table[0], target=target, **options)


def test_the_command_line_repeats_the_target(table, bnzoo):
    targets = ("--target", "word", "--target", "big, red")
    status, _, error = bnzoo("tune", "mlp", "--data", table[0], *targets, "--task", "multilabel")
    assert (status, error.count("\n")) == (2, 1)
    assert "'word' has other values" in error


@pytest.mark.parametrize(
    ("y", "task", "names"),
    [(LABELS.astype(bool), "multilabel", ("0", "1", "2")), (NUMBERS, "regression", ("0", "1"))],
)
def test_arrays(tmp_path, y, task, names):
    np.savez(tmp_path / "file.npz", x=X, y=y)
    (tmp_path / "pair").mkdir()
    np.save(tmp_path / "pair" / "x.npy", X)
    np.save(tmp_path / "pair" / "y.npy", y)
    for path in (tmp_path / "file.npz", tmp_path / "pair"):
        found = data.load(path)
        assert (found.task, found.names_of_outputs) == (task, names)
        assert found.train.y.shape == (len(found.train.x), len(names))


def test_one_hot_arrays_are_read_with_a_warning(tmp_path):
    np.savez(tmp_path / "hot.npz", x=X, y=np.eye(4, dtype=int)[np.arange(ROWS) % 4])
    with pytest.warns(UserWarning, match=r"save y.argmax\(1\) instead") as caught:
        assert data.load(tmp_path / "hot.npz").task == "multilabel"
    assert caught[0].filename == __file__


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_hot_floats_are_refused(tmp_path, dtype):
    hot = np.eye(4, dtype=dtype)[np.arange(ROWS) % 4]
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", hot)
    np.savez(tmp_path / "hot.npz", x=X, y=hot)
    for path in (tmp_path, tmp_path / "hot.npz"):
        with pytest.raises(ValueError, match=r"y is one-hot.* save y\.argmax\(-1\)"):
            data.load(path)
    for targets in (hot[:, :3], 0.5 * hot, np.roll(hot, 1, 0) + hot):
        np.save(tmp_path / "y.npy", targets)
        assert data.load(tmp_path).task == "regression"


def parts(y):
    whole = tf.data.Dataset.from_tensor_slices((X, y))
    return whole.batch(64), whole.take(20).batch(8), whole.take(30).batch(30)


def test_tf_data():
    found = data.Dataset.from_tf_data(*parts(LABELS), classes=["a", "b", "c"], task="multilabel")
    assert (found.task, found.labels) == ("multilabel", ("a", "b", "c"))
    np.testing.assert_array_equal(found.train.y, LABELS)
    one_hot = np.eye(3)[LABELS.argmax(1)]
    assert data.Dataset.from_tf_data(*parts(one_hot), classes=3).task == "classification"
    numbers = data.Dataset.from_tf_data(*parts(NUMBERS))
    assert (numbers.task, numbers.targets, numbers.outputs) == ("regression", ("0", "1"), 2)


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (LABELS * 2, {"classes": 3, "task": "multilabel"}, "a row of 3 numbers, each 0 or 1"),
        (LABELS, {"classes": 4, "task": "multilabel"}, r"a row of 4 numbers.*shape \(64, 3\)"),
        (LABELS, {"task": "multilabel"}, "the names of the labels in `classes`"),
        (LABELS, {"classes": 3, "task": "labels"}, "`task` must be 'multilabel'"),
        (np.eye(3)[LABELS.argmax(1)], {}, "For a classification, pass `classes`"),
    ],
)
def test_tf_data_of_another_form(y, options, message):
    with pytest.raises(ValueError, match=message):
        data.Dataset.from_tf_data(*parts(y), **options)


def test_common_combinations_of_labels_are_split_in_proportion():
    found = divide(LABELS, "abc", "data", {"validation": 0.15, "test": 0.2}, 0)
    assert sorted(np.concatenate([*found.values()])) == list(range(ROWS))
    for combination in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)):
        members = (combination == LABELS).all(1)
        assert members[found["validation"]].sum() == round(0.15 * members.sum())
        assert members[found["test"]].sum() == round(0.2 * members.sum())


def test_a_label_without_both_values_is_refused():
    constant = np.where(np.arange(3) == 1, 1, LABELS)
    with pytest.raises(ValueError, match="the label 'b' is 1 in 200 of 200 examples"):
        divide(constant, "abc", "data", {"test": 0.2}, 0)
    with pytest.raises(ValueError, match="target 1 is 2 in every example"):
        divide(np.stack([X[:, 0], np.full(ROWS, 2.0)], 1), (), "data", {"test": 0.2}, 0)


def test_mixing_images_mixes_rows_of_labels():
    images = RANDOM.integers(0, 256, (8, 4, 4, 1), dtype="uint8")
    split = data.Split(images, LABELS[:8].astype("int32"))
    found = data.Dataset("images", ("a", "b", "c"), split, split, split, augment="mixup")
    _, y = found.augmentation(0)(tf.cast(images, "float32"), tf.constant(split.y))
    assert not found.mixes_labels
    assert y.shape == (8, 3)
    assert ((y.numpy() >= 0) & (y.numpy() <= 1)).all()
