import functools
import json
import math
import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import bnzoo
from bnzoo.tools import HealthMonitor, fold_batch_norm, health

L = keras.layers
DIGITS = bnzoo.data.load("digits")
X, Y = DIGITS.train.x.reshape(-1, 64) / 16, DIGITS.train.y
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def quick(name):
    """Return a batch norm that converges in 40 steps. With Keras' momentum of 0.99, 67 % of the start would remain."""
    return L.BatchNormalization(momentum=0.8, name=name)


def mlp(activation="relu", norm=quick, before=None, depth=2, **kernel):
    """Build dense layers `dense_1`, ..., each followed by a norm `norm_1`, ... and an activation, and `logits`."""
    x = inputs = keras.Input((64,))
    for i in range(1, depth + 1):
        x = L.Dense(24, name=f"dense_{i}", **kernel)(x)
        x = before(name=f"before_{i}")(x) if before else x
        x = norm(name=f"norm_{i}")(x) if norm else x
        x = L.Activation(activation, name=f"act_{i}")(x)
    return keras.Model(inputs, L.Dense(10, name="logits")(x), name="planted")


def train(model, steps=40, rate=0.1, batch=32):
    model.compile(keras.optimizers.SGD(rate, 0.9), LOGITS)
    model.fit(X[: steps * batch], Y[: steps * batch], batch_size=batch, epochs=1, verbose=0, shuffle=False)
    return model


def recalibrated(model):
    bnzoo.tools.recalibrate_batch_norm(model, X)
    return model


def changed(model, **weights):
    """Return a model with other weights in its first norm."""
    norm = model.get_layer("norm_1")
    for name, value in weights.items():
        variable = getattr(norm, name)
        variable.assign(value(variable.numpy()) if callable(value) else np.broadcast_to(value, variable.shape))
    return model


@functools.cache
def _trained_weights(**options):
    return recalibrated(train(mlp(**options))).get_weights()


def trained(**options):
    """Return a model that was trained for 40 steps and recalibrated. It is not compiled, so its steps are unknown."""
    model = mlp(**options)
    model.set_weights(_trained_weights(**options))
    return model


def noisy(name):
    return L.Dropout(0.3, name=name)


def frozen():
    model = changed(trained(), moving_mean=lambda mean: mean + 9)
    bnzoo.tools.freeze_batch_norm(model)
    return model


def half_zero(value):
    return np.where(np.arange(value.size) % 2, value, 0)


def vast(shape, dtype=None):
    return keras.random.normal(shape, seed=1) * 40


def slightly_off():
    """Each single norm is within its limits."""
    model = trained(depth=3)
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            deviation = np.sqrt(layer.moving_variance.numpy())
            layer.moving_mean.assign_add(0.9 * deviation * np.where(np.arange(24) % 2, 1, -1))
            layer.moving_variance.assign(layer.moving_variance * 2)
    return model


