import inspect
import json
import re

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnzoo import Norm, layers, norms
from bnzoo.norms.records import RECORDS

X = np.random.default_rng(0).normal(2, 3, size=(4, 5, 6, 12)).astype("float32")
NAMES = [
    "batch",
    "sync_batch",
    "ghost_batch",
    "batch_renorm",
    "group",
    "instance",
    "layer",
    "rms",
    "filter_response",
    "evonorm_s0",
    "dynamic_tanh",
    "affine",
    None,
]


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


@pytest.mark.parametrize(
    "norm",
    [
        *NAMES,
        {"name": "group", "groups": 16},
        {"name": "batch", "momentum": 0.5},
        {"name": "ghost_batch", "batch": 16},
        {"name": "batch_renorm", "rmax_steps": [100, 200]},
    ],
)
def test_a_norm_is_json_and_comes_back(norm):
    there = json.loads(json.dumps(norms.get(norm).get_config()))
    assert there == norm
    assert norms.get(there) == norms.get(norm)
    again = norms.get(norms.get(norm))
    assert again == norms.get(norm)
    assert again.get_config() == norm


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


def test_the_names():
    assert norms.list_norms() == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (None, "sync_batch")])
def test_the_defaults_of_the_catalogue(name):
    layer = norms.get(name).layer((None, 8, 8, 48), name="it")
    epsilons = {"layer": 1e-6, "rms": 1e-6, "filter_response": 1e-6, "dynamic_tanh": None, "affine": None}
    assert getattr(layer, "epsilon", None) == epsilons.get(name, 1e-5)
    assert getattr(layer, "momentum", 0.9) == 0.9
    assert layer.name == "it"
    expected = {"group": 24, "evonorm_s0": 24, "instance": 48}
    assert getattr(layer, "groups", None) == expected.get(name)
    assert getattr(layer, "batch", 32) == 32
    assert getattr(layer, "initial_alpha", 0.5) == 0.5


@pytest.mark.parametrize("name", [name for name in NAMES if name is not None])
def test_what_follows_from_the_layer(name):
    assert norms.get(name).replaces_activation == (name in ("filter_response", "evonorm_s0"))
    assert norms.get(name).can_start_at_zero
    if name != "rms":
        assert not Norm(name, scale=False).can_start_at_zero
        assert Norm(name, center=False).can_start_at_zero


def test_no_norm_has_no_layer():
    assert not Norm(None).replaces_activation
    assert not Norm(None).can_start_at_zero
    with pytest.raises(ValueError, match="leave the layer out"):
        Norm(None).layer((None, 3))


@pytest.mark.parametrize("name", [name for name in NAMES if norms.get(name).can_start_at_zero])
def test_what_can_start_at_zero_does(name):
    if name == "sync_batch" and keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow only")
    outputs = norms.get(name).layer(X.shape, gamma_initializer="zeros")(X)
    np.testing.assert_array_equal(np.asarray(outputs), np.zeros_like(X))


@pytest.mark.parametrize("name", ["filter_response", "evonorm_s0"])
def test_a_norm_that_replaces_the_activation_can_stand_without_it(name):
    layer = norms.get(name).layer(X.shape, apply_activation=False)
    outputs = np.asarray(layer(X))
    square = (X.astype("float64") ** 2).mean((1, 2), keepdims=True)
    expected = X / np.sqrt(square + 1e-6) if name == "filter_response" else X
    np.testing.assert_allclose(outputs, expected, rtol=1e-5)
    assert [weight.name for weight in layer.weights] == ["gamma", "beta"]
    with pytest.raises(ValueError, match="has no option 'apply_activation'"):
        Norm(name, apply_activation=False)


@pytest.mark.parametrize(
    ("shape", "learned"),
    [((None, 6), True), ((None, 1, 1, 6), True), ((None, 1, 2, 6), False), ((None, None, 1, 6), False)],
)
def test_filter_response_learns_its_epsilon_where_there_is_one_position(shape, learned):
    layer = norms.get("filter_response").layer(shape)
    layer.build(shape)
    assert ("learned_epsilon" in [weight.name for weight in layer.weights]) == learned


def test_channels_first_images():
    keras.config.set_image_data_format("channels_first")
    try:
        for name in NAMES[2:-1]:
            assert norms.get(name).layer((None, 12, 5, 6)).axis == 1
            assert norms.get(name).layer((None, 5, 12)).axis == -1
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("norm", ["instance", "group", "evonorm_s0"])
@pytest.mark.parametrize("shape", [(None, 1), (None, 1, 1, 1)])
def test_refuses_groups_of_one_value(norm, shape):
    with pytest.raises(ValueError, match=r"one value per group.*Choose another norm: .*Received: an input of shape"):
        norms.get(norm).layer(shape)


@pytest.mark.parametrize(
    ("shape", "groups"), [((None, 8), 4), ((None, 1, 1, 8), 4), ((None, 7), 1), ((None, 2), 1), ((None, 1, 2, 8), 8)]
)
@pytest.mark.parametrize("name", ["group", "evonorm_s0"])
def test_without_positions_a_group_has_several_channels(name, shape, groups):
    assert norms.get({"name": name, "groups": 8}).layer(shape).groups == groups


