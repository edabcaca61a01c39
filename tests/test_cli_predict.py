"""`bnzoo predict`, compared with NumPy in float64, Pillow and pandas."""

import io
import re
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import test_cli
from PIL import Image

from bnzoo import data
from bnzoo.training.artefact import export_model

bnzoo = test_cli.bnzoo
pytestmark = pytest.mark.usefixtures("verified_here")

SIZE = (6, 5)
LABELS = ["cat", "dog", "[red]eel"]


def softmax(logits):
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """The file of a linear model of pixels from 0 to 255, and its probabilities in NumPy."""
    inputs = keras.Input((*SIZE, 3), name="image")
    outputs = keras.layers.Dense(3, name="logits")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs)
    random = np.random.default_rng(0)
    kernel, bias = random.normal(0, 0.01, (90, 3)), random.normal(size=3)
    model.set_weights([kernel, bias])
    path = tmp_path_factory.mktemp("classifier") / "model.keras"
    model.save(path)
    return path, lambda images: softmax(np.asarray(images, np.float64).reshape(len(images), -1) @ kernel + bias)


def picture(seed, size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def resized(pixels):
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((SIZE[1], image.height)).resize(SIZE[::-1]))


@pytest.mark.slow
def test_images_in_folders(bnzoo, classifier, tmp_path):
    path, probabilities = classifier
    Path("labels.txt").write_text("\n".join(LABELS))
    pixels = {f"many/{n % 3}/{n:02}.png": picture(n, (7 + n % 4, 9)) for n in range(40)}
    pixels["one.bmp"] = picture(99)
    for name, image in pixels.items():
        save(tmp_path / name, image)
    Path("many/0/broken.jpg").write_bytes(b"no image")
    Path("many/gone.png").symlink_to("nowhere.png")
    for stray in ("many/notes.txt", "many/.hidden.png", "many/@eaDir/00.png"):
        Path(stray).parent.mkdir(exist_ok=True)
        Path(stray).write_bytes(b"stray")
    Path("many/1/back").symlink_to(tmp_path / "many", target_is_directory=True)
    options = ["--image", "raw", "--labels", "labels.txt"]
    status, out, err = bnzoo("predict", path, "one.bmp", "many", *options)
    assert status == 1
    assert err.startswith("bnzoo: 2 of 43 images have no prediction, such as many/gone.png: There is no file")
    table = pd.read_csv(io.StringIO(out), keep_default_na=False)
    expected = ["one.bmp", "many/gone.png", *sorted([*pixels, "many/0/broken.jpg"])]
    expected.remove("one.bmp")
    assert table["input"].tolist() == ["one.bmp", *[name for name in expected if name != "one.bmp"]]
    failed = table[table["error"] != ""].set_index("input")
    assert failed.loc["many/0/broken.jpg", "error"] == "it is no JPEG, PNG, GIF or BMP file"
    assert set(failed["label"]) == {""}
    good = table[table["error"] == ""]
    expected = probabilities([resized(pixels[name]) for name in good["input"]])
    assert good["label"].tolist() == [LABELS[i] for i in expected.argmax(-1)]
    found = good[[f"probability of {label}" for label in LABELS]].to_numpy(float)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_array_equal(good["probability"].astype(float), found.max(-1))


@pytest.mark.slow
def test_images_that_only_training_reads(bnzoo, classifier, tmp_path):
    path, probabilities = classifier
    pixels = {name: picture(n) for n, name in enumerate(["a.tiff", "b.webp", "c.bmp"])}
    Image.fromarray(pixels["a.tiff"]).save("a.tiff")
    Image.fromarray(pixels["b.webp"]).save("b.webp", lossless=True)
    colours = Image.fromarray(pixels["c.bmp"]).quantize(16)  # a palette
    colours.save("c.bmp")
    pixels["c.bmp"] = np.asarray(colours.convert("RGB"))
    Image.fromarray(pixels["a.tiff"][..., 0].astype(np.uint16)).save("deep.tiff")
    Path("torn.tiff").write_bytes(Path("a.tiff").read_bytes()[:20])
    status, out, _ = bnzoo("predict", path, *pixels, "deep.tiff", "torn.tiff", "--image", "raw")
    assert status == 1
    table = pd.read_csv(io.StringIO(out), keep_default_na=False)
    assert table["error"].tolist() == [
        *[""] * 3,
        "it is a TIFF file of uint16. It must have 8 bits",
        "it is damaged, or a kind of TIFF file that Pillow does not read",
    ]
    found = table.loc[:2, [f"probability of {label}" for label in range(3)]].to_numpy(float)
    np.testing.assert_allclose(found, probabilities(list(pixels.values())), rtol=1e-4)