RECALIBRATE = "`bnzoo.tools.recalibrate_batch_norm(model, data)`"
SLOWER = "lower learning rate"
PLANTED = {
    "drift": (lambda: changed(trained(), moving_mean=lambda mean: mean + 9), "drift", "norm_1", RECALIBRATE),
    "variance": (lambda: changed(trained(), moving_variance=lambda v: v * 9), "drift", "norm_1", RECALIBRATE),
    "together": (slightly_off, "drift", "planted", RECALIBRATE),
    "nan": (lambda: changed(trained(), moving_variance=np.nan), "drift", "norm_1", RECALIBRATE),
    "never moved": (lambda: changed(trained(), moving_mean=0, moving_variance=1), "never_moved", "norm_1", RECALIBRATE),
    "frozen": (frozen, "frozen", "norm_1", "`bnzoo.tools.freeze_batch_norm(model)`"),
    "momentum": (lambda: train(mlp(norm=L.BatchNormalization), 30), "momentum", "norm_2", "momentum=0.86"),
    "dead": (lambda: changed(trained(), gamma=half_zero, beta=half_zero), "dead", "norm_1", "no_decay_variables"),
    "dead relu": (lambda: changed(trained(), beta=lambda b: b - 99 * half_zero(np.ones(24))), "dead", "norm_1", SLOWER),
    "exploding": (lambda: changed(trained(), gamma=1e3), "exploding", "norm_1", SLOWER),
    "far away": (lambda: changed(trained(), moving_mean=1e4), "exploding", "norm_1", RECALIBRATE),
    "saturated relu": (lambda: changed(trained(), beta=-9), "saturation", "norm_1", SLOWER),
    "saturated sigmoid": (lambda: changed(trained(activation="sigmoid"), gamma=30), "saturation", "norm_1", SLOWER),
    "saturated tanh": (lambda: changed(trained(activation="tanh"), beta=5), "saturation", "norm_1", SLOWER),
    "vanishing": (lambda: train(mlp("sigmoid", None, depth=9), 1), "vanishing_gradient", "dense_1", "Add norms"),
    "exploding gradient": (
        lambda: train(mlp("relu", None, depth=4, kernel_initializer=vast), 1, 0.0),
        "exploding_gradient",
        "logits",
        "`clipnorm`",
    ),
    "not finite": (
        lambda: train(mlp(norm=None, kernel_initializer=lambda *a, **k: vast(*a) * 1e38), 1, 0.0),
        "gradient_not_finite",
        "dense_1",
        "`clipnorm`",
    ),
    "dropout": (
        lambda: trained(before=noisy),
        "dropout",
        "norm_2",
        "1/(1-p) = 1.43",
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_faults_are_found(fault):
    make, kind, layer, remedy = PLANTED[fault]
    report = health(make(), (X, Y))
    found = {(finding.kind, finding.layer): finding.sentence for finding in report.findings}
    assert (kind, layer) in found, str(report)
    assert found[kind, layer].startswith(f"{layer}: ")
    assert remedy in found[kind, layer]
    assert not report.healthy
    assert found[next(iter(found))] in str(report)
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.slow
def test_batches_of_one():
    model = trained()
    report = health(model, ((X[i : i + 1], Y[i : i + 1]) for i in range(20)))
    kinds = {finding.kind for finding in report.findings}
    assert "batch_of_one" in kinds
    assert not kinds & {"drift", "momentum", "never_moved"}, "the statistics of such batches mean nothing"
    assert '`bnzoo.tools.replace_norm(model, "group")`' in report.findings[0].sentence
    assert health(model, (X[:257], Y[:257])).healthy, "a short last batch is no fault of the data"


GROUP = {"name": "group", "groups": 4}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "norm", "placement"),
    [
        *(
            ("resnet", "batch", "post"),
            ("resnet", "batch", "pre"),
            pytest.param("resnet", GROUP, "pre", marks=pytest.mark.slow),
            pytest.param("resnet", "layer", "post", marks=pytest.mark.slow),
        ),
        *(("mlp", "batch", "post"), ("mlp", "batch", "pre"), ("mlp", GROUP, "post"), ("mlp", "layer", "pre")),
    ],
    ids=str,
)
def test_silence_on_healthy_models(family, norm, placement):
    keras.utils.set_random_seed(1)
    options = {"norm": norm, "placement": placement, "input_shape": (8, 8, 1), "classes": 10}
    model = (
        bnzoo.ResNetCifar(8, filters=8, **options) if family == "resnet" else bnzoo.MLP(depth=3, width=32, **options)
    )
    data = tuple(DIGITS.train)
    fresh = health(model, data, batches=2, steps=0)
    assert fresh.healthy, str(fresh)
    assert any("has not been trained" in note for note in fresh.notes) == (norm == "batch")
    model.compile(keras.optimizers.SGD(0.05, 0.9), "sparse_categorical_crossentropy")
    model.fit(*data, epochs=2, batch_size=32, verbose=0)
    lagging = health(model, data, batches=2)
    assert lagging.healthy, f"momentum .9 has caught up by itself: {lagging}"
    bnzoo.tools.recalibrate_batch_norm(model, DIGITS.train.x)
    report = health(model, tuple(DIGITS.validation), batch_size=64, batches=2)
    assert str(report) == f"healthy: {len(report.norms)} norms, nothing found; accuracy was not judged"
    assert report.gradients


@pytest.mark.slow
def test_few_steps_then_recalibrated_is_healthy():
    model = train(mlp(norm=L.BatchNormalization))
    assert "momentum" in {finding.kind for finding in health(model, X).findings}
    assert health(recalibrated(model), X).healthy


def test_steps_from_the_optimizer_or_given():
    model = train(mlp(), 30)
    assert health(model, X).steps == 30
    assert health(model, X, steps=7).steps == 7
    uncompiled = keras.Model(model.inputs, model.outputs)
    assert health(uncompiled, X).steps is None
    assert "momentum" not in {finding.kind for finding in health(uncompiled, X).findings}


