import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import test_cli
from portable import make_pipe
from sklearn import metrics as peer

from bnzoo import MLP, ResNetCifar, data, tools
from bnzoo.cli import deploy
from bnzoo.export import parity

bnzoo = test_cli.bnzoo
pytestmark = pytest.mark.usefixtures("verified_here")

DIGITS = ["--data", "digits"]
LABELS = "abcdefghij"


def network():
    return ResNetCifar(8, filters=4, input_shape=(8, 8, 1), classes=10)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A file with a network for the digits. Tests copy it."""
    path = tmp_path_factory.mktemp("saved") / "IN.keras"
    network().save(path)
    return path


@pytest.fixture
def files(tmp_path, saved):
    """Write a network for the digits, IN.keras, and the names of its classes into the folder."""
    shutil.copy(saved, tmp_path)
    (tmp_path / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))


@pytest.fixture
def model(tmp_path, files, random_statistics):
    """The network in IN.keras. Folding changes all of its layers."""
    model = random_statistics(network())
    model.save(tmp_path / "IN.keras")
    return model


def table(out):
    lines = [line.strip("| ").split(" | ") for line in out.splitlines() if line.startswith("|")]
    head, rule, *rows = lines
    assert rule == ["---", *["---:"] * (len(head) - 1)], "Markdown"
    return [dict(zip(head, row, strict=True)) for row in rows]


@pytest.mark.slow
def test_export_and_verify(bnzoo, model, tmp_path, digits, monkeypatch):
    monkeypatch.setattr("bnzoo.cli.deploy._SECONDS", 0.2)
    options = ["--image", "unit", "--labels", "labels.txt", *DIGITS]
    status, out, err = bnzoo("export", "IN.keras", "serving", *options)
    assert (status, err) == (0, "")
    assert out.startswith("7 of 7 batch norms folded\n")
    [row] = table(out)
    assert row["format"] == "saved_model"
    assert float(row["difference"]) < 1e-4
    assert float(row["ms, batch 1"]) > 0
    assert float(row["ms, batch 8"]) > 0
    accuracy = (model.predict(digits.test.x, verbose=0).argmax(-1) == digits.test.y).mean()
    assert row["accuracy (95 % interval)"].startswith(f"{accuracy:.2%} (")
    assert Path("serving/saved_model/1/assets/labels.txt").read_text().split() == list(LABELS)
    manifest = json.loads(Path("serving/saved_model/1/MANIFEST.json").read_text())
    assert manifest["image"]["std"] == 255

    status, out, err = bnzoo("verify", "serving")
    assert (status, err) == (0, "")
    assert re.fullmatch(r"serving/saved_model/1: saved_model, \d files match the manifest, differs .*\n", out)
    Path("serving/saved_model/1/assets/labels.txt").write_text("a\nb\n")
    status, out, err = bnzoo("verify", "serving")
    assert (status, err) == (1, "")
    assert "serving/saved_model/1/assets/labels.txt differs from the manifest: 4 bytes instead of 20" in out

    assert bnzoo("export", "IN.keras", "serving", "--no-fold")[0] == 0
    assert sorted(p.name for p in Path("serving/saved_model").iterdir()) == ["1", "2"], "nothing is overwritten"
    assert not json.loads(Path("serving/saved_model/2/MANIFEST.json").read_text())["fold"]["folded"]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "output"), [("regression", "prediction"), ("multilabel", "probabilities")])
def test_the_task_of_the_data_is_that_of_the_outputs(bnzoo, tmp_path, monkeypatch, task, output):
    monkeypatch.setattr("bnzoo.cli.deploy._SECONDS", 0.2)
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(200, 4)).astype("float32"), random.integers(0, 2, (200, 3))
    np.savez("data.npz", x=x, y=labels + 0.5 if task == "regression" else labels)
    model = MLP(widths=(4,), input_shape=(4,), classes=3, classifier_activation=None)
    model.save("IN.keras")
    status, out, err = bnzoo("export", "IN.keras", "serving", "--data", "data.npz")
    assert status == 0, err
    expected = model.predict(x, verbose=0)
    found = tf.saved_model.load("serving/saved_model/1").signatures["serve"](features=x)[output]
    expected = 1 / (1 + np.exp(-expected)) if task == "multilabel" else expected
    np.testing.assert_allclose(found, expected, atol=1e-4)
    test = data.load("data.npz").test
    outputs = model.predict(test.x, verbose=0)
    score = peer.r2_score if task == "regression" else peer.average_precision_score
    [row] = table(out)
    [figure] = [value for name, value in row.items() if "95 %" in name]
    assert float(figure.split()[0]) == pytest.approx(score(test.y, outputs), abs=1e-3)


@pytest.mark.slow
@pytest.mark.extras("onnxruntime", "tf2onnx", "ai_edge_litert", "openvino", "tensorflow_serving")
def test_every_format(bnzoo, model, tmp_path, monkeypatch, digits):
    tools.recalibrate_batch_norm(model, digits.train.x)
    model.save(tmp_path / "IN.keras")
    monkeypatch.setattr("bnzoo.cli.deploy._SECONDS", 0.5)
    formats = "saved_model,onnx,litert,openvino,onnx-int8,litert-int8"
    status, out, err = bnzoo("export", "IN.keras", "all", "--formats", formats, "--warmup", "1,8", *DIGITS)
    assert (status, err) == (0, "")
    rows = table(out)
    assert [row["format"] for row in rows] == formats.split(",")
    assert all(float(row["difference"]) < (0.25 if "int8" in row["format"] else 1e-4) for row in rows)
    assert out.count("before, ") == 2, "the accuracies of both that are quantized"
    status, out, err = bnzoo("verify", "all")
    assert (status, err) == (0, "")
    assert len(out.splitlines()) == 6


@pytest.mark.slow
@pytest.mark.extras("cryptography")
def test_what_was_signed_is_verified_with_the_public_key(bnzoo, files, tmp_path, monkeypatch):
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    public = key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    Path("own.pem").write_bytes(private)
    Path("own.pub").write_bytes(public)
    monkeypatch.setattr("bnzoo.cli.deploy._SECONDS", 0.2)
    assert bnzoo("export", "IN.keras", "out", "--sign", "own.pem")[0] == 0
    status, out, err = bnzoo("verify", "out", "--key", "own.pub")
    assert (status, err) == (0, "")
    assert "files match the signed manifest" in out
    Path("out/saved_model/1/MANIFEST.json.sig").unlink()
    status, out, err = bnzoo("verify", "out", "--key", "own.pub")
    assert (status, err) == (1, "")
    assert "is not signed: the file MANIFEST.json.sig is missing" in out
    status, out, err = bnzoo("verify", "out", "--key", "IN.keras")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "IN.keras cannot be read as a public Ed25519" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["IN.keras"], "Missing argument 'DIR'"),
        (["nowhere.keras", "out"], "There is no file nowhere.keras"),
        (["IN.keras", "out", "--formats", "onxx"], "Unknown format in --formats: 'onxx'. Did you mean 'onnx'?"),
        (["IN.keras", "out", "--formats", "onnx-int8"], "onnx-int8 needs --data"),
        (["IN.keras", "out", "--formats", "onnx", "--image", "tf"], "--image needs saved_model among --formats"),
        (["IN.keras", "out", "--image", "troch"], "Unknown `image`: 'troch'. Did you mean 'torch'?"),
        (["IN.keras", "out", "--image", "torch"], "`mean` must be one number or 1, one for each"),
        (["IN.keras", "out", "--warmup", "1;8"], "--warmup must be batch sizes separated by commas, such as 1,8"),
        (["IN.keras", "out", "--warmup", "0"], "`warmup` must be a positive integer"),
        (["IN.keras", "out", "--warmup", "1000000000000"], "`warmup` must make at most 2,147,483,647 bytes"),
        (["IN.keras", "out", "--labels", "nowhere.txt"], "There is no file nowhere.txt"),
        (["IN.keras", "out", "--labels", "IN.keras"], "IN.keras cannot be read as the text file (UTF-8) of --labels"),
        (["IN.keras", "out", "--labels", "pipe"], "pipe is a pipe. It must be a regular file"),
        pytest.param(
            ["IN.keras", "out", "--sign", "nowhere.pem"],
            "nowhere.pem",
            marks=pytest.mark.extras("cryptography"),
        ),
        (["IN.keras", "out", "--labels", "two.txt"], "`labels` must name the classes of a model with one output"),
        (["IN.keras", "out", "--data", "wine"], "The examples of wine have the shape (13,)"),
        (["IN.keras", "labels.txt"], "labels.txt is a file. It must be a folder"),
        (["IN.keras", "labels.txt/out"], "labels.txt is a file. It must be a folder"),
        (["labels.txt", "out"], "labels.txt"),
    ],
)
def test_mistakes_are_one_line(bnzoo, files, tmp_path, arguments, message):
    (tmp_path / "two.txt").write_text("a\nb\n")
    if "pipe" in arguments:
        make_pipe(tmp_path / "pipe")
    before = sorted(tmp_path.rglob("*"))
    status, out, err = bnzoo("export", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("bnzoo: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written"


def test_the_options_of_an_export_reach_its_format(bnzoo, tmp_path, monkeypatch):
    """Only a SavedModel warms up and encodes tables, and only int8 is calibrated."""
    asked = []

    def export(model, folder, **options):
        asked.append((model.output_names, folder, options))
        raise KeyboardInterrupt

    def ask(*words):
        status, _, err = bnzoo("export", "IN.keras", "out", "--data", "rooms.csv", "--target", "price", *words)
        assert status == 130, err
        return asked.pop()

    usual = {"require": lambda: None, "export": export}
    formats = {
        "saved_model": (SimpleNamespace(**usual, options=("image", "warmup", "encoder")), None),
        "onnx-int8": (SimpleNamespace(**usual, options=()), "int8"),
    }
    monkeypatch.setattr(deploy, "VARIANTS", formats)
    rooms = np.arange(60) % 7 + 0.5
    pd.DataFrame({"rooms": rooms, "height": rooms[::-1], "price": 1e3 * rooms}).to_csv("rooms.csv", index=False)
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save("IN.keras")
    examples = data.load("rooms.csv", target="price")
    names, folder, options = ask("--no-fold", "--warmup", "1,8")
    assert (names, folder) == (["prediction"], Path("out/saved_model")), "a regression"
    np.testing.assert_array_equal(options.pop("sample"), examples.test.x)
    assert options == {"fold": False, "labels": None, "sign": None, "warmup": [1, 8], "encoder": examples.encoder}
    _, folder, options = ask("--formats", "onnx-int8")
    assert folder == Path("out/onnx-int8")
    assert options.pop("calibration").fingerprint == examples.fingerprint
    assert options == {"fold": True, "labels": None, "sign": None, "quantize": "int8"}


def test_a_missing_extra_is_one_line(bnzoo, files, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    status, _, err = bnzoo("export", "IN.keras", "out", "--formats", "saved_model,openvino")
    assert status == 2
    assert "pip install 'bnzoo[openvino]'" in err
    assert not (tmp_path / "out").exists(), "seen before the first format was written"


@pytest.mark.parametrize(
    ("folder", "message"),
    [("nowhere", "contains no artefact"), ("IN.keras", "contains no artefact")],
)
def test_nothing_to_verify_is_one_line(bnzoo, files, tmp_path, folder, message):
    status, out, err = bnzoo("verify", folder)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_each_artefact_is_reported_and_a_damaged_one_fails(bnzoo, tmp_path):
    for name in ("one", "two\x1b[2J"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "MANIFEST.json").write_text("{")
    status, out, err = bnzoo("verify", ".", "--checksums-only")
    assert (status, err, out.count("\n")) == (1, "", 4)
    assert "one: verification failed" in out
    assert r"two\x1b[2J: verification failed" in out


def test_an_artefact_that_differs_is_a_failure_and_not_there(bnzoo, files, tmp_path, monkeypatch):
    monkeypatch.setattr(parity, "difference", lambda *_: np.inf)
    status, _, err = bnzoo("export", "IN.keras", "out")
    assert status == 1
    assert err.startswith("bnzoo: saved_model: The artefact differs from the model by inf")
    assert not (tmp_path / "out").exists()
