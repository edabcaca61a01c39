"""The signature that takes the columns of a table."""

import json

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from bnzoo import data, export

ROWS = 300


def shop():
    """Return a table with every kind of column, and names that TensorFlow does not allow."""
    random = np.random.default_rng(0)
    words = [f"w{i}" for i in range(120) for _ in range(120 - i)]
    frame = pd.DataFrame(
        {
            "area": random.normal(90, 30, ROWS),
            "Straße 1": random.choice(["Ä", "b", ""], ROWS),
            "time": 1_700_000_000 + 60.0 * np.arange(ROWS),
            "sold": pd.Series(pd.date_range("1999-12-01", periods=ROWS, freq="7h")).dt.strftime("%d.%m.%Y %H:%M"),
            "seen": pd.date_range("1960-12-01", periods=ROWS, freq="D"),
            "word": random.choice(words, ROWS),
            "self": random.random(ROWS) < 0.5,
            "class": random.integers(0, 3, ROWS),
            "a b": 1e30 * random.random(ROWS),
            "A_b": random.choice(["yes", None], ROWS),
        }
    )
    frame.loc[::7, ["area", "time", "sold", "seen", "word"]] = None
    return frame


@pytest.fixture(scope="module")
def encoder():
    return data.TableEncoder.learn(shop())


def model_of(encoder):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((len(encoder.features),), name="features")
    x = encoder.encode(shop()).astype(float)
    scaled = keras.layers.Normalization(mean=x.mean(0), variance=x.var(0) + 1e-6)(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(scaled))


@pytest.fixture(scope="module")
def artefact(encoder, tmp_path_factory, exported_here):
    folder = tmp_path_factory.mktemp("rows") / "1"
    exported_here(model_of(encoder), folder, encoder=encoder, labels=["a", "b", "c"])
    return folder


def tensors(frame, encoder):
    """Return a table as a program would that knows the manifest alone."""
    named = {}
    for name, column in encoder.inputs.items():
        values = frame[column.name]
        if column.dtype == "string":
            named[name] = tf.constant([str(value) for value in values.astype(object).where(values.notna(), "")])
        else:
            named[name] = tf.constant(values.astype(float).to_numpy())
    return named


def test_columns_by_name_give_what_the_encoder_gives(artefact, encoder):
    loaded = tf.saved_model.load(str(artefact))
    asked = shop().sample(40, random_state=1).astype({"self": float})
    asked.iloc[3, 1] = asked.iloc[4, 5] = "unseen"
    asked.iloc[5, 0], asked.iloc[6, 3], asked.iloc[7, 6] = 1e6, "29.2.2096", 1.0
    asked.iloc[8] = None
    given = tensors(asked, encoder)
    assert list(given) == [
        "area",
        "Stra_e_1",
        "time",
        "sold",
        "seen",
        "word",
        "column_self",
        "column_class",
        "a_b",
        "A_b_2",
    ]
    expected = loaded.signatures["serve"](features=tf.constant(encoder.encode(asked)))
    found = loaded.signatures["serve_rows"](**dict(reversed(given.items())))
    np.testing.assert_allclose(found["logits"], expected["logits"], rtol=1e-5, atol=1e-5)
    best = expected["probabilities"].numpy().argmax(-1)
    assert [row[0].decode() for row in found["label"].numpy()] == ["abc"[number] for number in best]
    empty = loaded.signatures["serve_rows"](**{name: values[:0] for name, values in given.items()})
    assert empty["logits"].shape == (0, 3)
    columns = json.loads((artefact / "MANIFEST.json").read_text())["columns"]
    assert columns == {name: column.name for name, column in encoder.inputs.items()}


@pytest.mark.parametrize("form", ["YYYY-MM-DD", "YYYY/MM/DD", "DD.MM.YYYY", "MM/DD/YYYY", "DD/MM/YYYY", "DD-MM-YYYY"])
def test_dates_in_tensorflow_are_those_of_the_encoder(form):
    from bnzoo.data import dates

    days = np.random.default_rng(0).integers(dates.FIRST, dates.LAST, 200)
    texts = [dates.text_of(day, form) for day in days]
    texts += [
        f"{text}{time}" for text, time in zip(texts, [" 23:59", "T00:01:02.5+00:00", " 24:00", "?"] * 9, strict=False)
    ]
    texts += [
        "",
        "soon",
        "0000-00-00",
        "30.02.2000",
        "2000-02-30",
        "29/02/1900",
        "1900-02-29",
        "2020-01-01\n",
        "2020-01-01 UTC",
        "2020-01-01 10:00:00+02:00",
        "٢٠٢٠-01-01",
    ]
    expected, found = dates.of_texts(texts, form), dates.of_tensor(tf.constant(texts), form)
    np.testing.assert_array_equal(found.valid, expected.valid)
    assert 200 + 18 <= expected.valid.sum() < len(texts) - 18 - 5
    for name in ("days", "year", "month"):
        np.testing.assert_array_equal(getattr(found, name)[expected.valid], getattr(expected, name)[expected.valid])
    np.testing.assert_array_equal(expected.days[:200], days)


def test_verify_compares_the_encoder(artefact, encoder):
    [verification] = export.verify(artefact)
    assert not verification.problems
    path = artefact / "encoder.json"
    assert data.TableEncoder.load(path) == encoder
    text = path.read_text()
    path.write_text(text.replace('"b"', '"B"'))
    try:
        [verification] = export.verify(artefact)
    finally:
        path.write_text(text)
    assert "encoder.json differs from the manifest" in verification.problems[0]


def test_another_encoding_in_the_graph_is_not_published(encoder, tmp_path, monkeypatch):
    kind = type(encoder.columns[1])
    right = kind.encode_tensor
    monkeypatch.setattr(kind, "encode_tensor", lambda self, texts: right(self, tf.strings.upper(texts)))
    with pytest.raises(RuntimeError, match="differs from the model"):
        export.saved_model(model_of(encoder), tmp_path / "1", encoder=encoder)
    assert not (tmp_path / "1").exists()


def test_an_encoder_of_other_features(encoder, tmp_path):
    model = keras.Sequential([keras.Input((7,)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match=r"`encoder` must have the features that the model takes, of the shape \(7,\)"):
        export.saved_model(model, tmp_path / "1", encoder=encoder)