def test_drift_and_gamma_are_those_of_numpy():
    model = train(mlp(depth=1))
    norm = model.get_layer("norm_1")
    inner = keras.Model(model.inputs, model.get_layer("dense_1").output).predict(X, verbose=0).astype("float64")
    found = health(model, X).norms["norm_1"]
    deviation = np.sqrt(inner.var(0) + norm.epsilon)
    expected = np.abs(norm.moving_mean.numpy() - inner.mean(0)) / deviation
    np.testing.assert_allclose(found.drift, expected, rtol=1e-4, atol=1e-5)
    expected = np.sqrt(norm.moving_variance.numpy() + norm.epsilon) / deviation
    np.testing.assert_allclose(found.deviation, expected, rtol=1e-4)
    np.testing.assert_array_equal(found.gamma, np.abs(norm.gamma.numpy()))
    summary = found.to_dict()
    assert summary["drift"]["median"] == pytest.approx(np.median(found.drift))
    assert summary["drift"]["max"] == pytest.approx(found.drift.max())


SLOPES = {
    "relu": lambda x: (x > 0) * 1.0,
    "tanh": lambda x: 1 - np.tanh(x) ** 2,
    "sigmoid": lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2,
    "relu6": lambda x: ((x > 0) & (x < 6)) * 1.0,
}


@pytest.mark.parametrize("activation", SLOPES)
def test_saturation_is_a_count(activation):
    model = changed(trained(activation=activation, depth=1), gamma=2, beta=-1)
    given = keras.Model(model.inputs, model.get_layer("norm_1").output).predict(X, verbose=0).astype("float64")
    found = health(model, X).norms["norm_1"]
    assert found.activation == activation
    assert found.bounded == (activation in ("tanh", "sigmoid"))
    assert found.saturation == pytest.approx((SLOPES[activation](given) < 0.05).mean(), abs=1e-3)


def test_activations_of_every_form_are_found():
    x = inputs = keras.Input((6, 6, 3))
    behind = [L.ReLU(6.0), L.LeakyReLU(0.01), L.PReLU(), L.ELU(), keras.ops.silu, L.Activation("linear"), L.Softmax()]
    for layer in behind:
        x = layer(L.Identity()(L.BatchNormalization()(x)))
    model = keras.Model(inputs, x)
    report = health(model, np.random.default_rng(0).normal(size=(9, 6, 6, 3)), steps=0)
    found = [norm.activation for norm in report.norms.values()]
    assert found == ["ReLU", "LeakyReLU", "PReLU", "ELU", "Silu", None, None]


@pytest.mark.parametrize("loss", ["compiled", "given", "guessed", "regularized"])
def test_gradients_are_those_of_a_tape(loss):
    regularizer = keras.regularizers.L2(0.1) if loss == "regularized" else None
    model = mlp(before=lambda name: L.Dropout(0.5, name=name), kernel_regularizer=regularizer)
    if loss == "compiled":
        model.compile("sgd", LOGITS)
    before = [variable.numpy() for variable in model.variables]
    report = health(model, (X[:200], Y[:200]), loss=LOGITS if loss == "given" else None, steps=0)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    with tf.GradientTape() as tape:
        value = LOGITS(Y[:200], model(X[:200], training=True)) + sum(model.losses)
    kernels = {layer.name: layer.kernel for layer in model.layers if isinstance(layer, L.Dense)}
    gradients = tape.gradient(value, [kernel.value for kernel in kernels.values()])
    assert list(report.gradients) == list(kernels)
    for (name, kernel), gradient in zip(kernels.items(), gradients, strict=True):
        expected = np.linalg.norm(gradient) / np.linalg.norm(kernel)
        assert report.gradients[name] == pytest.approx(expected, rel=1e-4)


def test_a_compiled_loss_of_several_outputs_and_its_metrics():
    inputs = keras.Input((64,), name="x")
    x = L.BatchNormalization()(L.Dense(8)(inputs))
    model = keras.Model(inputs, {"a": L.Dense(10, name="a")(x), "b": L.Dense(1, name="b")(x)})
    model.compile("sgd", {"a": LOGITS, "b": "mse"}, loss_weights={"a": 1.0, "b": 0.0}, metrics={"a": ["accuracy"]})
    targets = {"a": Y, "b": Y[:, None] * 1.0}
    model.fit({"x": X}, targets, verbose=0)
    before = model.get_metrics_result()
    report = health(model, ({"x": X}, targets))
    assert report.gradients["b"] == 0
    assert report.gradients["a"] > 0
    assert model.get_metrics_result() == before


