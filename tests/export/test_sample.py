"""The examples on which an artefact is compared with its model, more than are converted at once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bnzoo import export
from bnzoo.export import runtimes, sample


def test_examples_are_split_into_parts_of_whole_batches(monkeypatch):
    monkeypatch.setattr(runtimes, "_PART", 100 * 12)
    given = {"serve": {"x": np.arange(600).reshape(200, 3).astype(np.float32)}, "images": {"x": np.zeros((3, 0))}}
    parts = list(runtimes.parts(given))
    assert [len(part["serve"]["x"]) for part in parts] == [64, 64, 64, 8]
    assert [list(part) for part in parts] == [["serve", "images"], ["serve"], ["serve"], ["serve"]]
    np.testing.assert_array_equal(np.concatenate([part["serve"]["x"] for part in parts]), given["serve"]["x"])


def test_tensors_are_examples():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    found = sample.by_input(model, tf.ones((4, 3), tf.float64), "sample")["input"]
    assert (found.dtype, found.sum()) == (np.float32, 12)


@pytest.mark.slow
@pytest.mark.own_process
def test_many_examples_are_compared_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes, "_PART", 1)
    monkeypatch.setattr(sample, "_COPIED", 0)
    x = np.random.default_rng(0).integers(0, 256, (150, 4), np.uint8)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Normalization(mean=127.0, variance=5e3)])
    model.add(keras.layers.Dense(3))
    converted = sample.by_input(model, x, "sample")["input"]
    assert (converted.dtype, converted.shape, converted[3:5].dtype) == (np.float32, (150, 4), np.float32)
    np.testing.assert_array_equal(np.asarray(converted), x)
    report = export.saved_model(model, tmp_path / "model", sample=x, truth=np.arange(150) % 3)
    (outputs,) = report.outputs.values()
    weights, bias = model.layers[-1].get_weights()
    expected = (x - 127.0) / 5e3**0.5 @ weights.astype(np.float64) + bias
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
