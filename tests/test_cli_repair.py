import os
from pathlib import Path

import keras
import numpy as np
import pytest
import test_cli

from bnzoo import MLP, ResNetCifar, data, load_model, tools

bnzoo = test_cli.bnzoo


@pytest.fixture
def model(tmp_path, random_statistics):
    """A network for the digits, which is also in IN.keras."""
    model = random_statistics(ResNetCifar(8, filters=4, input_shape=(8, 8, 1), classes=10))
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.save(tmp_path / "IN.keras")
    return model


def statistics(model):
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return [value for norm in norms for value in norm.get_weights()[-2:]]


def test_fold(bnzoo, model, digits):
    status, out, err = bnzoo("fold", "IN.keras", "OUT.keras")
    assert (status, out, err) == (0, "7 of 7 batch norms folded\nOUT.keras\n", "")
    folded = load_model("OUT.keras")
    assert not statistics(folded)
    x = digits.test.x[:50]
    np.testing.assert_allclose(folded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)


@pytest.mark.slow
def test_recalibrate(bnzoo, model, digits):
    before = Path("IN.keras").read_bytes()
    status, out, err = bnzoo("recalibrate", "IN.keras", "OUT.keras", "--data", "digits", "--batch-size", "128")
    assert (status, err) == (0, "")
    accuracy = [accuracy_of(model, digits.validation)]
    tools.recalibrate_batch_norm(model, digits.train.x, batch_size=128)
    accuracy.append(accuracy_of(model, digits.validation))
    assert accuracy[0] != accuracy[1]
    assert out.splitlines() == [
        "7 batch norms recalibrated on 1169 examples",
        f"Validation accuracy {accuracy[0]:.2%} before, {accuracy[1]:.2%} after, on 269 examples",
        "OUT.keras",
    ]
    for value, expected in zip(statistics(load_model("OUT.keras")), statistics(model), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    assert Path("IN.keras").read_bytes() == before


def accuracy_of(model, split):
    return (model.predict(split.x, verbose=0).argmax(-1) == split.y).mean()


def test_recalibrate_on_a_part_of_a_file_with_other_classes(bnzoo, model, tmp_path, monkeypatch):
    usual, asked = tools.Recalibration.__call__, []

    def recorded(self, x, batches, batch_size):
        asked.append((len(x), batches, batch_size))
        usual(self, x, batches, batch_size)

    monkeypatch.setattr(tools.Recalibration, "__call__", recorded)
    x = np.random.default_rng(0).normal(size=(300, 8, 8, 1))
    np.savez(tmp_path / "two.npz", x=x, y=np.arange(300) % 2)
    options = ["--data", "two.npz", "--batches", "2", "--batch-size", "40"]
    status, out, _ = bnzoo("recalibrate", "IN.keras", "OUT.keras", *options)
    assert (status, out) == (0, "7 batch norms recalibrated on 80 examples\nOUT.keras\n")
    assert asked == [(len(data.load("two.npz").train.x), 2, 40)]


IN_OUT = ["IN.keras", "OUT.keras"]
DIGITS = ["--data", "digits"]


@pytest.mark.parametrize("command", ["fold", "recalibrate"])
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("IN.keras", "OUT.keras must be another file than IN.keras"),
        ("folder/../IN.keras", "OUT.keras must be another file than IN.keras"),
        ("link.keras", "OUT.keras must be another file than IN.keras"),
        ("there.keras", "there.keras exists and is not overwritten. Choose another name, or remove the file"),
        ("dangling.keras", "dangling.keras exists and is not overwritten"),
        ("folder", "OUT.keras must be a file name that ends in .keras. Received: folder"),
        ("out.h5", "OUT.keras must be a file name that ends in .keras. Received: out.h5"),
        ("nowhere/out.keras", "The folder nowhere does not exist. Make it first, or choose another one"),
        ("there.keras/out.keras", "The folder there.keras does not exist"),
    ],
)
def test_what_must_not_be_written(bnzoo, model, tmp_path, monkeypatch, command, target, message):
    """The command fails before it loads anything."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "there.keras").touch()
    (tmp_path / "link.keras").symlink_to("IN.keras")
    (tmp_path / "dangling.keras").symlink_to("nothing.keras")
    monkeypatch.setattr(tools, "load_model", None)
    data = DIGITS if command == "recalibrate" else []
    assert_a_mistake(bnzoo, tmp_path, [command, "IN.keras", target, *data], message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fold", "none.keras", "OUT.keras"], "There is no file none.keras"),
        (["fold", "part.keras", "OUT.keras"], "part.keras is truncated, its end is missing"),
        (["fold", "data.npz", "OUT.keras"], "data.npz is a zip file, but no Keras model: it has no config.json"),
        (["fold", ".", "OUT.keras"], ". is a folder; a model is loaded from a .keras file"),
        (["fold", "IN.keras"], "Missing argument"),
        (["recalibrate", *IN_OUT], "Missing option '--data'"),
        (["recalibrate", *IN_OUT, "--data", "digts"], "Unknown data set: 'digts'. Did you mean 'digits'?"),
        (["recalibrate", *IN_OUT, *DIGITS, "--batches", "0"], "--batches"),
        (["recalibrate", *IN_OUT, *DIGITS, "--batch-size", "1000001"], "--batch-size"),
        (["recalibrate", *IN_OUT, *DIGITS, "--image-size", "9"], "`image_size` is for a folder of images"),
        (
            ["recalibrate", "mlp.keras", "OUT.keras", "--data", "wine"],
            "mlp.keras has no batch norm, so there are no statistics to replace",
        ),
        (
            ["recalibrate", *IN_OUT, "--data", "data.npz"],
            "The examples of data.npz have the shape (6,), but the model takes inputs of the shape (8, 8, 1)",
        ),
        (
            ["recalibrate", *IN_OUT, "--data", "huge.npz"],
            "batch 0 of `data`, counted from 0, has a mean or a variance at the norm 'conv1_norm' that is not finite",
        ),
        (
            ["recalibrate", *IN_OUT, "--data", "wine"],
            "The examples of wine have the shape (13,), but the model takes inputs of the shape (8, 8, 1)",
        ),
        (["recalibrate", *IN_OUT, "--data", "scans"], "the shape (8, 8, 1). Resize the images with --image-size"),
    ],
)
def test_mistakes(bnzoo, model, tmp_path, arguments, message):
    MLP(depth=1, width=4, norm="layer", input_shape=(13,), classes=3).save(tmp_path / "mlp.keras")
    (tmp_path / "part.keras").write_bytes((tmp_path / "IN.keras").read_bytes()[:9999])
    np.savez(tmp_path / "data.npz", x=np.ones((9, 6)), y=np.arange(9) % 2)
    np.savez(tmp_path / "huge.npz", x=np.full((30, 8, 8, 1), 3e38), y=np.arange(30) % 10)
    for label in ("a", "b"):
        (tmp_path / "scans" / label).mkdir(parents=True)
        for i in range(3):
            keras.utils.save_img(tmp_path / "scans" / label / f"{i}.png", np.zeros((5, 5, 1)), scale=False)
    assert_a_mistake(bnzoo, tmp_path, arguments, message)


def assert_a_mistake(bnzoo, folder, arguments, message):
    before = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    status, out, err = bnzoo(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("bnzoo: ")
    assert err.count("\n") == 1
    assert {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")} == before, "nothing was written"


def test_a_file_that_appeared_meanwhile_is_kept(bnzoo, model, tmp_path, monkeypatch):
    def slowly(model):
        (tmp_path / "OUT.keras").write_text("of somebody else")
        return model, "folded"

    monkeypatch.setattr(tools, "fold_batch_norm", slowly)
    status, _, err = bnzoo("fold", *IN_OUT)
    assert (status, err.count("exists and is not overwritten")) == (2, 1)
    assert (tmp_path / "OUT.keras").read_text() == "of somebody else"


@pytest.mark.parametrize("command", ["fold", "recalibrate"])
def test_a_full_disk_leaves_nothing(bnzoo, model, tmp_path, monkeypatch, command):
    def half(self, path):
        Path(path).write_bytes(b"PK")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Model, "save", half)
    status, out, err = bnzoo(command, *IN_OUT, *(DIGITS if command == "recalibrate" else []))
    assert (status, out, err) == (2, "", "bnzoo: No space left on device: OUT.keras\n")
    assert os.listdir(tmp_path) == ["IN.keras"]


def test_stopped_by_the_user(bnzoo, model, tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(tools.Recalibration, "__call__", interrupted)
    status, out, err = bnzoo("recalibrate", *IN_OUT, *DIGITS)
    assert (status, out, err) == (130, "", "bnzoo: stopped\n")
    assert os.listdir(tmp_path) == ["IN.keras"]


@pytest.mark.parametrize("command", ["fold", "recalibrate", "health"])
def test_help_has_an_example(bnzoo, command):
    status, out, _ = bnzoo(command, "--help")
    assert status == 0
    assert f"Example: bnzoo {command} best.keras" in " ".join(out.split())


class Found:
    """A stand-in for the result of `tools.health`, with the attributes that the command reads."""

    def __init__(self, *findings):
        self.findings = findings

    def __str__(self):
        return f"{len(self.findings)} findings"

    def report(self, path):
        Path(path).write_text("<html>")


@pytest.mark.parametrize("findings", [(), ("stale",)])
def test_the_status_says_whether_a_model_is_healthy(bnzoo, model, digits, monkeypatch, findings):
    def health(loaded, data, batches, batch_size, steps):
        assert (loaded.name, batches, batch_size, steps) == (model.name, 3, 32, 0)
        np.testing.assert_array_equal(data[0], digits.train.x)
        np.testing.assert_array_equal(data[1], digits.train.y)
        return Found(*findings)

    monkeypatch.setattr(tools, "health", health)
    options = [*DIGITS, "--batches", "3", "--batch-size", "32", "--steps", "0", "--report", "health.html"]
    status, out, err = bnzoo("health", "IN.keras", *options)
    assert (status, out, err) == (len(findings), f"{len(findings)} findings\nhealth.html\n", "")
    assert Path("health.html").read_text() == "<html>"


@pytest.mark.slow
def test_a_model_with_foreign_statistics_is_not_healthy(bnzoo, model):
    status, out, err = bnzoo("health", "IN.keras", *DIGITS)
    assert (status, err) == (1, "")
    assert "moving" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.keras", *DIGITS], "There is no file none.keras"),
        (
            ["IN.keras", "--data", "wine"],
            "The examples of wine have the shape (13,), but the model takes inputs of the shape (8, 8, 1)",
        ),
        (
            ["IN.keras", "--data", "many.npz"],
            "the label 10, but the model has outputs for the classes 0 to 9",
        ),
        (["IN.keras", *DIGITS, "--report", "IN.keras"], "--report must be a file name that ends in .html"),
        (["IN.keras", *DIGITS, "--report", "nowhere/a.html"], "The folder nowhere does not exist"),
        (["IN.keras", *DIGITS, "--steps", "-1"], "--steps"),
    ],
)
def test_mistakes_about_health(bnzoo, model, tmp_path, arguments, message):
    np.savez(tmp_path / "many.npz", x=np.ones((33, 8, 8, 1)), y=np.arange(33) % 11)
    assert_a_mistake(bnzoo, tmp_path, ["health", *arguments], message)
