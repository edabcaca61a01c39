import gc
import subprocess
import sys
import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops
from layer_checks import BACKEND, gradients, shake
from portable import ON_LINUX

from bnzoo.layers import Recompute

RANDOM = np.random.default_rng(0)
X = [RANDOM.normal(size=(8, 5, 5, channels)).astype("float32") for channels in (6, 4)]
Y = RANDOM.normal(size=(8, 3)).astype("float32")


def bottleneck(dropout=0.0, regularizer=None, dtype=None):
    """Build the part of a DenseNet layer that is cheap to compute and takes much memory."""
    features = [keras.Input((5, 5, 6)), keras.Input((5, 5, 4))]
    x = layers.Concatenate(name="concat", dtype=dtype)(features)
    x = layers.BatchNormalization(momentum=0.5, name="norm", dtype=dtype)(x)
    x = layers.ReLU(name="relu", dtype=dtype)(x)
    if dropout:
        x = layers.Dropout(dropout, seed=3, name="dropout", dtype=dtype)(x)
    x = layers.Conv2D(7, 1, kernel_regularizer=regularizer, activity_regularizer=regularizer, name="conv", dtype=dtype)(
        x
    )
    return keras.Model(features, x, name="bottleneck")


def network(wrap, **options):
    keras.utils.set_random_seed(1)
    features = [keras.Input((5, 5, 6)), keras.Input((5, 5, 4))]
    layer = bottleneck(**options)
    x = (Recompute(layer, name="bottleneck") if wrap else layer)(features)
    x = layers.Conv2D(3, 3, dtype=options.get("dtype"))(x)
    return keras.Model(features, layers.GlobalAveragePooling2D(dtype="float32")(x))


def same_weights(one, other):
    assert len(one.weights) == len(other.weights)
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=a.path)


EVERYTHING = {"dropout": 0.5, "regularizer": "l2"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "mode"),
    [({}, "graph"), (EVERYTHING, "eager"), (EVERYTHING, "graph"), (EVERYTHING, "jit")],
    ids=["plain-graph", "everything-eager", "everything-graph", "everything-jit"],
)
def test_fit_gives_what_the_layer_itself_gives(options, mode):
    """The test compares gradients, moving statistics, random numbers and losses over four steps with momentum."""
    if BACKEND == "jax" and mode != "jit":
        pytest.skip("JAX has no graph without XLA, and eagerly this takes 20 seconds")
    models, losses = [], []
    for wrap in (False, True):
        model = network(wrap, **options)
        model.compile(
            keras.optimizers.SGD(0.1, momentum=0.9), "mse", run_eagerly=mode == "eager", jit_compile=mode == "jit"
        )
        losses.append(model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0).history["loss"])
        models.append(model)
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    same_weights(*models)
    moving_mean = next(w for w in models[1].weights if w.name == "moving_mean")
    assert np.abs(moving_mean.numpy()).min() > 0


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the tape of TensorFlow")
def test_gradient_of_a_whole_tf_function():
    import tensorflow as tf

    gradients = []
    for wrap in (False, True):
        model = network(wrap, dropout=0.5)
        function = tf.function(model)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(function(X, training=True) ** 2)
        gradients.append(tape.gradient(loss, [v.value for v in model.trainable_variables]))
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


def test_moving_statistics_move_once_a_step():
    layer = Recompute(layers.BatchNormalization(momentum=0.75))
    x = X[0]
    gradients(layer, x, np.ones_like(x), training=True)  # under JAX this is pure and leaves no update behind
    layer(x, training=True)
    steps = 1 if BACKEND == "jax" else 2
    expected = (1 - 0.75**steps) * x.mean(axis=(0, 1, 2), dtype="float64")
    np.testing.assert_allclose(layer.layer.moving_mean, expected, rtol=1e-5)


@pytest.mark.parametrize("wrapped", ["layer", "nested"])
def test_gradients_of_any_layer(wrapped):
    def make():
        keras.utils.set_random_seed(2)
        if wrapped == "layer":
            return layers.Dense(3, activation="tanh")
        return keras.Sequential(
            [layers.Dense(3, activation="tanh"), layers.BatchNormalization(), Recompute(layers.Dense(2))]
        )

    x = X[0]
    plain, again = make(), Recompute(make())
    weight = RANDOM.normal(size=plain(x).shape)
    again(x)
    shake(plain)
    shake(again)
    by_input, by_variables = gradients(plain, x, weight, training=True)
    again_by_input, again_by_variables = gradients(again, x, weight, training=True)
    np.testing.assert_allclose(again_by_input, by_input, rtol=1e-4, atol=1e-5)
    assert len(by_variables) == len(again_by_variables) > 0
    for one, other in zip(by_variables, again_by_variables, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4)


