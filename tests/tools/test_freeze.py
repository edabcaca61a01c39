import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from small_models import L, batch_norms, chain

import bnzoo
from bnzoo.tools import freeze_batch_norm, unfreeze_batch_norm

X, Y = np.random.default_rng(0).normal(2, 3, (32, 5)).astype("float32"), np.ones((32, 1), "float32")


def network():
    inner = chain((5,), L.Dense(4), L.BatchNormalization(name="inner_norm"), name="inner")
    model = keras.Sequential([keras.Input((5,)), inner, L.BatchNormalization(name="outer_norm"), L.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


def moved(model):
    """Return the weights that change in an epoch, by the names of their layers."""
    before = {v.path: np.asarray(v) for v in model.variables}
    model.fit(X, Y, batch_size=8, verbose=0)
    return {v.path.split("/")[-2] for v in model.variables if not np.array_equal(v, before[v.path])}


def test_frozen_norms_stay_and_the_rest_is_trained():
    model = network()
    assert {"inner_norm", "outer_norm"} < moved(model)
    assert freeze_batch_norm(model) == ["inner_norm", "outer_norm"]
    assert not moved(model) & {"inner_norm", "outer_norm"}, "at the next fit, without compiling again"
    assert freeze_batch_norm(model) == []
    assert unfreeze_batch_norm(model) == ["inner_norm", "outer_norm"]
    assert {"inner_norm", "outer_norm"} < moved(model)


def test_frozen_norms_are_in_inference_mode():
    model = network()
    freeze_batch_norm(model)
    np.testing.assert_array_equal(model(X, training=True), model(X, training=False))


def test_norms_of_a_layer_that_is_frozen_as_a_whole_stay_frozen():
    model = network()
    model.get_layer("inner").trainable = False
    freeze_batch_norm(model)
    assert unfreeze_batch_norm(model) == ["outer_norm"]
    assert not model.get_layer("inner").get_layer("inner_norm").trainable


def test_norms_that_were_frozen_before_stay_frozen():
    model = network()
    model.get_layer("outer_norm").trainable = False
    assert freeze_batch_norm(model) == ["inner_norm"]
    assert freeze_batch_norm(model) == []
    assert unfreeze_batch_norm(model) == ["inner_norm"]
    assert [norm.trainable for norm in batch_norms(model)] == [True, False]
    assert unfreeze_batch_norm(model) == []


ON_JAX = """
import keras, numpy as np
from bnzoo.layers import BatchNormalization
from bnzoo.tools import freeze_batch_norm, unfreeze_batch_norm

x, y = np.random.default_rng(0).normal(2, 3, (16, 5)).astype("float32"), np.ones((16, 1), "float32")
norm = BatchNormalization(name="norm")
model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, name="first"), norm, keras.layers.Dense(1)])
optimizer = keras.optimizers.Adam(0.01)
optimizer.exclude_from_weight_decay(var_names=["bias"])
model.compile(optimizer, "mse")
model.fit(x, y, verbose=0)

momentum = {v.path: np.asarray(v) for v in model.optimizer.variables}
assert freeze_batch_norm(model) == ["norm"]
kept = {v.path: np.asarray(v) for v in model.optimizer.variables}
assert set(momentum) - set(kept) == {p for p in momentum if "norm" in p}
assert all(np.array_equal(momentum[path], value) for path, value in kept.items())
assert model.optimizer._exclude_from_weight_decay_pattern.pattern == "bias"

before, first = norm.get_weights(), model.get_layer("first").get_weights()
model.fit(x, y, verbose=0)
assert all(np.array_equal(old, new) for old, new in zip(before, norm.get_weights()))
assert not np.array_equal(first[0], model.get_layer("first").get_weights()[0])
assert int(model.optimizer.iterations) == 2

assert unfreeze_batch_norm(model) == ["norm"]
model.fit(x, y, verbose=0)
assert not any(np.array_equal(old, new) for old, new in zip(before, norm.get_weights()))
"""


@pytest.mark.slow
@pytest.mark.extras("jax")
def test_on_jax_training_goes_on():
    """The test needs a new process for another backend."""
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run([sys.executable, "-c", ON_JAX], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_optimizer_that_does_not_know_the_weights_says_so():
    model = network()
    freeze_batch_norm(model)
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    unfreeze_batch_norm(model)
    with pytest.raises(ValueError, match="recreate a new optimizer"):
        model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("norm", ["batch", "ghost_batch", "batch_renorm", "sync_batch"])
def test_every_kind_of_batch_norm(norm):
    model = bnzoo.MLP(depth=2, width=4, input_shape=(5,), classes=2, norm=norm)
    assert len(freeze_batch_norm(model)) == 2 == len(batch_norms(model))
    np.testing.assert_array_equal(model(X, training=True), model(X, training=False))


def test_other_norms_are_left_alone():
    model = bnzoo.MLP(depth=2, width=4, input_shape=(5,), classes=2, norm="layer")
    assert freeze_batch_norm(model) == []
    assert all(layer.trainable for layer in model.layers)
