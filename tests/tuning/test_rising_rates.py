import random
import re

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from bnzoo import MLP, data, tuning
from bnzoo.training.precision import in_precision, scaled_loss
from bnzoo.tuning.rates import RateTest, RateTests

L = keras.layers


class Noise(keras.Layer):
    """A layer that draws from the generators of Keras and NumPy that belong to no layer."""

    def call(self, x):
        keras.ops.convert_to_tensor(tf.numpy_function(np.random.random, [], tf.float64))
        return x + 0.01 * keras.random.normal((1,))


def noisy():
    """A model with statistics and with random states inside and outside its layers."""
    keras.utils.set_random_seed(3)
    drop = L.Dropout(0.3)
    return keras.Sequential([keras.Input((6,)), L.Dense(8), L.BatchNormalization(), drop, Noise(), L.Dense(3)])


def noiseless():
    """A model without random states."""
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input((6,)), L.Dense(8), L.BatchNormalization(), L.Dense(3)])


def examples(count=48, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(count, 6)).astype("float32"), generator.integers(0, 3, count)


def compiled(model, optimizer, **options):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False, **options)
    return model


def quick(model, given, **options):
    return tuning.rate_test(model, given, **{"steps": 20, "orders": 2, "batch_size": 16, **options})


def test_the_losses_and_the_largest_rate_of_a_linear_regression():
    """Gradient descent on a mean of squares is stable up to 2 / lambda_max. NumPy takes the same steps in float64."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(32, 4)) * (1.0, 0.6, 0.4, 0.3)
    y = x @ generator.normal(size=(4, 1)) + generator.normal(size=(32, 1))
    model = keras.Sequential([keras.Input((4,)), L.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    found = tuning.rate_test(model, (x, y), batch_size=32, rates=(1e-3, 30.0), steps=200, orders=1)

    weights, losses = np.zeros((4, 1)), []
    for rate in np.geomspace(1e-3, 30.0, 200):
        losses.append(np.mean((x @ weights - y) ** 2))
        weights -= rate * 2 / 32 * x.T @ (x @ weights - y)
    assert found.losses[0, :150] == pytest.approx(losses[:150], rel=1e-3)

    largest = 2 / np.linalg.eigvalsh(2 / 32 * x.T @ x).max()
    low, high = found.interval
    assert low < largest
    assert largest < high < 3 * largest, "a loss that grows at first is still that of a lower rate"
    assert found.end == "diverged"
    assert f"diverges above {high:.2g}" in str(found)


def test_each_order_begins_with_the_same_weights_and_the_loss_is_the_mean_of_the_orders():
    """A batch of all examples has the same loss in any order."""
    found = quick(compiled(noiseless(), "sgd"), examples(), batch_size=48, rates=(1e-2, 1.0), orders=3)
    assert found.losses.shape == (3, 20)
    np.testing.assert_allclose(found.losses, np.tile(found.losses[0], (3, 1)), rtol=1e-4)
    assert found.losses[0, -1] < 0.9 * found.losses[0, 0], "the weights have changed"
    batches = quick(compiled(noiseless(), "sgd"), examples(), orders=3)
    assert np.ptp(batches.losses, axis=0).min() > 0, "other batches"
    np.testing.assert_allclose(batches.loss, sum(batches.losses) / 3)


SCHEDULE = keras.optimizers.schedules.CosineDecay(0.1, 50)
OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=1e-3),
    "schedule": lambda: keras.optimizers.Adam(SCHEDULE),
    "function": lambda: keras.optimizers.SGD(lambda: 0.05),
    "averages": lambda: keras.optimizers.Adam(0.01, use_ema=True),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(SCHEDULE)),
    "accumulated": lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=2),
}


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "trained"), [("momentum", False), *((name, True) for name in OPTIMIZERS)])
def test_nothing_changes_and_a_following_training_is_the_same(optimizer, trained):
    x, y = examples()
    histories = []
    for tested in (False, True):
        model = compiled(noisy(), OPTIMIZERS[optimizer]())
        if trained:
            model.fit(x, y, batch_size=16, epochs=1, verbose=0)
        if tested:
            before = state(model)
            found = quick(model, (x, y))
            assert np.isfinite(found.losses[:, :5]).all()
            if trained:  # an optimizer that is not built has no slots to compare
                assert state(model) == before
        histories.append(model.fit(x, y, batch_size=16, epochs=2, verbose=0).history)
    assert histories[0] == histories[1]


def state(model):
    """Return every value as bytes, and the states of the generators."""
    variables = [*model.variables, *model.optimizer.variables, keras_generator().state]
    values = [np.asarray(keras.ops.convert_to_numpy(value)).tobytes() for value in variables]
    return values, random.getstate(), np.random.get_state()[1].tobytes(), np.random.get_state()[2:]


def keras_generator():
    from bnzoo.keras_internals import global_seed_generator

    return global_seed_generator()


def test_everything_is_restored_even_after_an_error():
    def broken(x, y):
        yield from [(x[:16], y[:16])] * 3
        raise OSError("the disk is gone")

    class Broken(keras.utils.PyDataset):
        num_batches = 4

        def __getitem__(self, index):
            return examples(16, index + np.random.randint(2))  # augmentation that draws from NumPy's generator

    x, y = examples()
    model = compiled(noisy(), OPTIMIZERS["momentum"](), steps_per_execution=3)
    model.optimizer.build(model.trainable_variables)
    before = state(model)
    with pytest.raises(OSError, match="the disk is gone"):
        quick(model, broken(x, y), batch_size=None)
    assert state(model) == before
    calls = iter(range(3))

    def failing(*arguments, **options):
        next(calls)
        return type(model).train_on_batch(model, *arguments, **options)

    model.train_on_batch = failing
    with pytest.raises(StopIteration):
        quick(model, Broken(), batch_size=None)
    assert state(model) == before


def curve(*points):
    """Return a result whose loss is interpolated between points (logarithm of the rate, loss)."""
    logarithms, losses = zip(*points, strict=True)
    rates = np.geomspace(1e-6, 10, 141)
    noise = np.random.default_rng(0).normal(0, 0.02, (2, 141))
    return RateTest("net", rates, np.interp(np.log10(rates), logarithms, losses) + noise)


@pytest.mark.parametrize(
    ("points", "high", "end", "words"),
    [
        ([(-3, 2.3), (-1, 0.5), (-0.5, 0.5), (0, 50)], 10**-0.5, "diverged", "diverges above"),
        ([(-3, 2.3), (-1, 0.5), (-0.5, 0.5), (0, 2.3)], 10**-0.4, "stalled", "stalls above"),
        ([(-3, 2.3), (-1, 0.8), (1, 0.5)], 10, "range", "the highest rate of the test"),
    ],
)
def test_the_interval_and_its_reason(points, high, end, words):
    """The loss falls between the rates 0.001 and 0.1."""
    found = curve(*points)
    assert 1e-3 < found.interval[0] < 0.1
    assert high / 2 < found.interval[1] < 1.3 * high
    assert found.interval[0] < found.suggested < found.interval[1]
    assert f"the loss falls fastest at {found.steepest:.2g}" in str(found)
    assert found.end == end
    assert words in str(found)
    assert str(found).count("\n") == 0
    table = found.table()
    assert list(table) == ["rate", "loss", "smoothed", "outcome"]
    used = table[table["outcome"] == "ok"]["rate"]
    assert (used.min(), used.max()) == found.interval
    assert set(table["outcome"]) == {"slow", "ok", *({end} - {"range"})}


def test_a_loss_that_only_wavers_has_no_interval(tmp_path):
    found = curve((-6, 2.3), (0, 2.3), (1, 9.0))
    assert (found.interval, found.suggested, found.end) == (None, None, "")
    words = "net: no rate from 1e-06 to 10 lowers the loss, which is 2.3 at the start"
    assert str(found) == f"{words}; if the model is trained already, test it before its training"
    assert str(RateTest("net", found.rates, found.losses, {"depth": 2})) == words
    assert set(found.table()["outcome"]) == {"stalled"}
    never = RateTest("net", found.rates, np.full((2, 141), np.inf))
    assert never.interval is None
    several = RateTests((never, found, curve((-3, 2.3), (0, 0.5))))
    several.plot(tmp_path / "rates.png")
    never.plot(tmp_path / "never.svg")
    RateTest("$a_$", found.rates, found.losses).plot(tmp_path / "dollars.png")
    assert several.table()["end"].tolist() == ["", "", "range"]


def test_a_picture(tmp_path):
    found = curve((-3, 2.3), (-1, 0.5), (-0.5, 0.5), (0, 50))
    for name, start in (("a.png", b"\x89PNG"), ("a.svg", b"<svg")):
        found.plot(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    with pytest.raises(ValueError, match=re.escape("must end in .png or .svg. Received: a.jpg")):
        found.plot("a.jpg")


@pytest.mark.slow
def test_batch_norm_stalls_and_no_norm_diverges(digits):
    """The loss of an MLP with batch norm stays finite at a rate of 10; without norms it does not."""
    space = tuning.MLPSpace(depths=(5,), norms=("batch", None), placement="post", momentum=0.0)
    batch, none = tuning.rate_test(space, digits, orders=2)
    assert (batch.end, none.end) == ("stalled", "diverged")
    assert np.isfinite(batch.losses).all()
    assert not np.isfinite(none.losses).all()
    assert batch.interval[1] > 3 * none.interval[1]
    assert batch.interval[0] < 1 < batch.interval[1], "the best rate of the claim about learning rates"
    assert "stalls above" in str(batch)


def test_a_space_has_a_test_for_each_depth_and_norm(few_digits):
    space = tuning.MLPSpace(depths=(1, 2), norms=("batch", None), width=(4, 8), batch_size=16)
    found = tuning.rate_test(space, few_digits, values={"depth": 1, "norm": "none", "width": 8}, steps=20, orders=1)
    (only,) = found
    assert only.values == {"depth": 1, "norm": "none", "width": 8}
    assert only.name == "mlp, depth 1, norm none, width 8"
    assert len(found.table()) == 1


@pytest.mark.slow
def test_a_space_varies_depth_and_norm(few_digits):
    space = tuning.MLPSpace(depths=(1, 2), norms=("batch", None), width=4, batch_size=16)
    found = tuning.rate_test(space, few_digits, steps=20, orders=1)
    expected = [(1, "batch"), (1, "none"), (2, "batch"), (2, "none")]
    assert list(found.table()[["depth", "norm"]].itertuples(index=False, name=None)) == expected
    again = tuning.rate_test(space, few_digits, values={"depth": 2}, steps=20, orders=1)
    np.testing.assert_array_equal([test.losses for test in again], [test.losses for test in found][2:])


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["arrays", "weights", "tf.data", "dict", "multilabel", "regression", "subclass", "float16"]
)
def test_every_kind_of_data(kind, tmp_path):
    x, y = examples()
    model, given, options = compiled(noisy(), "sgd"), (x, y), {}
    if kind == "weights":
        given = (x, y, np.ones(len(y), "float32"))
    elif kind == "tf.data":
        given, options = tf.data.Dataset.from_tensor_slices((x, y)).batch(16), {"batch_size": None}
    elif kind == "dict":
        inputs = keras.Input((6,), name="a")
        model = compiled(keras.Model({"a": inputs}, L.Dense(3)(inputs)), "sgd")
        given = ({"a": x}, y)
    elif kind == "float16":
        whole = MLP(depth=1, width=4, norm="batch", input_shape=(6,), classes=3, classifier_activation=None)
        model = compiled(in_precision(whole, "float16"), scaled_loss(keras.optimizers.SGD(), "float16"))
    elif kind == "subclass":

        class Own(keras.Model):
            def __init__(self):
                super().__init__()
                self.last = L.Dense(3)

            def call(self, x):
                return self.last(x)

        model = compiled(Own(), "sgd")
    elif kind in ("multilabel", "regression"):
        several = kind == "multilabel"
        columns = {f"x{i}": x[:, i] for i in range(6)} | {"y": x[:, 0] - x[:, 1], "a": y > 0, "b": y > 1}
        pd.DataFrame(columns).drop(columns=["y"] if several else ["a", "b"]).to_csv(tmp_path / "t.csv", index=False)
        given = data.load(tmp_path / "t.csv", target=["a", "b"] if several else "y")
        assert given.task == kind
        space = tuning.MLPSpace(depths=(1,), norms=("batch",), width=8).for_data(given)
        model = space.build_configuration(next(space.grid()), 0)
    found = quick(model, given, **options)
    assert found.losses.shape == (2, 20)
    assert np.isfinite(found.losses[:, :10]).all()
    assert (found.losses[0] != found.losses[1]).any(), "another order"


@pytest.mark.slow
def test_a_network_of_keras_applications():
    model = keras.applications.MobileNet((32, 32, 3), alpha=0.25, weights=None, classes=4)
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    generator = np.random.default_rng(0)
    before = model.get_weights()
    found = quick(model, (generator.random((32, 32, 32, 3)), generator.integers(0, 4, 32)), orders=1)
    assert np.isfinite(found.losses[0, :10]).all()
    for value, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, expected)


def frozen():
    model = noisy()
    model.trainable = False
    return model


def unbuilt_and_frozen():
    model = keras.Sequential([L.Dense(3)])
    model.trainable = False
    return model


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (noisy, {}, "`model` must be compiled with an optimizer"),
        (lambda: compiled(noisy(), keras.optimizers.MultiOptimizer(lambda v: keras.optimizers.SGD())), {}, "several"),
        (lambda: compiled(frozen(), "sgd"), {}, "`model` has no trainable weights"),
        (lambda: compiled(unbuilt_and_frozen(), "sgd"), {}, "`model` has no trainable weights"),
        (lambda: compiled(noisy(), "sgd"), {"seed": -1}, "`seed` must be an integer from 0 to 2**31 - 1"),
        (lambda: "resnet", {}, "`model` must be a compiled `keras.Model` or a `bnzoo.tuning.Space`. Received: str"),
        (lambda: compiled(noisy(), "sgd"), {"steps": 19}, "`steps` must be at least 20. Received: steps=19"),
        (lambda: compiled(noisy(), "sgd"), {"orders": 0}, "`orders` must be a positive integer"),
        (lambda: compiled(noisy(), "sgd"), {"rates": (1, 1)}, "`rates` must be two positive numbers, the lower first"),
        (lambda: compiled(noisy(), "sgd"), {"batch_size": 0}, "`batch_size` must be a positive integer"),
        (lambda: compiled(noisy(), "sgd"), {"seed": 0.5}, "`seed` must be an integer from 0 to 2**31 - 1"),
        (lambda: compiled(noisy(), "sgd"), {"values": {"depth": 8}}, "`values` is for a space"),
        (lambda: tuning.MLPSpace(), {}, "`data` must be a `bnzoo.data.Dataset` for a space. Received: tuple"),
        (lambda: tuning.MLPSpace(), {"batch_size": 8}, "`batch_size` is an argument of the space"),
    ],
)
def test_mistakes(model, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        tuning.rate_test(model(), examples(), **options)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (
            np.zeros((8, 5)),
            np.zeros(8),
            "takes inputs of the shape (6,), but the examples of `data` have the shape (5,)",
        ),
        (np.zeros((8, 6)), np.full(8, 3), "`data` has the label 3, but the model has outputs for the classes 0 to 2."),
    ],
)
def test_arrays_and_batches_that_do_not_fit_the_model(x, y, message, batched):
    model = compiled(noisy(), "sgd")
    before = [value.tobytes() for value in model.get_weights()]
    with pytest.raises(ValueError, match=re.escape(message)):
        tuning.rate_test(model, [(x, y)] if batched else (x, y))
    assert [value.tobytes() for value in model.get_weights()] == before


def test_a_last_axis_of_length_one_is_added_as_by_keras():
    model = keras.Sequential([keras.Input((6, 1)), L.Flatten(), L.Dense(3)])
    found = quick(compiled(model, "sgd"), examples(), orders=1)
    assert np.isfinite(found.losses[0, :10]).all()


def test_mistakes_about_data(few_digits):
    space = tuning.MLPSpace(depths=(1, 2), norms=("batch", None), width=4)
    for values, message in (
        ({"depth": 3}, "Unknown `values['depth']`: 3. Known: 1, 2"),
        ({"dept": 1}, "Unknown `values`: 'dept'. Did you mean 'depth'?"),
        (["depth"], "`values` must be a dict, such as {'depth': 8}. Received: ['depth']"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            tuning.rate_test(space, few_digits, values=values)
    model = MLP(depth=1, width=4, input_shape=(64,), classes=7)
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="`model` takes inputs of the shape"):
        tuning.rate_test(model, few_digits)
    with pytest.raises(ValueError, match="Received: a tuple of 4"):
        tuning.rate_test(model, (np.ones((2, 64)), *[np.ones(2)] * 3))
    with pytest.raises(ValueError, match="This `data` is in batches"):
        tuning.rate_test(model, [(np.ones((2, 64)), np.ones(2))], batch_size=2)
