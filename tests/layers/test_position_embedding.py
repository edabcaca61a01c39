import keras
import numpy as np
import pytest
from layer_checks import gradients, saved_and_loaded, shake

from bnzoo.layers import PositionEmbedding

X = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")


def test_against_numpy():
    layer = PositionEmbedding()
    layer.build(X.shape)
    assert [(w.path.split("/")[-1], w.shape) for w in layer.weights] == [("position", (1, 3, 4))]
    shake(layer)
    np.testing.assert_allclose(layer(X), X.astype("float64") + layer.position.numpy(), rtol=1e-6)
    weight = np.random.default_rng(1).normal(size=X.shape)
    by_input, (by_position,) = gradients(layer, X, weight)
    np.testing.assert_allclose(by_input, weight, rtol=1e-6)
    np.testing.assert_allclose(by_position, weight.sum(axis=0, keepdims=True), rtol=1e-5)


def test_first_values():
    layer = PositionEmbedding()
    layer.build((None, 197, 768))
    values = layer.position.numpy()
    assert values.std() == pytest.approx(0.02, rel=0.01)
    assert values.mean() == pytest.approx(0, abs=2e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    layer = PositionEmbedding(initializer="ones", dtype=policy)
    outputs = layer(np.ones((2, 3, 4), "float32"))
    assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
    np.testing.assert_array_equal(np.asarray(outputs, "float32"), np.full((2, 3, 4), 2))


def test_save_and_load(tmp_path):
    layer = PositionEmbedding()
    layer.build(X.shape)
    saved_and_loaded(layer, X, tmp_path)


def test_refusals():
    with pytest.raises(ValueError, match=r"number of tokens and their width must be known.*`input_shape`"):
        PositionEmbedding()(keras.Input((None, 8)))
    layer = PositionEmbedding()
    layer(X)
    with pytest.raises(ValueError, match="incompatible"):
        layer(X[:, :1])  # would otherwise be broadcast