def test_what_was_not_measured_is_said():
    model = mlp()
    assert health(model, X, steps=0).gradients is None
    assert "the data has no targets" in health(model, X, steps=0).notes[-1]
    assert "Pass `loss`" in health(model, (X, Y * 1.0), steps=0).notes[-1]
    hidden = keras.Sequential([keras.Input((3, 64)), L.TimeDistributed(L.BatchNormalization(name="inner"))])
    assert "inner" in health(hidden, np.zeros((2, 3, 64))).notes[0]


def test_statistics_that_are_none_are_said_to_be_none():
    model = changed(trained(), moving_variance=lambda v: np.where(np.arange(24) < 1, np.nan, v))
    finding = health(model, X).findings[0]
    assert finding.kind == "drift"
    assert "not finite, or a variance is negative, in 4% of the channels" in finding.sentence
    assert fold_batch_norm(model)[1].kept["norm_1"] == "its moving statistics are not finite or a variance is negative"


def test_frozen_statistics_are_not_judged_together():
    model = slightly_off()
    bnzoo.tools.freeze_batch_norm(model)
    assert health(model, (X, Y)).healthy


def test_numbers_are_judged_together_by_their_variance():
    model = slightly_off()
    numbers = keras.Model(model.inputs, model.outputs, name="numbers")
    finding = health(numbers, X).findings[0]
    assert finding.layer == "numbers"
    assert "times their variance" in finding.sentence
    assert health(recalibrated(numbers), X).healthy


def two_outputs():
    inputs = keras.Input((64,))
    x = L.BatchNormalization()(L.Dense(8)(inputs))
    model = keras.Model(inputs, {"a": L.Dense(10)(x), "b": L.Dense(1)(x)})
    model.compile("sgd", {"a": LOGITS, "b": "mse"})
    return model


def classifier(loss=None):
    model = keras.Sequential([keras.Input((64,)), L.BatchNormalization(), L.Dense(10, "softmax")])
    if loss is not None:
        model.compile("sgd", loss)
    return model


@pytest.mark.parametrize(
    ("model", "y"),
    [
        (classifier, np.where(np.arange(64) == 50, 10, 3)),
        (classifier, -np.ones(64, int)),
        (lambda: classifier("sparse_categorical_crossentropy"), np.full(64, 10)),
        (lambda: classifier(keras.losses.SparseCategoricalCrossentropy()), np.full((64, 1), 10.0)),
        (two_outputs, {"a": np.full(64, 10), "b": np.ones(64)}),
    ],
    ids=["guessed", "negative", "by name", "in a column", "of two outputs"],
)
def test_a_label_without_an_output(model, y):
    with pytest.raises(ValueError, match=r"has the label -?1\d?, but the model has outputs for the classes 0 to 9"):
        health(model(), (X[:64], y), batch_size=32)


def test_a_label_that_the_loss_ignores():
    model = classifier(keras.losses.SparseCategoricalCrossentropy(ignore_class=-1))
    assert health(model, (X[:64], np.where(np.arange(64) % 2, -1, 3)), steps=0).gradients


def test_targets_of_another_shape():
    with pytest.raises(ValueError, match=r"shape|cannot be computed"):
        health(classifier("categorical_crossentropy"), (X[:64], np.ones((64, 7))), steps=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "`steps` must be an integer that is at least 0"),
        ({"steps": 1.5}, "`steps` must be an integer"),
        ({"batches": 0}, "`batches` must be a positive integer"),
        ({"loss": "mse"}, "`loss` needs targets"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        health(mlp(), X, **options)


def test_what_has_no_graph_is_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    own = Own()
    own.build((None, 3))
    with pytest.raises(ValueError, match="subclassed model"):
        health(own, X)


@pytest.mark.slow
def test_networks_of_every_norm():
    for norm in bnzoo.norms.list_norms():
        model = bnzoo.ResNetCifar(8, norm=norm, filters=8, input_shape=(8, 8, 1))
        report = health(model, tuple(DIGITS.validation), batches=1, batch_size=32, steps=0)
        assert report.healthy, str(report)
        # a group of one channel each is instance norm
        assert {found.kind for found in report.norms.values()} <= {norm, "instance"}
        assert bool(report.norms) == (norm is not None)


def test_nested_recomputed_and_shared_norms():
    inner = keras.Sequential([keras.Input((4, 4, 8)), L.BatchNormalization(name="norm"), L.ReLU()], name="inner")
    x = inputs = keras.Input((4, 4, 8))
    x = inner(inner(bnzoo.layers.Recompute(keras.Model(inputs, L.BatchNormalization(name="n")(x)), name="again")(x)))
    model = keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling2D()(x)))
    data = np.random.default_rng(0).normal(3, 2, size=(50, 4, 4, 8)), np.arange(50) % 3
    report = health(model, data)
    assert list(report.norms) == ["again/n", "inner/norm"]
    assert report.norms["inner/norm"].activation == "ReLU"
    assert {finding.kind for finding in report.findings} == {"never_moved"}


