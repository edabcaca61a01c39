import keras
import numpy as np
import pytest
import tensorflow as tf

import bnzoo
from bnzoo.tools import recalibrate_batch_norm

L = keras.layers
X = np.random.default_rng(0).normal(3, 2, size=(50, 6)).astype("float32")


def network(**options):
    inputs = keras.Input((6,), name="features")
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


class Endless(keras.utils.PyDataset):
    @property
    def num_batches(self):
        return None

    def __getitem__(self, i):
        return X[:8]


SOURCES = {
    "array": lambda: X,
    "tensor": lambda: tf.constant(X),
    "float64": lambda: X.astype(np.float64),
    "x and y": lambda: (X, np.zeros(50)),
    "x, y and weights": lambda: (X, np.zeros(50), np.ones(50)),
    "dict by input name": lambda: {"features": X},
    "dict and y": lambda: ({"features": X}, np.zeros(50)),
    "tf.data": lambda: tf.data.Dataset.from_tensor_slices((X, X)).batch(8),
    "PyDataset": Batches,
    "lists of x and y, as PyTorch's DataLoader gives": lambda: [[X[i : i + 8], X[i : i + 8]] for i in range(0, 50, 8)],
    "generator of x, y, w": lambda: ((X[i : i + 8], 0, 0) for i in range(0, 50, 8)),
    "list of x": lambda: [X[:50:2], X[1:50:2]],
    "batches of dicts": lambda: [{"features": X[:30]}, {"features": X[30:]}],
    "tf.data of dicts": lambda: tf.data.Dataset.from_tensor_slices(({"features": X}, X)).batch(8),
}


@pytest.mark.parametrize("source", SOURCES)
def test_statistics_are_those_of_the_population(source):
    """A short last batch is weighted by its size. The total variance includes the variance of the batch means."""
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


@pytest.mark.slow
def test_nothing_else_changes():
    model = network(momentum=0.7)
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(X, X[:, :4], verbose=0)
    model.get_layer("second").trainable = False
    others = {v.path: np.asarray(v) for v in state_of(model) if "first/moving" not in v.path}
    for dropout in (False, True):
        recalibrate_batch_norm(model, X, dropout=dropout)
        for variable in state_of(model):
            if variable.path in others:
                np.testing.assert_array_equal(np.asarray(variable), others[variable.path], err_msg=variable.path)
    assert model.get_layer("first").momentum == 0.7
    assert any("seed" in path for path in others), "the state of the dropout is among what was checked"
    assert any("adam" in path for path in others)
    assert any("mean_metric" in path or "total" in path for path in others), "metrics are among what was checked"
    assert "call" not in vars(model.get_layer("first"))


def state_of(model):
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    return [*model.variables, *model.optimizer.variables, *metrics]


class BrokenError(Exception):
    pass


def broken_in_the_middle():
    yield X[:8]
    raise BrokenError


def stopped_in_the_middle():
    yield X[:8]
    raise KeyboardInterrupt


def spoilt(value):
    """Return a batch with one NaN or infinite value."""
    x = X[:8].copy()
    x[3, 2] = value
    return x


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ([], ValueError),
        (X[:0], ValueError),
        ([X[:8], X[:8, :3]], (ValueError, tf.errors.InvalidArgumentError)),
        (broken_in_the_middle(), BrokenError),
        (stopped_in_the_middle(), KeyboardInterrupt),
        ([X[:8], spoilt(np.nan)], ValueError),
    ],
    ids=["no batch", "no example", "another shape", "a generator that raises", "an interruption", "not a number"],
)
def test_an_error_restores_the_statistics(data, error):
    model = network()
    model.get_layer("first").moving_mean.assign(np.arange(6))
    with pytest.raises(error):
        recalibrate_batch_norm(model, data)
    np.testing.assert_array_equal(statistics(model)["first"][0], np.arange(6))
    assert "call" not in vars(model.get_layer("first"))


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (X, {"batches": 0}, "`batches` must be a positive integer. Received: batches=0"),
        (X, {"batch_size": 2.5}, "`batch_size` must be a positive integer. Received: batch_size=2.5"),
        (tf.data.Dataset.from_tensors(X).repeat(), {}, "`data` has no end: set `batches` to the number of batches"),
        (Endless(), {}, "`data` has no end"),
        ((X, np.zeros(49)), {}, "`data` must hold arrays of the same length. Received: lengths \\[49, 50\\]"),
        ((X.tolist(), None), {}, "`data` must hold arrays. Received: float"),
        (X[:0], {}, "`data` is empty"),
        ([X[:0], X[:0]], {}, "`data` has no example with a value at the norm 'first'"),
        ([X[:8], spoilt(np.nan)], {}, "batch 1 of `data`, counted from 0, has .* at the norm 'first'"),
        ([spoilt(-np.inf)], {}, "batch 0 of `data`.*'first'.*The statistics were not changed"),
        ([spoilt(3e38)], {}, "batch 0 of `data`.*'first'.*not finite in float32"),
        (
            [np.full_like(X, 3e19), np.full_like(X, -3e19)],
            {},
            "norm 'first' are too far apart: their variance is not",
        ),
        ("digits", {}, "`data` must be an array.*Received: str"),
        (bnzoo, {}, "or an iterable of batches. Received: module"),
    ],
)
def test_mistakes(data, options, message):
    with pytest.raises(ValueError, match=message):
        recalibrate_batch_norm(network(), data, **options)


