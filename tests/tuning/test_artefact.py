"""The artefact of a study on images: what a client of its SavedModel can send."""

import json

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

from bnzoo import data
from bnzoo.errors import DamagedError
from bnzoo.training.artefact import export_model, export_once

pytestmark = pytest.mark.usefixtures("verified_here")


def dataset(x, labels=("cat", "dog")):
    y = np.arange(len(x), dtype=np.int32) % 2
    split = data.Split(x, y)
    return data.Dataset("images", labels, split, split, split)


def network(shape):
    """A linear model of the pixels, without a normalization of its own."""
    inputs = keras.Input(shape, name="image")
    outputs = keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(inputs / 255))
    return keras.Model(inputs, outputs)


@pytest.mark.slow
def test_a_study_on_images_of_8_bits_serves_image_files(tmp_path):
    size = (9, 7)
    pixels = np.random.default_rng(0).integers(0, 256, (6, *size, 3), dtype=np.uint8)
    model = network((*size, 3))
    artefact = export_model(model, 0, dataset(pixels), tmp_path / "best" / "1")
    document = json.loads((tmp_path / "best/1/MANIFEST.json").read_text())
    assert set(document["signatures"]) == {"serve", "serve_uint8", "serve_image_bytes"}
    signatures = tf.saved_model.load(artefact.path).signatures
    files = []
    for name, image in zip("abcdef", pixels, strict=True):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        files.append((tmp_path / f"{name}.png").read_bytes())
    logits = model.predict(pixels.astype(np.float32), verbose=0)
    expected = [[("cat", "dog")[best].encode(), ("cat", "dog")[1 - best].encode()] for best in logits.argmax(-1)]
    for inputs in ({"image_bytes": tf.constant(files)}, {"image": tf.constant(pixels)}):
        serve = signatures["serve_image_bytes" if "image_bytes" in inputs else "serve_uint8"]
        outputs = serve(**inputs)
        np.testing.assert_allclose(outputs["logits"], logits, atol=1e-5)
        np.testing.assert_array_equal(outputs["label"], expected)


def test_an_earlier_folder_must_have_the_same_model(tmp_path):
    images = dataset(np.random.default_rng(0).normal(size=(4, 3, 3, 1)).astype(np.float32))
    first, second = network((3, 3, 1)), network((3, 3, 1))
    artefact = export_model(first, 0, images, tmp_path / "1")
    assert export_model(first, 0, images, tmp_path / "1") == artefact
    with pytest.raises(
        DamagedError, match=r"1 could not be verified as the SavedModel of the model: .* Remove the folder, then run"
    ):
        export_model(second, 0, images, tmp_path / "1")


@pytest.mark.slow
def test_without_a_description_another_model_becomes_the_next_version(tmp_path):
    """As if each process were killed between the export of its model and the description."""
    images = dataset(np.random.default_rng(0).normal(size=(4, 3, 3, 1)).astype(np.float32))
    models = [network((3, 3, 1)), network((3, 3, 1))]
    for trial, version in ((0, "1"), (1, "2"), (1, "2")):
        artefact = export_once(lambda trial=trial: models[trial], trial, images, tmp_path)
        assert artefact.path == str(tmp_path / "best" / version)
        (tmp_path / "export.json").unlink()
    (tmp_path / "best/2/foreign").touch()
    with pytest.raises(DamagedError, match=r"2 could not be verified .* Remove the folder, then run"):
        export_once(lambda: models[0], 0, images, tmp_path)


@pytest.mark.slow
def test_the_same_features_of_another_encoder_become_the_next_version(tmp_path):
    """Of another name, of another word, and of dates in another form."""
    frame = pd.DataFrame({"sold": pd.date_range("2020-01-01", periods=40), "size": np.arange(40) % 7 / 2})
    frame["heating"], frame["kind"] = np.resize(["Yes", "No", "No"], 40), np.resize(["flat", "house"], 40)
    tables = [frame, frame.rename(columns={"size": "area"}), frame.replace("Yes", "yes")]
    tables.append(tables[-1].assign(sold=frame.sold.dt.strftime("%d.%m.%Y")))
    keras.utils.set_random_seed(0)
    inputs = keras.Input((7,), name="features")
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(keras.layers.Rescaling(1e-3)(inputs)))
    fingerprints = set()
    for version, table in enumerate(tables, start=1):
        table.to_csv(tmp_path / "houses.csv", index=False)
        houses = data.load(tmp_path / "houses.csv", target="kind")
        fingerprints.add(houses.fingerprint)
        for _ in range(2):
            artefact = export_once(lambda: model, 0, houses, tmp_path)
            assert artefact.path == str(tmp_path / "best" / str(version))
            assert data.TableEncoder.load(artefact.encoder) == houses.encoder
    assert len(fingerprints) == 1
    (tmp_path / "export.json").unlink()  # as if the process had been killed before it wrote the description
    frame.to_csv(tmp_path / "houses.csv", index=False)
    houses = data.load(tmp_path / "houses.csv", target="kind")
    assert export_once(lambda: model, 0, houses, tmp_path).path == str(tmp_path / "best" / str(len(tables) + 1))


@pytest.mark.parametrize(
    "x",
    [
        np.random.default_rng(0).normal(size=(4, 3, 3, 1)).astype(np.float32),
        np.random.default_rng(0).integers(0, 2**16, (4, 3, 3, 1), dtype=np.uint16),
        np.random.default_rng(0).integers(0, 256, (4, 3, 3, 4), dtype=np.uint8),
    ],
    ids=["levels that are unknown", "16 bits", "four channels"],
)
def test_other_data_is_served_as_arrays_only(tmp_path, x):
    export_model(network(x.shape[1:]), 0, dataset(x), tmp_path / "1")
    document = json.loads((tmp_path / "1/MANIFEST.json").read_text())
    assert set(document["signatures"]) == {"serve"}
