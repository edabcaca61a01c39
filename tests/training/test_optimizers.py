import contextlib

import keras
import numpy as np
import pytest

import bnzoo
from bnzoo.optimizers import Muon, ScheduleFreeAdamW
from bnzoo.training.loop import fit
from bnzoo.training.optimizers import DEFAULTS, Optimizer
from bnzoo.training.schedule_free import end_at_the_average, evaluation_weights, is_schedule_free
from bnzoo.training.schedules import schedule_named
from bnzoo.training.variables import values_of

X = np.random.default_rng(0).normal(size=(12, 5))
Y = np.arange(12) % 3
RATES = [0.01, 0.02, 0.03, 0.03, 0.015]
DECAY = 0.1


def linear_model(optimizer, **options):
    keras.utils.set_random_seed(1)
    layers = [keras.Input((5,)), keras.layers.Dense(7, name="hidden"), keras.layers.Dense(3, name="logits")]
    model = keras.Sequential(layers)
    made = Optimizer(optimizer).make(0.01, DECAY, model)
    model.compile(made, keras.losses.SparseCategoricalCrossentropy(from_logits=True), **options)
    made.build(model.trainable_variables)
    return model


@pytest.mark.parametrize("name", DEFAULTS)
def test_trials_and_trainings_agree_on_which_optimizers_average(name):
    """The schedule of a trial follows from the table, that of a training from the class."""
    assert DEFAULTS[name].schedule_free == is_schedule_free(linear_model(name).optimizer)


def gradients(weights):
    """Return the gradients of the cross-entropy of a network of two linear layers, in float64."""
    kernel, bias, last, shift = weights
    hidden = X @ kernel + bias
    logits = hidden @ last + shift
    errors = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    errors[np.arange(12), Y] -= 1
    errors /= 12
    back = errors @ last.T
    return [X.T @ back, back.sum(0), hidden.T @ errors, errors.sum(0)]


def decayed(weights):
    return [DECAY * weight if weight.ndim == 2 else 0 * weight for weight in weights]


def adamw(weights):
    """Yield the weights after each step, as in Loshchilov & Hutter 2019, algorithm 2."""
    m = v = [0.0] * len(weights)
    for t, rate in enumerate(RATES, 1):
        g = gradients(weights)
        m = [0.9 * a + 0.1 * b for a, b in zip(m, g, strict=True)]
        v = [0.999 * a + 0.001 * b**2 for a, b in zip(v, g, strict=True)]
        steps = [a / (1 - 0.9**t) / (np.sqrt(b / (1 - 0.999**t)) + 1e-7) for a, b in zip(m, v, strict=True)]
        weights = [w - rate * (s + d) for w, s, d in zip(weights, steps, decayed(weights), strict=True)]
        yield weights


def schedule_free_adamw(weights):
    """Yield y, x and z after each step, as in Defazio et al. 2024, algorithm 1. x is a plain mean, not a recursion."""
    y, z, v, points = weights, weights, [0.0] * len(weights), []
    for t, rate in enumerate(RATES, 1):
        g = gradients(y)
        v = [0.999 * a + 0.001 * b**2 for a, b in zip(v, g, strict=True)]
        steps = [a / (np.sqrt(b / (1 - 0.999**t)) + 1e-8) for a, b in zip(g, v, strict=True)]
        z = [a - rate * (s + d) for a, s, d in zip(z, steps, decayed(y), strict=True)]
        points.append(z)
        x = [np.average(each, axis=0, weights=np.square(RATES[:t])) for each in zip(*points, strict=True)]
        y = [0.1 * a + 0.9 * b for a, b in zip(z, x, strict=True)]
        yield y, x, z


def step(model, rate):
    model.optimizer.learning_rate = rate
    model.train_on_batch(X, Y)


def assert_close(found, expected, **tolerance):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, **{"rtol": 1e-3, "atol": 2e-6, **tolerance})


def in_float64(model):
    return [weight.astype(np.float64) for weight in model.get_weights()]


def test_adamw_takes_the_steps_of_its_paper():
    model = linear_model("adamw")
    for rate, expected in zip(RATES, adamw(in_float64(model)), strict=True):
        step(model, rate)
        assert_close(model.get_weights(), expected)


@pytest.mark.parametrize("eager", [False, True])
def test_schedule_free_adamw_takes_the_steps_of_its_paper_and_ends_at_the_average(eager):
    model = linear_model("schedule_free_adamw", run_eagerly=eager)
    assert_close(evaluation_weights(model), model.get_weights(), rtol=0)
    for rate, (y, x, _) in zip(RATES, schedule_free_adamw(in_float64(model)), strict=True):
        step(model, rate)
        assert_close(model.get_weights(), y)
        assert_close(evaluation_weights(model), x)
    end_at_the_average(model)
    assert_close(model.get_weights(), x)
    assert_close(evaluation_weights(model), model.get_weights(), rtol=1e-6)  # a further training begins there


def test_the_warm_up_of_keras_is_a_rising_rate():
    paths = []
    for warmup, rates in ((3, [0.03] * 4), (0, [0.01, 0.02, 0.03, 0.03])):
        variable = keras.Variable([1.0, -2.0])
        optimizer = ScheduleFreeAdamW(0.03, warmup_steps=warmup, weight_decay=0.1)
        optimizer.build([variable])
        for number, rate in enumerate(rates):
            optimizer.learning_rate = rate
            optimizer.apply([keras.ops.array([0.5 + number, -1.0])])
        paths.append(np.array(variable))
    np.testing.assert_allclose(*paths, rtol=1e-6)


