import pickle
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn import datasets

from bnzoo import data
from bnzoo.data.rows import Rows
from bnzoo.data.splits import at_random, stratified


def test_a_variance_that_float32_cannot_hold(tmp_path):
    x = np.ones((30, 3), np.float32)
    x[::2, 1] = 1e30
    np.savez(tmp_path / "huge.npz", x=x, y=np.arange(30) % 3)
    with pytest.raises(ValueError, match=r"huge\.npz: the variance of feature 1, .*e\+59, is too large for float32"):
        data.load(tmp_path / "huge.npz").scale  # noqa: B018


def test_digits():
    digits = data.load("digits")
    assert (digits.input_shape, digits.classes, digits.labels[3]) == ((8, 8, 1), 10, "3")
    sizes = [len(split.x) for split in (digits.train, digits.validation, digits.test)]
    assert sum(sizes) == 1797
    assert digits.train.x.max() == 16, "values stay as they were read"
    mean, variance = digits.scale
    assert (mean, variance) == (
        pytest.approx([digits.train.x.mean()], rel=1e-5),
        pytest.approx([digits.train.x.var()], rel=1e-5),
    )


@pytest.mark.parametrize(("name", "shape", "classes"), [("wine", (13,), 3), ("breast_cancer", (30,), 2)])
def test_tables(name, shape, classes):
    table = data.load(name)
    assert (table.input_shape, table.classes) == (shape, classes)
    assert len(table.scale[0]) == shape[0]


@given(counts=st.lists(st.integers(3, 40), min_size=2, max_size=6), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_splits_are_stratified_disjoint_and_whole(counts, seed):
    y = np.repeat(np.arange(len(counts)), counts)
    names, shares = [str(i) for i in range(len(counts))], {"validation": 0.15, "test": 0.2}
    parts = stratified(y, names, "data", shares, seed)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(y)))
    for label, count in enumerate(counts):
        assert all((y[rows] == label).any() for rows in parts.values())
        assert abs((y[parts["test"]] == label).sum() - 0.2 * count) <= 1
    again = stratified(y, names, "data", shares, seed)
    assert all((again[part] == rows).all() for part, rows in parts.items())


@pytest.mark.parametrize("classes", [("a", "b"), ()], ids=["classification", "regression"])
def test_at_most_5000_examples_choose_the_model_unless_their_share_is_given(classes, tmp_path):
    x = np.zeros((50_000, 1), "float32")
    y = np.arange(len(x)) % 2 if classes else np.linspace(0, 1, len(x), dtype="float32")
    np.savez(tmp_path / "large.npz", x=x, y=y)
    usual, given = data.load(tmp_path / "large.npz"), data.load(tmp_path / "large.npz", validation=0.15)
    assert [len(part.x) for part in (usual.train, usual.validation, usual.test)] == [35_000, 5_000, 10_000]
    assert [len(part.x) for part in (given.train, given.validation, given.test)] == [32_500, 7_500, 10_000]
    assert set(usual.test.y.tolist()) == set(given.test.y.tolist())


@given(count=st.integers(10, 200), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_splits_of_a_regression_are_random_disjoint_and_whole(count, seed):
    y, shares = np.linspace(-1, 1, count), {"validation": 0.15, "test": 0.2}
    parts = at_random(y, "data", shares, seed)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(count))
    assert abs(len(parts["test"]) - 0.2 * count) <= 1
    again, other = at_random(y, "data", shares, seed), at_random(y, "data", shares, seed + 1)
    assert all((again[part] == rows).all() for part, rows in parts.items())
    assert any((other[part] != rows).any() for part, rows in parts.items())


def test_another_seed_gives_another_split():
    assert data.load("digits", seed=1).fingerprint != data.load("digits").fingerprint


