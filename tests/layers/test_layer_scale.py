import keras
import numpy as np
import pytest
from layer_checks import gradients, saved_and_loaded, shake

from bnzoo.layers import LayerScale

X = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")


@pytest.mark.parametrize("axis", [-1, 3, 1, -2])
def test_against_numpy(axis):
    layer = LayerScale(0.25, axis=axis)
    np.testing.assert_array_equal(layer(X), 0.25 * X)
    assert [w.path.split("/")[-1] for w in layer.weights] == ["gamma"]
    shake(layer)
    weight = np.random.default_rng(1).normal(size=X.shape)
    shape = [1] * 4
    shape[axis] = -1
    gamma = np.reshape(layer.gamma.numpy(), shape).astype("float64")
    np.testing.assert_allclose(layer(X), X * gamma, rtol=1e-6)
    by_input, (by_gamma,) = gradients(layer, X, weight)
    np.testing.assert_allclose(by_input, weight * gamma, rtol=1e-5)
    others = tuple(i for i in range(4) if i != axis % 4)
    np.testing.assert_allclose(by_gamma, np.sum(weight * X, axis=others), rtol=1e-5, atol=1e-6)


def test_first_value():
    layer = LayerScale()
    layer.build((None, 7))
    np.testing.assert_array_equal(layer.gamma.numpy(), np.full(7, 1e-5, "float32"))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    layer = LayerScale(1e-5, dtype=policy)
    x = np.full((2, 3), 2.0**14, "float32")
    outputs = layer(x)
    dtype = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype
    # the error is only the rounding of the result; 1e-5 itself has an error of 0.1 % in float16
    exact = keras.ops.convert_to_tensor(x * np.float32(1e-5), dtype)
    np.testing.assert_array_equal(np.asarray(outputs, "float32"), np.asarray(exact, "float32"))


def test_save_and_load(tmp_path):
    layer = LayerScale(0.5, axis=1)
    layer.build(X.shape)
    shake(layer)
    saved_and_loaded(layer, X, tmp_path)


def test_refusals():
    with pytest.raises(ValueError, match=r"`axis` must be an axis of the input, which has 4. Received: axis=4"):
        LayerScale(axis=4)(X)
    with pytest.raises(ValueError, match="must be known"):
        LayerScale(axis=1)(keras.Input((None, 8)))
    layer = LayerScale()
    layer(X)
    with pytest.raises(ValueError, match="incompatible"):
        layer(X[..., :1])  # would otherwise be broadcast