def assert_orthogonal(update, gradient):
    """Assert that an update has the singular vectors of a gradient, and singular values near 1.

    The five steps of Newton and Schulz end with values between 0.68 and 1.13 (Jordan et al. 2024), of a gradient whose
    singular values are not too far apart.
    """
    u, values, v = np.linalg.svd(gradient, full_matrices=False)
    u, v = u[:, values > 1e-3 * values[0]], v[values > 1e-3 * values[0]]
    inner = u.T @ update @ v.T
    assert np.all((np.diag(inner) > 0.65) & (np.diag(inner) < 1.2))
    np.testing.assert_allclose(inner, np.diag(np.diag(inner)), atol=2e-3)


def test_muon_takes_steps_along_the_orthogonal_factor():
    model = linear_model("muon")
    kernel, _, last, _ = before = in_float64(model)
    gradient = gradients(before)
    step(model, 0.01)
    found = model.get_weights()
    update = (kernel * (1 - 0.01 * DECAY) - found[0]) / (0.01 * 0.2 * 7**0.5)
    assert_orthogonal(update, gradient[0])
    # the classifier and the biases take the first step of AdamW, along the signs
    np.testing.assert_allclose(found[2], last * (1 - 0.01 * DECAY) - 0.01 * np.sign(gradient[2]), rtol=1e-3)
    np.testing.assert_allclose(found[1], -0.01 * np.sign(gradient[1]), rtol=1e-3)


@pytest.mark.parametrize(
    ("shape", "path", "rows"),
    [
        ((3, 3, 2, 5), "conv/kernel", 18),
        ((3, 2, 5), "conv/kernel", 6),
        ((8, 2, 3), "attention/query/kernel", 8),
        ((2, 3, 8), "attention/attention_output/kernel", 6),
    ],
)
def test_muon_flattens_kernels_to_matrices(shape, path, rows):
    *scopes, name = path.split("/")
    with contextlib.ExitStack() as stack:
        for scope in scopes:
            stack.enter_context(keras.name_scope(scope))
        variable = keras.Variable(np.zeros(shape), dtype="float32", name=name)
    gradient = np.random.default_rng(3).normal(size=shape)
    optimizer = Muon(0.1, rms_rate=None)
    optimizer.build([variable])
    optimizer.apply([keras.ops.array(gradient, "float32")])
    assert_orthogonal(-np.array(variable).reshape(rows, -1) / 0.1, gradient.reshape(rows, -1))


def test_muon_leaves_classifiers_embeddings_and_vectors_to_adamw():
    resnet = bnzoo.ResNetCifar(depth=8, input_shape=(8, 8, 1), classes=3)
    vit = bnzoo.ViT(depth=1, width=8, heads=2, patch_size=4, input_shape=(8, 8, 1), classes=3)
    for model in (resnet, vit):
        optimizer = Optimizer("muon").make(0.01, 0.0, model)
        optimizer.build(model.trainable_variables)
        pairs = zip(model.trainable_variables, optimizer.adam_velocities, strict=True)
        left = {variable.path for variable, velocity in pairs if velocity is not None}
        kernels = [variable.path for variable in model.trainable_variables if variable.name == "kernel"]
        expected = {kernels[-1], *(path for path in kernels if "embedding" in path)}
        assert left & set(kernels) == expected
        assert left - set(kernels) == {v.path for v in model.trainable_variables} - set(kernels)
        assert len(expected) < len(kernels) / 2


@pytest.mark.parametrize("name", DEFAULTS)
def test_an_optimizer_is_made_again_from_its_config(name):
    model = linear_model(name)
    made = model.optimizer
    again = type(made).from_config(made.get_config())
    assert again.get_config() == made.get_config()
    assert made.weight_decay == DECAY


class Watched(keras.callbacks.Callback):
    """Note the first weight in the course of an epoch."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def _note(self, name):
        self.seen[name] = values_of(self.model.trainable_variables)

    def on_train_batch_end(self, batch, logs=None):
        self._note("step")

    def on_epoch_end(self, epoch, logs=None):
        self._note("end")


def test_callbacks_see_the_average_after_a_validation_and_the_training_goes_on_from_its_own_weights():
    model, watched, last = linear_model("schedule_free_adamw"), Watched(), Watched()
    data = {"x": X, "y": Y, "validation_data": (X, Y), "batch_size": 12, "shuffle": False, "verbose": 0}
    options = {"learning_rate": 0.05, "schedule": schedule_named("constant"), "epochs": 3}
    history = fit(model, **data, **options, callbacks=[watched], last=[last]).history
    assert_close(last.seen["end"], last.seen["step"], rtol=0, atol=0)
    assert_close(watched.seen["end"], evaluation_weights(model), rtol=0, atol=0)
    plain = linear_model("schedule_free_adamw")
    for _ in range(3):
        step(plain, 0.05)
    assert_close(model.get_weights(), plain.get_weights(), rtol=0, atol=0)
    end_at_the_average(model)
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-5)
    assert history["val_loss"][-1] != pytest.approx(plain.evaluate(X, Y, verbose=0), rel=1e-5)


def test_a_momentum_is_for_optimizers_that_have_one():
    assert [Optimizer(name).momentum for name in DEFAULTS] == [0.9, None, 0.95, None]
    for name in ("adamw", "schedule_free_adamw"):
        with pytest.raises(ValueError, match="`momentum` is for optimizer='sgd' and optimizer='muon'"):
            Optimizer(name, 0.9)