def test_a_terminal_gets_a_table(bnzoo, classifier, tmp_path, monkeypatch):
    path, probabilities = classifier
    pixels = [picture(0, (8, 9)), picture(1, (8, 9))]
    np.savez("x.npz", x=np.stack(pixels))
    Path("labels.txt").write_text("\n".join(["[red]cat"] * 3))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    status, out, err = bnzoo("predict", path, "x.npz", "--labels", "labels.txt", "--image", "raw")
    assert (status, err) == (0, "")
    head, *rows = re.sub(r"\x1b\[\d*m", "", out).splitlines()
    assert head.split() == ["input", "row", "label", "probability"]
    expected = probabilities([resized(image) for image in pixels]).max(-1)
    assert [row.split() for row in rows] == [
        ["x.npz", str(row), "[red]cat", f"{probability:.4g}"] for row, probability in enumerate(expected)
    ]


@pytest.fixture
def houses(tmp_path):
    """The artefact of a linear regression on a table, in `study`, and the function of the table that it computes."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"rooms": random.integers(1, 9, 300), "heating": random.choice(["gas", "oil"], 300)})
    frame["price"] = 1000.5 * frame["rooms"] + 77.25 * (frame["heating"] == "oil")
    frame.to_csv("houses.csv", index=False)
    examples = data.load("houses.csv", target="price")
    inputs = keras.Input(examples.input_shape, name="features")
    model = keras.Model(inputs, keras.layers.Dense(1, name="prediction")(inputs))
    weight = {"rooms": 1000.5, "heating=oil": 77.25}
    kernel = np.array([[weight.get(feature, 0.0)] for feature in examples.encoder.features])
    model.set_weights([kernel, np.zeros(1)])
    export_model(model, 0, examples, tmp_path / "study" / "best" / "1")
    return frame


def test_the_rows_of_a_table(bnzoo, houses, tmp_path, monkeypatch):
    monkeypatch.setattr("bnzoo.predicting.examples._ROWS", 128)
    houses[["heating", "rooms"]].to_csv("new.csv", index=False)
    (tmp_path / "study/best/0").mkdir()
    for path in ("study", "study/best", "study/best/1"):
        status, out, err = bnzoo("predict", path, "new.csv", "--output", "found.csv")
        assert (status, out, err) == (0, "300 predictions in found.csv\n", "")
        found = pd.read_csv("found.csv")
        assert list(found.columns) == ["input", "row", "prediction"]
        assert found["row"].tolist() == list(range(300))
        np.testing.assert_allclose(found["prediction"], houses["price"], rtol=1e-6)
        Path("found.csv").write_text("older")
    Path("tilde.csv").write_bytes("heating~rooms\ngas~2\n".encode("utf-16-le"))
    status, out, _ = bnzoo("predict", "study", "tilde.csv", "--separator", "~", "--encoding", "utf-16-le")
    assert (status, out) == (0, "input,row,prediction\ntilde.csv,0,2001.0\n")
    Path("none.csv").write_text("heating,rooms\n")
    assert bnzoo("predict", "study", "none.csv") == (0, "input,row,prediction\n", "")
    status, _, err = bnzoo("predict", "study", "new.csv", "--output", "study")
    assert (status, err) == (2, "bnzoo: study is a folder. Choose a file in it\n")
    Path("bad.csv").write_text("heating,rooms\ngas,many\n")
    status, out, err = bnzoo("predict", "study", "new.csv", "bad.csv", "--output", "found.csv")
    assert status == 2
    assert err.startswith("bnzoo: bad.csv: ")
    assert "'rooms'" in err
    assert Path("found.csv").read_text() == "older"
    assert not list(tmp_path.glob(".draft*"))
    with monkeypatch.context() as patch:
        patch.setattr("tensorflow.saved_model.load", lambda folder: [][1])
        status, out, err = bnzoo("predict", "study", "new.csv")
    assert (status, out) == (2, "")
    assert err == "bnzoo: study/best/1 cannot be loaded: list index out of range. Export the model again\n"
    (tmp_path / "study/best/1/saved_model.pb").write_bytes(b"")
    status, out, err = bnzoo("predict", "study", "new.csv")
    assert (status, out) == (2, "")
    assert "saved_model.pb differs from the manifest" in err


def test_what_cannot_be_predicted(bnzoo, classifier, houses, tmp_path):
    path, _ = classifier
    np.savez("x.npz", x=np.zeros((2, 3, 3, 3)))
    np.savez("y.npz", y=np.zeros((2, 3, 3, 3)))
    save(tmp_path / "one.png", picture(0))
    Path("empty").mkdir()
    Path("words.txt").write_text("words")
    for arguments, message in (
        ([path, "x.npz"], "x.npz: the input 'image' takes float32 of the shape (None, 6, 5, 3). Received: float64 of"),
        ([path, "y.npz"], "y.npz has no array named x. Save it with np.savez(path, x=...)"),
        ([path, "one.png"], f"{path} takes no image files: how images were scaled in its training is unknown."),
        ([path, "houses.csv"], f"{path} takes no tables: it has no encoder.json."),
        ([path, "x.npz", "houses.csv"], "All inputs must be of one kind. Received: arrays and tables"),
        ([path, "words.txt"], "words.txt cannot be read. It must be a folder of images, or a file with a suffix of"),
        ([path, "gone.png"], "There is no file gone.png"),
        ([path, "empty", "--image", "raw"], "empty has no PNG, JPEG, GIF, BMP, WebP or TIFF file at any depth"),
        ([path, "one.png", "--image", "rwa"], "Unknown `image`: 'rwa'. Did you mean 'raw'?"),
        ([path, "one.png", "--labels", "words.txt"], "`labels` must name the classes"),
        ([path, "x.npz", "--output", "gone/found.csv"], "The folder gone does not exist."),
        (["study", "one.png"], "study/best/1 takes no image files: it was exported without `image`."),
        (["study", "x.npz", "--image", "raw"], "`image` is for a .keras file. study is an artefact"),
        (["empty", "x.npz"], "empty contains no artefact, which is a folder with a file MANIFEST.json."),
        (["study", "x.npz", "--separator", ";"], "`separator` is for .csv tables. Received: separator=';' for x.npz"),
        (["gone.keras", "x.npz"], "There is no file gone.keras"),
    ):
        status, out, err = bnzoo("predict", *arguments)
        assert (status, out) == (2, ""), err
        assert err.startswith(f"bnzoo: {message}"), err
        assert err.count("\n") == 1


@pytest.mark.slow
def test_the_artefact_of_a_study_takes_the_files_it_was_trained_on(bnzoo, tmp_path):
    random = np.random.default_rng(0)
    for name, level in (("dark", 60), ("light", 160)):
        for number in range(20):
            shape = (*random.integers(10, 30, 2), 3)
            save(
                tmp_path / f"images/{name}/{number:02}.jpg",
                random.normal(level, 30, shape).clip(0, 255).astype("uint8"),
            )
    options = ["--image-size", "8", "--depths", "1", "--epochs", "8", "--norms", "batch", "--batch-size", "8"]
    status, _, err = bnzoo("tune", "mlp", "--data", "images", "--learning-rates", "0.01:0.01:1", *options)
    assert status == 0, err
    status, out, err = bnzoo("predict", "runs/mlp-images", "images")
    assert (status, err) == (0, "")
    table = pd.read_csv(io.StringIO(out))
    assert (table["label"] == [Path(name).parent.name for name in table["input"]]).mean() > 0.9
    examples = data.load("images", image_size=8)
    model = keras.models.load_model("runs/mlp-images/best.keras", compile=False)
    x = np.concatenate([examples.train.x, examples.validation.x, examples.test.x])
    logits = model.predict(x.astype(np.float32), verbose=0).astype(np.float64)
    expected = np.sort(softmax(logits)[:, 0])
    np.testing.assert_allclose(np.sort(table["probability of dark"]), expected, atol=1e-4)
