import keras
import numpy as np
import pytest
from layer_checks import gradients, saved_and_loaded, shake

from bnzoo.layers import ClassToken

X = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")


def test_against_numpy():
    layer = ClassToken()
    expected = np.concatenate([np.zeros((2, 1, 4)), X], axis=1)
    np.testing.assert_array_equal(layer(X), expected)
    assert [(w.path.split("/")[-1], w.shape) for w in layer.weights] == [("token", (1, 1, 4))]
    shake(layer)
    expected[:, 0] = layer.token.numpy()[0]
    np.testing.assert_array_equal(layer(X), expected.astype("float32"))
    weight = np.random.default_rng(1).normal(size=expected.shape)
    by_input, (by_token,) = gradients(layer, X, weight)
    np.testing.assert_allclose(by_input, weight[:, 1:], rtol=1e-6)
    np.testing.assert_allclose(by_token, weight[:, :1].sum(axis=0, keepdims=True), rtol=1e-5)


def test_any_number_of_tokens():
    model = keras.Sequential([keras.Input((None, 4)), ClassToken()])
    assert model.output_shape == (None, None, 4)
    assert ClassToken().compute_output_shape((None, 196, 768)) == (None, 197, 768)
    for tokens in (1, 3):
        assert model.predict(X[:, :tokens], verbose=0).shape == (2, tokens + 1, 4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    outputs = ClassToken(initializer="ones", dtype=policy)(X)
    assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
    np.testing.assert_array_equal(np.asarray(outputs[:, 0], "float32"), np.ones((2, 4)))


def test_save_and_load(tmp_path):
    layer = ClassToken(initializer="glorot_uniform")
    layer.build(X.shape)
    saved_and_loaded(layer, X, tmp_path)


def test_refusals():
    with pytest.raises(ValueError, match="width of the tokens must be known"):
        ClassToken()(keras.Input((3, None)))
    with pytest.raises(ValueError, match="ndim=3"):
        ClassToken()(keras.Input((3, 3, 8)))
