import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnzoo import Norm, norms

X = np.random.default_rng(0).normal(2, 3, size=(4, 5, 6, 12)).astype("float32")


def standardised(x: np.ndarray, axes: tuple, epsilon: float) -> np.ndarray:
    x = x.astype(np.float64)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def grouped(x: np.ndarray, groups: int, epsilon: float) -> np.ndarray:
    split = x.reshape(*x.shape[:3], groups, -1)
    return standardised(split, (1, 2, 4), epsilon).reshape(x.shape)


@pytest.mark.parametrize(
    ("norm", "reference"),
    [
        ("batch", lambda x: standardised(x, (0, 1, 2), 1e-5)),
        ("layer", lambda x: standardised(x, (3,), 1e-6)),
        ("instance", lambda x: standardised(x, (1, 2), 1e-5)),
        ("group", lambda x: grouped(x, 12, 1e-5)),
        ({"name": "group", "groups": 8}, lambda x: grouped(x, 6, 1e-5)),
        ({"name": "group", "groups": 3, "epsilon": 0.1}, lambda x: grouped(x, 3, 0.1)),
        ("rms", lambda x: x / np.sqrt((x.astype(np.float64) ** 2).mean(-1, keepdims=True) + 1e-6)),
    ],
)
def test_norms_against_numpy(norm, reference):
    layer = norms.get(norm).layer(X.shape)
    np.testing.assert_allclose(np.asarray(layer(X, training=True)), reference(X), rtol=1e-4, atol=1e-4)


def test_batch_norm_moves_its_statistics_as_the_catalogue_says():
    layer = norms.get("batch").layer(X.shape)
    layer(X, training=True)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * X.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * X.var((0, 1, 2)), rtol=1e-4)


@given(channels=st.integers(1, 200), groups=st.integers(1, 64))
@settings(max_examples=50)
def test_group_takes_the_largest_divisor_that_is_not_above(channels, groups):
    taken = Norm("group", groups=groups).layer((None, 4, 4, channels)).groups
    assert channels % taken == 0
    assert taken <= groups
    assert all(channels % d for d in range(taken + 1, min(groups, channels) + 1))


@pytest.mark.parametrize("norm", ["batch", None, {"name": "group", "groups": 16}, {"name": "batch", "momentum": 0.5}])
def test_a_norm_is_json_and_comes_back(norm):
    there = json.loads(json.dumps(norms.get(norm).get_config()))
    assert there == norm
    assert norms.get(there) == norms.get(norm)
    assert norms.get(norms.get(norm)) is not None


def test_no_norm_has_two_words():
    assert norms.get("none") == norms.get(None) == Norm(None)
    assert not Norm(None)
    assert Norm(None).label == "none"
    assert Norm("group", groups=4).label == "group(groups=4)"
    with pytest.raises(ValueError, match="has no option 'momentum'"):
        Norm(None, momentum=0.1)


def test_options_reach_the_layer():
    layer = Norm("batch", momentum=0.5, center=False).layer((None, 3))
    assert (layer.momentum, layer.center, layer.epsilon) == (0.5, False, 1e-5)