def test_an_interruption_between_two_norms_restores_both(monkeypatch):
    model = network()
    before = statistics(model)
    second = model.get_layer("second").moving_mean
    values = []

    def assign(self, value):
        if self is second and not values:
            values.append(value)
            raise KeyboardInterrupt
        return usual(self, value)

    usual = keras.Variable.assign
    monkeypatch.setattr(keras.Variable, "assign", assign)
    with pytest.raises(KeyboardInterrupt):
        recalibrate_batch_norm(model, X)
    assert values
    for name, arrays in statistics(model).items():
        np.testing.assert_array_equal(arrays, before[name])


@pytest.mark.parametrize("data", [tf.data.Dataset.from_tensors(X[:16]).repeat(), Endless(), [X[:16], X[:16]]])
def test_some_batches_are_enough(data):
    """The test covers endless data, and data with fewer batches than requested."""
    model = network()
    recalibrate_batch_norm(model, data, batches=3)
    part = X[:8] if isinstance(data, Endless) else X[:16]
    np.testing.assert_allclose(statistics(model)["first"][0], part.mean(0), rtol=1e-5)


def test_to_recalibrate_what_is_frozen_is_a_mistake():
    model = network()
    bnzoo.tools.freeze_batch_norm(model)
    with pytest.raises(ValueError, match=r"only frozen batch norms.*recalibrate before you freeze them"):
        recalibrate_batch_norm(model, X)
    recalibrate_batch_norm(bnzoo.MLP(depth=1, width=2, input_shape=(6,), classes=2, norm="layer"), X)


def test_dropout_off_or_on():
    """Active dropout would increase the variance of the second norm's inputs by 1/(1 - rate)."""
    inputs = keras.Input((6,))
    model = keras.Model(inputs, L.BatchNormalization(name="norm")(L.Dropout(0.5)(inputs)))
    x = np.random.default_rng(0).normal(size=(20_000, 6)).astype("float32")
    recalibrate_batch_norm(model, x)
    np.testing.assert_allclose(model.get_layer("norm").moving_variance, x.var(0), rtol=1e-5)
    recalibrate_batch_norm(model, x, dropout=True)
    np.testing.assert_allclose(model.get_layer("norm").moving_variance, np.full(6, 2.0), rtol=0.05)


def test_a_norm_that_is_called_twice_sees_both_inputs():
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    norm = L.BatchNormalization(name="norm")
    model = keras.Model([a, b], [norm(a), norm(b)])
    recalibrate_batch_norm(model, {"a": X, "b": 5 * X}, batch_size=7)
    both = np.concatenate([X, 5 * X]).astype(np.float64)
    np.testing.assert_allclose(norm.moving_mean, both.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, both.var(0), rtol=1e-5)


def test_masked_positions_have_no_part():
    lengths = np.random.default_rng(1).integers(1, 8, 30)
    x = np.random.default_rng(2).normal(2, 3, (30, 8, 4)).astype("float32")
    x[np.arange(8) >= lengths[:, None]] = 0
    inputs = keras.Input((8, 4))
    model = keras.Model(inputs, L.BatchNormalization(name="norm")(L.Masking()(inputs)))
    recalibrate_batch_norm(model, x, batch_size=7)
    seen = x[np.arange(8) < lengths[:, None]].astype(np.float64)
    np.testing.assert_allclose(model.get_layer("norm").moving_mean, seen.mean(0), rtol=1e-5)
    np.testing.assert_allclose(model.get_layer("norm").moving_variance, seen.var(0), rtol=1e-5)