def test_diabetes_is_a_regression():
    diabetes = data.load("diabetes")
    assert (diabetes.task, diabetes.labels, diabetes.classes, diabetes.input_shape) == ("regression", (), 0, (10,))
    parts = (diabetes.train, diabetes.validation, diabetes.test)
    assert [len(part.y) for part in parts] == [288, 66, 88]
    x, y = datasets.load_diabetes(return_X_y=True, scaled=False)
    found = np.concatenate([np.column_stack(part) for part in parts])
    assert sorted(map(tuple, found)) == sorted(map(tuple, np.column_stack([x, y]).astype(np.float32)))
    assert diabetes.target_scale == (pytest.approx(diabetes.train.y.mean()), pytest.approx(diabetes.train.y.var()))
    assert diabetes.train.y.dtype == np.float32
    assert data.load("digits").target_scale is None
    assert data.load("digits").task == "classification"


def test_the_scale_of_many_examples_far_from_zero(tmp_path):
    x = np.random.default_rng(0).normal(1e4, [1.0, 2.0], (20_000, 2)).astype(np.float32)
    np.savez(tmp_path / "far.npz", x=x, y=np.arange(20_000) % 2)
    far = data.load(tmp_path / "far.npz")
    exact = far.train.x.astype(np.float64)
    assert far.scale == (pytest.approx(exact.mean(0), rel=1e-12), pytest.approx(exact.var(0), rel=1e-12))


def save_images(folder, classes=("cat", "dog"), count=5, size=(6, 5), mode="L"):
    random = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            shape = size if mode == "L" else (*size, 3)
            Image.fromarray(random.integers(0, 255, shape, dtype=np.uint8)).save(folder / name / f"{i}.png")
    return folder


def test_image_folders(tmp_path):
    grey = data.load(save_images(tmp_path / "grey"))
    assert (grey.input_shape, grey.labels) == ((6, 5, 1), ("cat", "dog"))
    colour = data.load(save_images(tmp_path / "colour", mode="RGB"))
    assert colour.input_shape == (6, 5, 3)
    pixels = {tuple(image.ravel()) for part in (colour.train, colour.validation, colour.test) for image in part.x}
    assert tuple(np.asarray(Image.open(tmp_path / "colour/dog/3.png"), np.float32).ravel()) in pixels

    save_images(tmp_path / "grey", classes=("cat",), count=1, size=(9, 9))
    with pytest.raises(ValueError, match=r"0\.png has 9x9 pixels, most images have 6x5; choose a size"):
        data.load(tmp_path / "grey")
    assert data.load(tmp_path / "grey", image_size=(4, 3)).input_shape == (4, 3, 1)


def test_npz(tmp_path):
    path = tmp_path / "scans.npz"
    x = np.random.default_rng(0).normal(size=(30, 4, 4))
    np.savez(path, x=x, y=np.repeat([7, -2, 40], 10)[:, None])
    scans = data.load(path)
    assert (scans.input_shape, scans.labels) == ((4, 4, 1), ("-2", "7", "40"))


@pytest.mark.parametrize(("source", "held"), [("uint8", "uint8"), ("uint16", "uint16"), ("int64", "float32")])
def test_inputs_keep_their_type_and_the_fingerprint_depends_on_values_only(tmp_path, source, held):
    x = np.random.default_rng(0).integers(0, 256, (30, 5, 4, 3)).astype(source)
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(30) % 3)
    found = data.load(tmp_path / "x.npz")
    assert found.train.x.dtype == held
    exact = found.train.x.astype(np.float64)
    assert found.scale == (
        pytest.approx(exact.mean((0, 1, 2)), rel=1e-12),
        pytest.approx(exact.var((0, 1, 2)), rel=1e-12),
    )
    np.savez(tmp_path / "x.npz", x=x.astype(np.float32), y=np.arange(30) % 3)
    assert data.load(tmp_path / "x.npz").fingerprint == found.fingerprint


