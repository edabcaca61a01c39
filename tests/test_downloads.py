import gzip
import urllib.error

import keras
import numpy as np
import pytest

from bnzoo import data

RANDOM = np.random.default_rng(0)


def labelled(count, classes, shape):
    return RANDOM.integers(0, 256, (count, *shape), np.uint8), RANDOM.permutation(np.arange(count) % classes)


def plant_fashion_mnist(folder, train, test):
    """Write the files that Keras would download."""
    (folder / "datasets/fashion-mnist").mkdir(parents=True)
    for part, (x, y) in (("train", train), ("t10k", test)):
        for kind, header, array in (("images-idx3", 16, x), ("labels-idx1", 8, y)):
            with gzip.open(folder / f"datasets/fashion-mnist/{part}-{kind}-ubyte.gz", "wb") as file:
                file.write(bytes(header) + array.astype(np.uint8).tobytes())


@pytest.fixture
def keras_home(monkeypatch, tmp_path):
    # Keras reads $KERAS_HOME when it is imported, which is long before the test
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path), raising=True)
    return tmp_path


def rows(split):
    return {(*example.ravel(), label) for example, label in zip(split.x, split.y, strict=True)}


def test_keras_own_files_are_read(keras_home):
    train, test = labelled(200, 10, (28, 28)), labelled(40, 10, (28, 28))
    plant_fashion_mnist(keras_home, train, test)
    fashion = data.load("fashion_mnist")
    assert (fashion.input_shape, fashion.classes, fashion.labels[9]) == ((28, 28, 1), 10, "Ankle boot")
    assert (fashion.test.x[..., 0] == test[0]).all(), "the test data is theirs, in their order"
    assert (fashion.test.y == test[1]).all()
    assert len(fashion.validation.y) == 30, "15 % of the training data"
    assert rows(fashion.train) | rows(fashion.validation) == rows(data.Split(*train))
    assert not rows(fashion.train) & rows(fashion.validation)
    assert (np.bincount(fashion.validation.y) == 3).all()
    assert fashion.train.x.dtype == np.uint8, "as it was read"
    assert data.load("fashion_mnist", seed=1).fingerprint != fashion.fingerprint

    (keras_home / "datasets/fashion-mnist/t10k-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b truncated")
    with pytest.raises(OSError, match=r"fashion_mnist could not be downloaded or read: .*; if a file there is broken"):
        data.load("fashion_mnist")


@pytest.mark.parametrize(
    ("name", "shape", "input_shape", "label"),
    [
        ("cifar10", (32, 32, 3), (32, 32, 3), "horse"),
        ("cifar100", (32, 32, 3), (32, 32, 3), "beetle"),
        ("mnist", (28, 28), (28, 28, 1), "7"),
    ],
)
def test_the_others(monkeypatch, name, shape, input_shape, label):
    classes = 100 if name == "cifar100" else 10
    (x, y), test = labelled(4 * classes, classes, shape), labelled(classes, classes, shape)
    y = y[:, None] if len(shape) == 3 else y  # as Keras has them
    monkeypatch.setattr(f"keras.datasets.{name}.load_data", lambda: ((x, y), test))
    images = data.load(name, validation=0.3)
    assert (images.input_shape, images.classes, images.labels[7]) == (input_shape, classes, label)
    assert len(set(images.labels)) == classes
    assert (len(images.train.y), len(images.validation.y), len(images.test.y)) == (3 * classes, classes, classes)
    assert images.train.x.max() == 255, "values stay as they were read"


def test_the_hundred_classes_are_in_the_order_of_the_alphabet(monkeypatch):
    fine = labelled(300, 100, (32, 32, 3))
    monkeypatch.setattr("keras.datasets.cifar100.load_data", lambda: (fine, fine))
    assert list(data.load("cifar100").labels) == sorted(data.load("cifar100").labels)


def test_a_failed_download_is_one_error(monkeypatch, keras_home):
    def offline(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", offline)
    for name in data.list_downloads():
        with pytest.raises(OSError, match=rf"^{name} could not .*no route to host.*\. Keras .* ~/.keras/datasets"):
            data.load(name)


def test_a_download_has_test_data_of_its_own():
    with pytest.raises(ValueError, match=r"mnist has its own test data: omit `test`. Received: test=0\.2"):
        data.load("mnist", test=0.2)
    with pytest.raises(FileNotFoundError, match=r"Unknown data set: 'cifar'\. Did you mean 'cifar10'"):
        data.load("cifar")
    assert not set(data.list_downloads()) & set(data.list_datasets())
    assert all(hasattr(keras.datasets, name) for name in data.list_downloads())


def test_the_shares_of_a_download(monkeypatch):
    digits = labelled(30, 10, (28, 28))
    monkeypatch.setattr("keras.datasets.mnist.load_data", lambda: (digits, digits))
    with pytest.raises(ValueError, match=r"`validation` must be shares above 0 .* Received: validation=1\.5"):
        data.load("mnist", validation=1.5)