@pytest.mark.slow
def test_many_equal_findings_are_one_paragraph():
    model = bnzoo.ResNetCifar(20, filters=4, input_shape=(8, 8, 1))
    bnzoo.tools.recalibrate_batch_norm(model, DIGITS.train.x[:64])
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            layer.moving_mean.assign_add(np.full(layer.moving_mean.shape, 99.0))
    report = health(model, DIGITS.train.x[:64])
    assert sum(finding.kind == "drift" for finding in report.findings) == 19
    assert "(19 layers)" in str(report)
    assert "and 12 more" in str(report)
    assert len(str(report).splitlines()) < 25


def losses(callbacks, activation="relu"):
    keras.utils.set_random_seed(3)
    model = mlp(activation, before=lambda name: L.GaussianNoise(0.1, name=name))
    model.compile(keras.optimizers.SGD(0.1, 0.9), LOGITS)
    model.fit(X, Y, batch_size=64, epochs=2, verbose=0, callbacks=callbacks)
    return [variable.numpy() for variable in [*model.variables, *model.optimizer.variables]]


@pytest.mark.slow
def test_the_monitor_changes_nothing_and_logs(tmp_path):
    monitor = HealthMonitor((X, Y), tmp_path, batches=2, batch_size=128)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        watched = losses([monitor])
    for with_, without in zip(watched, losses([]), strict=True):
        np.testing.assert_array_equal(with_, without)
    assert monitor.report.steps == 2 * math.ceil(len(X) / 64)
    events = [
        value
        for file in tmp_path.iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    ]
    tags = [event.tag for event in events]
    assert tags.count("drift/norm_1") == 2, "once an epoch"
    assert {"dead/norm_2", "saturation/norm_1", "gamma/norm_1", "gradient/logits"} <= set(tags)


@pytest.mark.slow
def test_the_monitor_checks_every_second_epoch_and_at_the_end(tmp_path):
    model = mlp(depth=1)
    model.compile(keras.optimizers.SGD(0.1), LOGITS)
    monitor = HealthMonitor((X[:256], Y[:256]), tmp_path, every=2)
    model.fit(X[:256], Y[:256], batch_size=64, epochs=5, verbose=0, callbacks=[monitor])
    steps = [
        event.step
        for file in tmp_path.iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(file))
        if "drift/norm_1" in [value.tag for value in event.summary.value]
    ]
    assert steps == [1, 3, 4], "counted from 0"
    assert monitor.report.steps == 5 * 4


@pytest.mark.slow
def test_the_monitor_warns_once_of_what_goes_wrong():
    model = mlp(norm=L.BatchNormalization)
    model.compile(keras.optimizers.SGD(0.0), LOGITS)
    changed(model, beta=-50)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, Y, epochs=3, verbose=0, batch_size=512, callbacks=[HealthMonitor((X, Y))])
    texts = [str(warning.message) for warning in caught if "after epoch" in str(warning.message)]
    assert sum(text.startswith("Saturated activations after epoch 1.") for text in texts) == 1
    assert sum(text.startswith("Dead channels after epoch 1.") for text in texts) == 1
    # nine steps with momentum 0.99: normal during training, a problem at the end
    assert sum("still hold their initial values after epoch 3." in text for text in texts) == 1


def test_the_monitor_needs_tensorboard_for_a_log(monkeypatch):
    monkeypatch.setattr(sys.modules[HealthMonitor.__module__], "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        HealthMonitor(X, "log")
    HealthMonitor(X)