def test_a_pair_of_npy_files_is_like_an_npz(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    x = np.random.default_rng(0).integers(0, 60000, (600, 4, 4), np.uint16)
    y = np.repeat([7, -2, 40], 200)
    np.savez(tmp_path / "pair.npz", x=x, y=y)
    expected = data.load(tmp_path / "pair.npz")
    folder = tmp_path / "pair"
    folder.mkdir()
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    found = data.load(folder)
    assert (found.labels, found.fingerprint) == (expected.labels, expected.fingerprint)
    large = data.load(folder, max_memory=x.nbytes - 1)
    assert large.fingerprint == expected.fingerprint
    assert (large.scale, large.levels) == (expected.scale, expected.levels)
    copy = pickle.loads(pickle.dumps(large)).validation.x
    assert isinstance(copy, Rows), "nothing is copied"
    assert not (tmp_path / "keras").exists()
    np.testing.assert_array_equal(copy, expected.validation.x)
    for part in (3, -1, slice(2, 9), [4, 7], np.arange(len(copy)) > 60):
        np.testing.assert_array_equal(copy[part], expected.validation.x[part])
    with pytest.raises(ValueError, match="`image_size` is for a folder of images"):
        data.load(folder, image_size=8)
    np.save(folder / "y.npy", y[1:])
    with pytest.raises(ValueError, match=r"pair: x and y must have the same length\. Received: 600 and 599"):
        data.load(folder)
    (folder / "x.npy").write_bytes((folder / "x.npy").read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"pair/x\.npy cannot be read as an \.npy file: "):
        data.load(folder)
    np.save(folder / "x.npy", np.array([None] * 600))
    with pytest.raises(ValueError, match=r"pair/x\.npy cannot be read as an \.npy file: .*objects"):
        data.load(folder)


def test_an_npz_with_a_float_y_is_a_regression(tmp_path):
    y = np.linspace(-3, 5, 40)
    np.savez(tmp_path / "heights.npz", x=np.ones((40, 3)) * y[:, None], y=y[:, None])
    heights = data.load(tmp_path / "heights.npz")
    assert (heights.task, heights.classes) == ("regression", 0)
    assert (heights.test.x[:, 0] == heights.test.y).all()
    scaled = data.Dataset(
        "heights", (), *(data.Split(part.x, part.y * 2) for part in (heights.train, heights.validation, heights.test))
    )
    assert scaled.fingerprint != heights.fingerprint
    assert scaled.target_scale == (2 * heights.target_scale[0], 4 * heights.target_scale[1])


@pytest.mark.parametrize("names", [np.array(["cat", "dog\n"]), np.array([False, True])])
def test_an_npz_with_names_of_classes(tmp_path, names):
    np.savez(tmp_path / "pets.npz", x=np.arange(40)[:, None] % 2, y=names[np.arange(40) % 2])
    pets = data.load(tmp_path / "pets.npz")
    assert pets.labels == (("cat", "dog\\n") if names.dtype.kind == "U" else ("False", "True"))
    np.testing.assert_array_equal(pets.test.x[:, 0], pets.test.y)


def good(n=30):
    return {"x": np.ones((n, 3)), "y": np.arange(n) % 3}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.ones((3, 2))}, "no array named y; it has x"),
        ({"a": np.ones(3)}, r"no array named x or y; it has a\. Save it with np\.savez\(path, x=\.\.\., y=\.\.\.\)$"),
        (dict.fromkeys(("x_train", "y_train", "x_test", "y_test"), np.ones(3)), r"x is np\.concatenate.*from_tf_data"),
        ({**good(), "y": np.arange(29) % 3}, "same length. Received: 30 and 29"),
        ({**good(), "x": np.full((30, 3), np.nan)}, "30 of 30 examples in x hold NaN"),
        ({**good(), "x": np.where(np.arange(90).reshape(30, 3) == 22, np.inf, 1)}, "1 of 30 .* the first at index 7"),
        ({**good(), "x": np.full((30, 3), 1e39)}, "infinite values .in float32."),
        ({**good(), "y": np.full(30, 0.5)}, "the target is 0.5 in every example"),
        ({**good(), "y": 1e9 + np.arange(30) / 100}, r"the target is 1e\+09 in every example"),
        ({**good(), "y": np.where(np.arange(30) == 7, np.nan, 1)}, "1 of 30 examples in y hold NaN .* at index 7"),
        ({"x": np.ones((5, 3)), "y": np.arange(5.0)}, "the part train gets 1 of the 5 examples"),
        ({**good(), "y": np.eye(30)[0]}, "the part .* examples, and needs at least two with different targets"),
        ({**good(), "y": np.array([b"a"] * 30)}, "one label .* or one float target"),
        ({**good(), "y": (np.arange(30) % 2).astype("timedelta64[s]")}, r"y must have .* timedelta64\[s\]"),
        ({**good(), "x": np.ones((30, 3), "timedelta64[s]")}, r"real numbers.*timedelta64\[s\]"),
        ({**good(), "y": np.full((30, 2), 2)}, r"shape \(30, 2\)"),
        ({**good(), "x": np.array([None] * 30)}, "must hold numbers or strings"),
        ({**good(), "x": np.array(["a"] * 30)}, "x must have real numbers"),
        ({**good(), "x": np.ones(30)}, "x must have the shape"),
        ({**good(), "x": np.float32(1)}, "x must have the shape"),
        ({**good(), "y": np.zeros(30, int)}, "only one class"),
        ({**good(), "y": np.r_[np.zeros(28, int), 1, 1]}, "class '1' has only 2 examples; .* 3 or more"),
    ],
)
def test_bad_npz(tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        data.load(tmp_path / "bad.npz")


def test_other_bad_sources(tmp_path):
    def fails(kind, message, source, **options):
        with pytest.raises(kind, match=message):
            data.load(source, **options)

    fails(FileNotFoundError, "Unknown data set: 'digit'. Did you mean 'digits'", "digit")
    fails(ValueError, "no subfolders", tmp_path)
    (tmp_path / "cat").mkdir()
    fails(ValueError, "cat: the folder of this class has no PNG, JPEG, .* file$", tmp_path)
    (tmp_path / "cat/tom").mkdir()
    fails(ValueError, "cat: the folder of this class has no .* if these are the classes, pass it alone", tmp_path)
    (tmp_path / "cat/tom").rmdir()
    for name in ("parts/train/cat", "parts/val/cat"):
        (tmp_path / name).mkdir(parents=True)
    fails(ValueError, "train: .* pass it alone; to keep train and val as splits, .*from_tf_data$", tmp_path / "parts")
    shutil.rmtree(tmp_path / "parts")
    save_images(tmp_path, count=2)
    fails(ValueError, "class 'cat' has only 2 examples", tmp_path)
    save_images(tmp_path)
    whole = (tmp_path / "dog/2.png").read_bytes()
    (tmp_path / "dog/2.png").write_bytes(whole[: len(whole) // 2])
    fails(ValueError, r"dog/2\.png cannot be read as an image: it is a damaged JPEG, PNG", tmp_path)
    (tmp_path / "x.npz").write_bytes(b"PK no zip")
    fails(ValueError, r"x\.npz cannot be read as an \.npz file", tmp_path / "x.npz")
    (tmp_path / "x.csv").write_text("a,b\n")
    fails(ValueError, "the column to predict, is missing", tmp_path / "x.csv")
    (tmp_path / "x.txt").write_text("1")
    fails(ValueError, "supported are .npz files", tmp_path / "x.txt")
    fails(ValueError, "`target` is for a .csv or .parquet table", "digits", target="price")
    fails(ValueError, "`task` is for a .csv or .parquet table", tmp_path, task="regression")
    fails(ValueError, "`image_size` is for a folder", tmp_path / "x.csv", image_size=(8, 8), target="a")
    with pytest.raises(ValueError, match="digits is not a CSV or Parquet table"):
        data.load("digits").encode([])
    fails(ValueError, "`image_size` is for a folder", "digits", image_size=(8, 8))
    fails(ValueError, "shares above 0", "digits", validation=0.5, test=0.5)
    fails(ValueError, "`validation` and `test` must be shares .* validation='a'", "digits", validation="a")
    fails(ValueError, "`seed` must be an integer of at least 0. Received: seed=-1", "digits", seed=-1)
    for wrong in ("1GB", -1, float("nan")):
        fails(ValueError, "`max_memory` must be a number of bytes.* Received: max_memory=", "digits", max_memory=wrong)


def test_a_constant_feature_can_be_scaled(tmp_path):
    np.savez(tmp_path / "flat.npz", **good())
    assert data.load(tmp_path / "flat.npz").scale == ([1, 1, 1], [1, 1, 1])
