import keras
import numpy as np
import pytest
import tensorflow as tf

import bnzoo
from bnzoo.tools import recalibrate_batch_norm

L = keras.layers
X = np.random.default_rng(0).normal(3, 2, size=(50, 6)).astype("float32")


def network(**options):
    inputs = keras.Input((6,))
    x = L.BatchNormalization(name="first", **options)(inputs)
    x = L.Dropout(0.5)(L.Dense(4, "relu", name="dense")(x))
    return keras.Model(inputs, L.BatchNormalization(name="second")(x))


def statistics(model):
    return {
        name: [np.asarray(w) for w in model.get_layer(name).non_trainable_variables] for name in ("first", "second")
    }


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 7

    def __getitem__(self, i):
        return X[8 * i : 8 * i + 8], np.zeros(8)


SOURCES = {
    "array": lambda: X,
    "tf.data": lambda: tf.data.Dataset.from_tensor_slices((X, X)).batch(8),
    "PyDataset": Batches,
    "generator of x, y, w": lambda: ((X[i : i + 8], 0, 0) for i in range(0, 50, 8)),
    "list of x": lambda: [X[:50:2], X[1:50:2]],
}


@pytest.mark.parametrize("source", SOURCES)
def test_statistics_are_those_of_the_population(source):
    """A short last batch counts for what it is; the variance of the means is part of the variance."""
    model = network()
    recalibrate_batch_norm(model, SOURCES[source](), batch_size=8)
    mean, variance = statistics(model)["first"]
    np.testing.assert_allclose(mean, X.mean(0, dtype=np.float64), rtol=1e-5)
    np.testing.assert_allclose(variance, X.var(0, dtype=np.float64), rtol=1e-5)


def test_the_second_norm_sees_what_it_sees_in_training_without_dropout():
    model = network()
    recalibrate_batch_norm(model, X, batch_size=50)
    kernel, bias = model.get_layer("dense").get_weights()
    standard = (X - X.mean(0, dtype=np.float64)) / np.sqrt(X.var(0, dtype=np.float64) + 1e-3)
    hidden = np.maximum(standard @ kernel + bias, 0)
    mean, variance = statistics(model)["second"]
    np.testing.assert_allclose(mean, hidden.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, hidden.var(0), rtol=1e-5, atol=1e-6)


def test_twice_the_same_data_gives_the_same_statistics_and_fewer_batches_count():
    model = network()
    recalibrate_batch_norm(model, X, batch_size=8)
    once = statistics(model)
    recalibrate_batch_norm(model, X, batch_size=8)
    for name, values in statistics(model).items():
        for now, then in zip(values, once[name], strict=True):
            np.testing.assert_array_equal(now, then)
    recalibrate_batch_norm(model, X, batches=2, batch_size=8)
    np.testing.assert_allclose(statistics(model)["first"][0], X[:16].mean(0), rtol=1e-5)


def test_nothing_else_changes():
    model = network(momentum=0.7)
    model.get_layer("second").trainable = False
    others = {v.path: np.asarray(v) for v in model.variables if "first/moving" not in v.path}
    recalibrate_batch_norm(model, X)
    for variable in model.variables:
        if variable.path in others:
            np.testing.assert_array_equal(np.asarray(variable), others[variable.path], err_msg=variable.path)
    assert model.get_layer("first").momentum == 0.7
    assert any("seed" in path for path in others), "the state of the dropout is among what was checked"
    assert next(layer for layer in model.layers if isinstance(layer, L.Dropout)).rate == 0.5


@pytest.mark.parametrize("data", [[], [X[:8], X[:8, :3]]], ids=["empty", "broken in the middle"])
def test_an_error_restores_the_statistics(data):
    model = network()
    model.get_layer("first").moving_mean.assign(np.arange(6))
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        recalibrate_batch_norm(model, data)
    np.testing.assert_array_equal(statistics(model)["first"][0], np.arange(6))


def test_nested_models_are_reached():
    inner = network()
    outer = keras.Sequential([keras.Input((6,)), inner])
    recalibrate_batch_norm(outer, X)
    np.testing.assert_allclose(statistics(inner)["first"][0], X.mean(0), rtol=1e-5)


def test_a_short_training_comes_back_from_chance(digits):
    """ResNet-20, 40 steps, momentum .99: the moving statistics are still those of the initialisation."""
    scale = keras.layers.Normalization(mean=digits.scale[0], variance=digits.scale[1])
    image = keras.Input(digits.input_shape)
    norm = {"name": "batch", "momentum": 0.99}
    model = bnzoo.ResNet20Cifar(input_tensor=scale(image), classes=10, norm=norm)
    model.compile(keras.optimizers.SGD(0.03, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(digits.train.x, digits.train.y, batch_size=32, steps_per_epoch=20, epochs=2, verbose=0)
    stale = model.evaluate(*digits.validation, verbose=0)[1]
    recalibrate_batch_norm(model, digits.train.x)
    assert stale < 0.3
    assert model.evaluate(*digits.validation, verbose=0)[1] > 0.9


@pytest.mark.parametrize("norm", ["ghost_batch", "batch_renorm", "sync_batch"])
def test_relatives_of_batch_norm_are_recalibrated_alike(norm):
    """Population statistics, and nothing else moves: not the averages of batch renorm, not its steps."""
    norm = bnzoo.norms.get(norm)
    inputs = keras.Input((6,))
    model = keras.Model(inputs, norm.layer((None, 6), name="norm")(inputs))
    layer = model.get_layer("norm")
    before = {w.name: np.asarray(w) for w in layer.weights}
    recalibrate_batch_norm(model, X, batch_size=8)
    after = {w.name: np.asarray(w) for w in layer.weights}
    np.testing.assert_allclose(after.pop("moving_mean"), X.mean(0), rtol=1e-5)
    np.testing.assert_allclose(after.pop("moving_variance"), X.var(0), rtol=1e-4)
    for name, value in after.items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