def test_images_of_several_sizes_count_by_their_pixels():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, L.BatchNormalization(name="norm")(inputs))
    random = np.random.default_rng(3)
    images = [random.normal(i, 2, (2, 4 + 3 * i, 5, 3)).astype("float32") for i in range(4)]
    recalibrate_batch_norm(model, images)
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]).astype(np.float64)
    np.testing.assert_allclose(model.get_layer("norm").moving_mean, pixels.mean(0), rtol=1e-5)
    np.testing.assert_allclose(model.get_layer("norm").moving_variance, pixels.var(0), rtol=1e-5)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_against_numpy_on_the_layers_inputs(offset):
    """Each norm of a small network on one batch with the whole data is compared with NumPy."""
    inputs = keras.Input((6, 6, 2))
    x = L.Conv2D(4, 3, name="conv")(inputs)
    x = L.BatchNormalization(axis=-1, scale=False, name="one")(x)
    x = L.BatchNormalization(center=False, name="two")(L.DepthwiseConv2D(2, activation="relu")(x))
    model = keras.Model(inputs, x)
    data = np.random.default_rng(4).normal(offset, 1, (64, 6, 6, 2)).astype("float32")
    recalibrate_batch_norm(model, data, batch_size=64)
    for name in ("one", "two"):
        norm = model.get_layer(name)
        seen = np.asarray(keras.Model(inputs, norm.input)(data, training=False), np.float64)
        np.testing.assert_allclose(norm.moving_mean, seen.mean((0, 1, 2)), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(norm.moving_variance, seen.var((0, 1, 2)), rtol=1e-5 if not offset else 1e-3)


def test_norms_that_are_not_used_stay():
    inputs = keras.Input((6,))
    used, extra = L.BatchNormalization(name="used"), L.BatchNormalization(name="extra")
    model = keras.Model(inputs, used(inputs))
    model.extra = extra
    extra.build((None, 6))
    recalibrate_batch_norm(model, X)
    assert extra in model._flatten_layers()
    np.testing.assert_array_equal(extra.moving_mean, np.zeros(6))
    np.testing.assert_allclose(used.moving_mean, X.mean(0), rtol=1e-5)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.norm = L.BatchNormalization()

    def call(self, x, training=None):
        return self.norm(x, training=training)


def test_subclassed_models_too():
    model = Subclassed()
    model(X[:2])
    recalibrate_batch_norm(model, X, batch_size=9)
    np.testing.assert_allclose(model.norm.moving_mean, X.mean(0), rtol=1e-5)


@pytest.mark.parametrize("dropout", [False, True])
def test_norms_inside_a_layer_that_is_computed_again(dropout):
    inner = keras.Sequential([keras.Input((6,)), L.BatchNormalization()])
    inputs = keras.Input((6,))
    model = keras.Model(inputs, bnzoo.layers.Recompute(inner)(inputs))
    recalibrate_batch_norm(model, X, batch_size=9, dropout=dropout)
    np.testing.assert_allclose(inner.layers[0].moving_variance, X.var(0), rtol=1e-5)


def test_norms_of_one_name_in_two_nested_models():
    models = [keras.Sequential([keras.Input((6,)), L.BatchNormalization(name="norm")], name=name) for name in "ab"]
    inputs = keras.Input((6,))
    model = keras.Model(inputs, models[1](models[0](inputs) * 2.0))
    recalibrate_batch_norm(model, X, batch_size=50)
    np.testing.assert_allclose(models[0].layers[0].moving_mean, X.mean(0), rtol=1e-5)
    np.testing.assert_allclose(models[1].layers[0].moving_variance, np.full(6, 4), rtol=1e-2)


def test_nested_models_are_reached():
    inner = network()
    outer = keras.Sequential([keras.Input((6,)), inner])
    recalibrate_batch_norm(outer, X)
    np.testing.assert_allclose(statistics(inner)["first"][0], X.mean(0), rtol=1e-5)


@pytest.mark.slow
def test_a_short_training_comes_back_from_chance(digits):
    """After 40 steps with momentum 0.99, the moving statistics of a ResNet-20 are close to their initial values."""
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
    """Only the population statistics change. The averages and steps of batch renorm do not."""
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


def test_levels_may_be_integers():
    levels = np.random.default_rng(0).integers(0, 256, (50, 6), np.uint8)
    integers, floats = network(), network()
    floats.set_weights(integers.get_weights())
    recalibrate_batch_norm(integers, levels)
    recalibrate_batch_norm(floats, levels.astype(np.float32))
    for one, two in zip(integers.get_weights(), floats.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