@pytest.mark.parametrize(
    ("shape", "groups"), [((None, 8), 1), ((None, 1, 1, 16), 2), ((None, 64), 8), ((None, 7), 1), ((None, 1, 2, 8), 8)]
)
@pytest.mark.parametrize("name", ["group", "evonorm_s0"])
def test_by_default_without_positions_a_group_has_eight_channels(name, shape, groups):
    """A group of two values always becomes -1 and 1, and a network cannot learn from it."""
    assert norms.get(name).layer(shape).groups == groups


def test_instance_norm_needs_positions():
    with pytest.raises(ValueError, match="one value per group"):
        norms.get("instance").layer((None, 8))


def test_groups_of_one_value_do_not_matter_without_statistics():
    assert isinstance(norms.get("evonorm_s0").layer((None, 8), apply_activation=False), layers.EvoNormS0)
    assert isinstance(norms.get("evonorm_s0").layer((None, 1), apply_activation=False), layers.EvoNormS0)


@pytest.mark.parametrize(
    ("norm", "message"),
    [
        ("bach", r"Unknown norm: 'bach'. Did you mean 'batch'\? Known: batch, sync_batch, .*affine, None"),
        ({"name": ["batch"]}, "Unknown norm"),
        (["batch"], "`norm` must be a name, a dict with a `name`.*Received"),
        ({"batch": 3}, "`norm` must be a name, a dict with a `name`"),
        ({"name": "ghost_batch", "batch": 0}, "`batch` must be a positive integer. Received: batch=0"),
        ({"name": "ghost_batch", "batch": 2.5}, "`batch` must be a positive integer. Received: batch=2.5"),
        ({"name": "group", "groups": -1}, "`groups` must be a positive integer. Received: groups=-1"),
        ({"name": "evonorm_s0", "groups": "8"}, "`groups` must be a positive integer. Received: groups='8'"),
        ({"name": "layer", "epsilon": 0}, "`epsilon` must be a number above 0. Received: epsilon=0"),
        ({"name": "rms", "epsilon": float("nan")}, "`epsilon` must be a number above 0. Received: epsilon=nan"),
        (
            {"name": "batch", "momentum": 1.01},
            r"`momentum` must be a number .* at most 1. Received: momentum=1.01",
        ),
        (
            {"name": "batch", "momentum": True},
            r"`momentum` must be a number .* at most 1. Received: momentum=True",
        ),
        ({"name": "batch_renorm", "rmax": 0}, "`rmax` must be a number of at least 1. Received: rmax=0"),
        ({"name": "batch_renorm", "dmax_steps": [2, 1]}, "`dmax_steps` must be two integers"),
        ({"name": "dynamic_tanh", "initial_alpha": 0}, "`initial_alpha` must be a number above 0"),
        (
            {"name": "batch", "axis": 1},
            "The norm 'batch' has no option 'axis'. Its options: .*Received: axis=1",
        ),
        ({"name": "instance", "groups": 2}, "The norm 'instance' has no option 'groups'"),
        ({"name": "batch", "synchronized": True}, "The norm 'batch' has no option 'synchronized'"),
        ({"name": "ghost_batch", "renorm": True}, "The norm 'ghost_batch' has no option 'renorm'"),
        ({"name": "layer", "batch": 3}, "The norm 'layer' has no option 'batch'"),
    ],
)
def test_refuses(norm, message):
    with pytest.raises(ValueError, match=message):
        norms.get(norm)


def test_batch_statistics_are_seen_by_the_tools_for_batch_norm():
    for name in ("ghost_batch", "batch_renorm"):
        assert isinstance(norms.get(name).layer(X.shape), keras.layers.BatchNormalization)


def test_the_docstring_has_a_row_for_each_norm():
    table = [line for line in inspect.getdoc(Norm).splitlines() if line.startswith("| `")]
    assert [re.match(r"\| `(\w+)` \| .+ \| .+ \d{4}, arXiv:\d{4}\.\d{5} \|$", line)[1] for line in table] == NAMES[:-1]
    rows = [f"| `{name}` | {record.statistics} | {record.paper} |" for name, record in RECORDS.items()]
    assert table == rows


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_agrees_with_its_layer(name):
    record = RECORDS[name]
    assert record.defaults.keys() | record.excluded <= record.arguments
    assert (record.activation is not None) == ("apply_activation" in record.arguments)
    assert record.weights_of in (None, *RECORDS)
    if name == "sync_batch" and keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow only")
    layer = norms.get(name).layer(X.shape)
    layer(keras.Input(X.shape[1:]))
    # of one group for each channel it is instance norm
    assert norms.name_of(layer) == ("instance" if name == "group" else name)


def test_the_name_of_a_layer_that_is_in_no_model():
    for groups, name in ((2, "group"), (4, "instance"), (-1, "instance")):
        layer = keras.layers.GroupNormalization(groups)
        layer.build((None, 3, 3, 4))
        assert norms.name_of(layer) == name