def test_structures_and_integers():
    """Inputs are a dict, outputs a list. Some inputs are integers, which have no gradient."""
    words, scale = keras.Input((4,), dtype="int32", name="words"), keras.Input((1,), name="scale")
    x = layers.Embedding(10, 3)(words)
    inner = keras.Model({"words": words, "scale": scale}, [x, ops.squeeze(scale, -1)])
    inputs = {"words": np.array([[1, 2, 3, 9]]), "scale": np.array([[2.0]], "float32")}
    expected = inner(inputs)
    outputs = Recompute(inner)(inputs, training=True)
    assert isinstance(outputs, list)
    for one, other in zip(outputs, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_mixed_precision_of_the_layer():
    policy = "mixed_bfloat16"
    outputs = []
    for wrap in (False, True):
        model = network(wrap, dtype=policy)
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=BACKEND == "jax")
        model.fit(X, Y, batch_size=4, epochs=1, shuffle=False, verbose=0)
        outputs.append(model)
    layer = outputs[1].get_layer("bottleneck")
    assert layer.output.dtype == policy.removeprefix("mixed_")
    for a, b in zip(*(model.weights for model in outputs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_under_a_mixed_global_policy_variables_are_handed_over_unrounded():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inner = layers.Dense(1, use_bias=False, dtype="float32")
        model = keras.Sequential([keras.Input((1,)), Recompute(inner)])
    finally:
        keras.config.set_dtype_policy("float32")
    inner.set_weights([np.full((1, 1), 1 + 2**-20, "float32")])
    assert float(model(np.ones((1, 1)), training=True)[0, 0]) == 1 + 2**-20


def test_frozen():
    layer = Recompute(bottleneck(), trainable=False)
    assert not layer.layer.trainable
    model = network(True)
    model.trainable = False
    assert not model.trainable_variables
    before = [w.numpy() for w in model.weights]
    model(X, training=True)
    for w, old in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(w, old)
    assert not model.get_layer("bottleneck").layer.trainable


def test_save_load_and_clone(tmp_path):
    model = network(True, dropout=0.5, regularizer="l2")
    shake(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(loaded.losses) == 1
    expected = model.predict(X, verbose=0)
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), expected)
    layer = loaded.get_layer("bottleneck")
    assert isinstance(layer, Recompute)
    assert [type(inner) for inner in layer.layer.layers] == [type(inner) for inner in bottleneck(0.5).layers]

    model.save_weights(tmp_path / "model.weights.h5")
    clone = keras.models.clone_model(model)
    clone.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(clone.predict(X, verbose=0), expected)


def test_symbolic_shapes():
    layer = Recompute(bottleneck())
    assert layer.compute_output_shape([(None, 5, 5, 6), (None, 5, 5, 4)]) == (None, 5, 5, 7)
    assert [w.path for w in layer.weights] == [w.path for w in layer.layer.weights] != []


class Noise(keras.Layer):
    """A layer that draws from the global random generator."""

    def call(self, inputs):
        return inputs + keras.random.normal(inputs.shape)


def test_refusals():
    if BACKEND == "tensorflow":  # under JAX Keras refuses such a layer itself
        layer = Recompute(Noise())
        assert layer(X[0]).shape == X[0].shape
        with pytest.raises(ValueError, match=r"`layer` must hold all variables.*changes 1 other variable"):
            layer(X[0], training=True)
    with pytest.raises(ValueError, match="`dtype` is an argument of the wrapped layer"):
        Recompute(layers.Dense(2), dtype="float16")
    with pytest.raises(ValueError, match="Keras layer"):
        Recompute("dense")


class Probe(keras.Layer):
    """An exponential that counts its computations."""

    calls = 0

    def call(self, inputs):
        self.calls += 1
        return ops.exp(inputs)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the tape of TensorFlow")
@pytest.mark.parametrize("wrap", [False, True])
def test_the_tape_of_tensorflow_keeps_nothing_of_the_inside(wrap):
    import tensorflow as tf

    class Kept:
        """A token that lives as long as the tensors that a `TapeProbe` keeps for the backward pass."""

    class TapeProbe(Probe):
        def call(self, inputs):
            kept = Kept()
            self.kept = weakref.ref(kept)

            @tf.custom_gradient
            def exponential(x):
                outputs = tf.exp(x)
                return outputs, lambda upstream, kept=kept: upstream * outputs

            self.calls += 1
            return exponential(inputs)

    probe = TapeProbe()
    inner = keras.Sequential([probe, layers.Dense(2)])
    layer = Recompute(inner) if wrap else inner
    x = tf.constant(X[0])
    layer(x)
    for training in (True, False):
        again = wrap and training
        probe.calls = 0
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(layer(x, training=training))
        gc.collect()
        assert (probe.kept() is None) == again
        assert probe.calls == 1
        gradient = tape.gradient(y, x)
        assert probe.calls == 1 + again
        np.testing.assert_allclose(gradient, np.exp(X[0]) * inner.layers[-1].kernel.numpy().sum(-1), rtol=1e-4)


@pytest.mark.skipif(BACKEND != "jax", reason="the residuals of JAX")
def test_in_jax_only_inputs_and_variables_are_kept():
    import jax

    def kept(layer, training):
        layer(X[0])

        def function(values, x):
            with keras.StatelessScope(list(zip(layer.trainable_variables, values, strict=True))):
                return layer(x, training=training)

        values = [v.value for v in layer.trainable_variables]
        _, backward = jax.vjp(function, values, X[0])
        return sum(leaf.size for leaf in jax.tree_util.tree_leaves(backward) if leaf.ndim > 2)

    def inner():
        return keras.Sequential([layers.Dense(64, activation="tanh"), layers.Dense(64, activation="tanh")])

    inputs, activation = X[0].size, X[0].size // 6 * 64
    assert kept(inner(), training=True) >= inputs + 2 * activation
    assert kept(Recompute(inner()), training=True) == inputs
    assert kept(Recompute(inner()), training=False) >= inputs + 2 * activation


def test_the_second_pass_is_not_merged_with_the_first():
    """XLA merges equal computations unless something separates them."""
    inner = keras.Sequential([keras.Input((6,)), Probe(), layers.Dense(2)])
    layer = Recompute(inner)
    x = X[0][:, 0, 0]
    layer(x)
    values = [v.value for v in layer.trainable_variables]
    if BACKEND == "jax":
        import jax

        def loss(values, x):
            with keras.StatelessScope(list(zip(layer.trainable_variables, values, strict=True))):
                return ops.sum(layer(x, training=True) ** 2)

        # the result depends on the compiler: that for CPUs removes the barrier
        assert "optimization_barrier" in jax.jit(jax.grad(loss)).lower(values, x).as_text()
    else:
        import tensorflow as tf

        @tf.function(jit_compile=True)
        def step(x, training):
            with tf.GradientTape() as tape:
                y = tf.reduce_sum(layer(x, training=training) ** 2)
            return tape.gradient(y, values)

        def exponentials(training):
            program = step.experimental_get_compiler_ir(tf.constant(x), training)(stage="optimized_hlo")
            return program.count(" exponential(")

        assert exponentials(True) == 2 * exponentials(False) > 0


PEAK = """
import sys, keras, numpy as np
from keras import layers
from bnzoo.layers import Recompute

def highest():
    # not ru_maxrss: a process inherits that of the one which started it
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(status["VmHWM"].split()[0])

wrap, mode = sys.argv[1] == "True", sys.argv[2]
x = inputs = keras.Input((64, 64, 8))
for _ in range(8):
    y = feature = keras.Input((64, 64, 8))
    y = layers.Concatenate()([y] * 8)
    y = layers.BatchNormalization()(y)
    y = layers.Activation("swish")(y)
    inner = keras.Model(feature, layers.Conv2D(8, 1)(y))
    x = layers.Add()([x, (Recompute(inner) if wrap else inner)(x)])
model = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
model.compile("sgd", "mse", jit_compile=mode == "jit", run_eagerly=mode == "eager")
x, y = np.ones((32, 64, 64, 8), "float32"), np.ones((32, 8), "float32")
model.train_on_batch(x[:1], y[:1])
before = highest()
model.train_on_batch(x, y)
print(highest() - before)
"""


@pytest.mark.slow
@ON_LINUX
@pytest.mark.skipif(BACKEND != "tensorflow", reason="XLA schedules the second pass of JAX too early on a CPU")
@pytest.mark.parametrize("mode", ["eager", "graph", "jit"])
def test_peak_memory_of_a_step(mode):
    def peak(wrap):
        command = [sys.executable, "-c", PEAK, str(wrap), mode]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])

    assert peak(True) < 0.5 * peak(False)
