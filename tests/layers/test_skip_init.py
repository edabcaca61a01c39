import keras
import numpy as np
import pytest
from layer_checks import gradients, saved_and_loaded, shake

from bnzoo.layers import SkipInit

X = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")


def test_is_zero_at_first_and_then_scales():
    layer = SkipInit()
    np.testing.assert_array_equal(layer(X), np.zeros_like(X))
    assert [w.path.split("/")[-1] for w in layer.weights] == ["alpha"]
    layer.alpha.assign(-1.5)
    np.testing.assert_allclose(layer(X), -1.5 * X.astype("float64"), rtol=1e-6)


def test_gradients_against_numpy():
    weight = np.random.default_rng(1).normal(size=X.shape)
    layer = SkipInit()
    layer.build(X.shape)
    shake(layer)
    by_input, (by_alpha,) = gradients(layer, X, weight)
    np.testing.assert_allclose(by_input, weight * float(layer.alpha.numpy()), rtol=1e-5)
    np.testing.assert_allclose(by_alpha, np.sum(weight * X.astype("float64")), rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_under_mixed_precision_alpha_and_its_gradient_stay_in_float32(policy):
    layer = SkipInit(dtype=policy)
    x = np.full((64, 4096), 2, "float32")  # in float16 the sum, 524288, would be infinite
    layer.build(x.shape)
    layer.alpha.assign(1 + 2**-12)
    assert keras.backend.standardize_dtype(layer(x).dtype) == policy.removeprefix("mixed_")
    _, (by_alpha,) = gradients(layer, x, np.ones_like(x))
    assert by_alpha == 524288
    assert by_alpha.dtype == "float32"


def test_save_and_load(tmp_path):
    layer = SkipInit(initializer="ones", name="skip")
    layer.build(X.shape)
    shake(layer)
    saved_and_loaded(layer, X, tmp_path)
