"""Batch norm, compared with Keras' layer and with NumPy. On JAX the layer is Keras' layer, except for its files."""

import copy
import pickle
import subprocess
import sys

import backend
import keras
import numpy as np
import numpy_norms
import pytest
import tensorflow as tf
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st
from norm_cases import SHAPES, inputs, shake, weights

import bnzoo
from bnzoo.layers import BatchNormalization
from bnzoo.tools import recalibrate_batch_norm, replace_norm
from recipes.benchmarks.training.contestants import with_keras_norm

L = keras.layers
Stock = L.BatchNormalization
# dtype of the inputs -> policy, tolerance relative to the largest value: many roundings in float32, one in 16 bits
DTYPES = {"float32": ("float32", 1e-5), "float16": ("mixed_float16", 1e-3), "bfloat16": ("mixed_bfloat16", 8e-3)}
AXES = [(2, -1), (3, -1), (3, 1), (4, -1), (4, 1), (5, -1), (5, 1)]
# `stepping` can only train on JAX
TRAINING = [True, pytest.param(False, marks=backend.tensorflow_only)]
IMAGES = (6, 4, 3, 4)
CPUS = tf.config.list_physical_devices("CPU")


def see(patch, gpu):
    """Simulate a machine with or without a GPU. The CPU can also compute the cases that are fused only on a GPU."""
    devices = {"GPU": ["a GPU"] if gpu else [], None: CPUS}
    patch.setattr(tf.config, "list_physical_devices", lambda kind=None: devices[kind])


@pytest.fixture
def gpu(monkeypatch):
    see(monkeypatch, gpu=True)


@pytest.fixture
def cpu(monkeypatch):
    see(monkeypatch, gpu=False)


def pair(shape, **options):
    """Return our layer and Keras' layer with the same random weights."""
    layers = [cls(**{"momentum": 0.9, "epsilon": 1e-5, **options}) for cls in (BatchNormalization, Stock)]
    for layer in layers:
        layer.build((None, *shape[1:]))
        shake(layer)
    return layers


def called(layer, x, **options):
    """Return the outputs, and the weights after the call."""
    outputs = layer(keras.ops.cast(x, layer.compute_dtype), **options)
    return {"outputs": np.asarray(outputs).astype("float64"), **weights(layer)}


def loss(outputs):
    """Return a weighted sum, exact in 16 bits. An unweighted sum after a norm would have zero gradients."""
    flat = keras.ops.reshape(keras.ops.cast(outputs, "float32"), (-1,))
    return keras.ops.sum(flat * (keras.ops.cast(7 * keras.ops.arange(keras.ops.size(flat)) % 16, "float32") / 8 - 1))


def stepping(layer, shape, training=True, how="eager"):
    """Trace the layer as a function of any batch size that returns outputs, gradients and moving statistics by name."""

    def differentiate(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=training)
            value = loss(outputs)
        by_variables, by_input = tape.gradient(value, ([v.value for v in layer.trainable_variables], x))
        return by_variables, by_input, outputs

    def step(x):
        x = keras.ops.cast(x, layer.compute_dtype)
        if backend.BACKEND == "tensorflow":
            by_variables, by_input, outputs = differentiate(x)
        else:
            by_variables, by_input, outputs = backend.all_gradients(layer, x, loss)
        by_name = zip([f"by {v.name}" for v in layer.trainable_variables], by_variables, strict=True)
        moving = {v.name: v.value for v in layer.non_trainable_variables}
        made = {"outputs": outputs, "by x": by_input, **dict(by_name), **moving}
        return {name: np.asarray(value) for name, value in made.items()}

    if how != "eager":
        signature = [tf.TensorSpec((None, *shape[1:]), layer.compute_dtype)]
        differentiate = tf.function(differentiate, input_signature=signature, jit_compile=how == "compiled")
    return step


def reference(layer, x, training=True):
    """Return the expected results of a step in float64, with gradients by central differences."""
    x = np.asarray(keras.ops.cast(x, layer.compute_dtype)).astype("float64")
    given = {**weights(layer), "x": np.moveaxis(x, layer.axis, -1)}

    def normalize(at):
        if training:
            return numpy_norms.batch(at["x"], at, {"momentum": layer.momentum, "epsilon": layer.epsilon})
        deviation = np.sqrt(at["moving_variance"] + layer.epsilon)
        outputs, _ = numpy_norms.affine((at["x"] - at["moving_mean"]) / deviation, at)
        return outputs, {name: at[name] for name in ("moving_mean", "moving_variance")}

    def weighted_sum(outputs):
        return np.sum(np.moveaxis(outputs, -1, layer.axis).ravel() * (7 * np.arange(x.size) % 16 / 8 - 1))

    def by(name):
        return numpy_norms.gradient(lambda value: weighted_sum(normalize({**given, name: value})[0]), given[name])

    outputs, moving = normalize(given)
    of_the_shape = {"outputs": outputs, "by x": by("x")}
    made = {name: np.moveaxis(value, -1, layer.axis) for name, value in of_the_shape.items()}
    return {**made, **{f"by {name}": by(name) for name in ("gamma", "beta") if name in given}, **moving}


def assert_same(got, expected, tolerance):
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        # moving statistics are float32 for any inputs
        limit = min(tolerance, 1e-5) if name.startswith("moving") else tolerance
        value = value.astype("float64")
        np.testing.assert_allclose(got[name], value, rtol=0, atol=limit * max(1, np.abs(value).max()), err_msg=name)


@pytest.mark.parametrize("training", TRAINING)
@pytest.mark.parametrize(
    "dtype", ["float32", *(pytest.param(dtype, marks=backend.tensorflow_only) for dtype in ("float16", "bfloat16"))]
)
@pytest.mark.parametrize(("rank", "axis"), AXES)
def test_a_step_is_that_of_keras_and_of_numpy(gpu, rank, axis, dtype, training):
    shape, (policy, tolerance) = SHAPES[rank], DTYPES[dtype]
    ours, stock = pair(shape, axis=axis, dtype=policy)
    x = inputs(shape)
    expected = reference(ours, x, training)
    got = stepping(ours, shape, training)(x)
    assert_same(got, stepping(stock, shape, training)(x), tolerance)
    assert_same(got, expected, tolerance)
    assert {value.dtype.name for name, value in got.items() if name in ("outputs", "by x")} == {dtype}
    assert got["moving_variance"].dtype == got["moving_mean"].dtype == "float32"


@pytest.mark.parametrize("training", TRAINING)
@pytest.mark.parametrize("without", [["center"], ["scale"], ["center", "scale"]], ids=" and ".join)
def test_a_step_without(without, training):
    ours, stock = pair(IMAGES, **dict.fromkeys(without, False))
    x = inputs(IMAGES)
    expected = reference(ours, x, training)
    got = stepping(ours, IMAGES, training)(x)
    assert_same(got, stepping(stock, IMAGES, training)(x), 1e-5)
    assert_same(got, expected, 1e-5)


@backend.tensorflow_only
@pytest.mark.parametrize(
    ("how", "rank", "axis", "dtype"),
    [
        *(("traced", rank, axis, "float32") for rank, axis in ((2, -1), (3, -1), (4, 1), (5, 1))),
        ("traced", 4, -1, "bfloat16"),
        ("compiled", 3, -1, "float32"),
    ],
)
def test_one_function_takes_every_size_of_batch(gpu, how, rank, axis, dtype):
    shape, (policy, tolerance) = SHAPES[rank], DTYPES[dtype]
    ours, stock = (stepping(layer, shape, how=how) for layer in pair(shape, axis=axis, dtype=policy))
    for size in (5, 2, 8) if how == "traced" else (5,):  # XLA compiles again for each size
        x = inputs((size, *shape[1:]), seed=size)
        assert_same(ours(x), stock(x), tolerance)


@given(
    shape=st.lists(st.integers(1, 4), min_size=2, max_size=5),
    place=st.integers(1, 4),
    negative=st.booleans(),
    epsilon=st.sampled_from([1e-5, 1e-3, 0.1]),
    momentum=st.floats(0, 1),
    training=st.booleans(),
)
@settings(max_examples=25 if backend.BACKEND == "tensorflow" else 5, derandomize=True, deadline=None)
def test_any_shape_and_axis(shape, place, negative, epsilon, momentum, training):
    axis = min(place, len(shape) - 1) - negative * len(shape)
    x = inputs(shape, seed=sum(shape))
    with pytest.MonkeyPatch.context() as patch:
        see(patch, gpu=True)
        ours, stock = pair(shape, axis=axis, epsilon=epsilon, momentum=momentum)
        assert_same(called(ours, x, training=training), called(stock, x, training=training), 1e-4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_variables_of_16_bits(dtype, training):
    ours, stock = pair(IMAGES, dtype=dtype)
    assert {weight.dtype for weight in ours.weights} == {dtype}
    got, expected = (called(layer, inputs(IMAGES), training=training) for layer in (ours, stock))
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=DTYPES[dtype][1], atol=DTYPES[dtype][1], err_msg=name)


@backend.tensorflow_only
@pytest.mark.parametrize(
    ("rank", "axis", "dtype"), [*((rank, axis, "float32") for rank, axis in AXES), (4, -1, "bfloat16")]
)
def test_second_derivatives_are_those_of_keras(gpu, rank, axis, dtype):
    policy, tolerance = DTYPES[dtype]
    found = []
    for layer in pair(SHAPES[rank], axis=axis, dtype=policy):
        x = keras.ops.cast(inputs(SHAPES[rank]), dtype)
        sources = [x, *(v.value for v in layer.trainable_variables)]
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                value = loss(layer(x, training=True))
            first = inner.gradient(value, sources)
            norm = sum(keras.ops.sum(keras.ops.cast(gradient, "float32") ** 2) for gradient in first)
        found.append([np.asarray(gradient).astype("float64") for gradient in outer.gradient(norm, sources)])
    for ours, stock in zip(*found, strict=True):
        # several intermediate values are rounded to 16 bits
        np.testing.assert_allclose(ours, stock, rtol=0, atol=4 * tolerance * np.abs(stock).max())


# shape, arguments, arguments of the call, `True` if the kernel runs on a CPU, `True` if on a GPU
WHERE = {
    "images": (IMAGES, {}, {"training": True}, True, True),
    "images in float16": (IMAGES, {"dtype": "mixed_float16"}, {"training": True}, True, True),
    "images in bfloat16": (IMAGES, {"dtype": "mixed_bfloat16"}, {"training": True}, True, True),
    "sequences": ((6, 4, 3), {}, {"training": True}, True, True),
    "volumes": ((6, 2, 2, 2, 3), {}, {"training": True}, True, True),
    "the last axis by its number": (IMAGES, {"axis": 3}, {"training": True}, True, True),
    "vectors": ((6, 3), {}, {"training": True}, False, True),
    "channels first": (IMAGES, {"axis": 1}, {"training": True}, False, True),
    "another axis": (IMAGES, {"axis": 2}, {"training": True}, False, False),
    "six axes": ((2, 2, 2, 2, 2, 3), {}, {"training": True}, False, False),
    "a mask": (IMAGES, {}, {"training": True, "mask": np.ones(IMAGES[:-1], bool)}, False, False),
    "renorm": (IMAGES, {"renorm": True}, {"training": True}, False, False),
    "synchronized": (IMAGES, {"synchronized": True}, {"training": True}, False, False),
    "float64": (IMAGES, {"dtype": "float64"}, {"training": True}, False, False),
    "inference": (IMAGES, {}, {}, False, False),
    "inference in bfloat16": (IMAGES, {"dtype": "mixed_bfloat16"}, {}, False, False),
    "under XLA": (IMAGES, {}, {"training": True, "compiled": True}, False, False),
    "frozen": (IMAGES, {"trainable": False}, {"training": True}, False, False),
}


def operations(layer, shape, compiled=False, **options):
    options = {name: tf.constant(value) if name == "mask" else value for name, value in options.items()}
    function = tf.function(lambda x: layer(x, **options), autograph=False, jit_compile=compiled)
    return function.get_concrete_function(tf.TensorSpec((None, *shape[1:]), layer.compute_dtype)).graph.get_operations()


@backend.tensorflow_only
@pytest.mark.parametrize("case", WHERE)
def test_where_the_kernel_runs(monkeypatch, case):
    shape, arguments, options, *expected = WHERE[case]
    found = []
    for gpu in (False, True):
        see(monkeypatch, gpu)
        layer = BatchNormalization(**arguments)
        layer.build((None, *shape[1:]))
        kernels = [op for op in operations(layer, shape, **options) if op.type == "FusedBatchNormV3"]
        found.append(bool(kernels))
        assert all(op.get_attr("is_training") for op in kernels)
    assert found == expected


@backend.tensorflow_only
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_inputs_of_16_bits_are_not_copied_to_float32(cpu, dtype):
    casts = [
        sum(op.type == "Cast" and op.inputs[0].shape.rank == 4 for op in operations(layer, IMAGES, training=True))
        for layer in pair(IMAGES, dtype=DTYPES[dtype][0])
    ]
    assert casts == [0, 2]  # Keras casts up, and down again


def test_frozen_it_normalizes_by_the_moving_statistics():
    ours, stock = pair(IMAGES, trainable=False)
    before = weights(ours)
    got = called(ours, inputs(IMAGES), training=True)
    assert_same(got, called(stock, inputs(IMAGES), training=False), 1e-6)
    for name, value in before.items():
        np.testing.assert_array_equal(got[name], value)


@pytest.mark.parametrize("shape", [(1, 3), (1, 1, 3), (1, 1, 1, 3), (2, 1, 1, 3), (2, 1, 1, 1, 3)], ids=str)
def test_the_moving_variance_is_the_biased_one(gpu, shape):
    """The biased variance of a single value is 0. The unbiased variance does not exist."""
    ours, _ = pair(shape, momentum=0.75)
    before, x = weights(ours)["moving_variance"], inputs(shape)
    got = called(ours, x, training=True)
    spread = x.reshape(-1, 3).var(0)
    np.testing.assert_allclose(got["moving_variance"], 0.75 * before + 0.25 * spread, rtol=1e-6)
    if shape[0] == 1:
        np.testing.assert_allclose(got["outputs"], np.broadcast_to(weights(ours)["beta"], shape), atol=1e-4)


EMPTY = {
    "no examples": ((0, 4, 3, 2), {}, {}),
    "no examples, vectors": ((0, 3), {}, {}),
    "no examples, channels first": ((0, 3, 4, 2), {"axis": 1}, {}),
    "no examples, float16": ((0, 4, 3, 2), {"dtype": "mixed_float16"}, {}),
    "no examples, renorm": ((0, 4, 3, 2), {"renorm": True}, {}),
    "all masked, renorm": ((6, 4, 2), {"renorm": True}, {"mask": np.zeros((6, 4), bool)}),
    "all masked": ((6, 4, 2), {}, {"mask": np.zeros((6, 4), bool)}),
}


@pytest.mark.parametrize("case", EMPTY)
def test_without_a_value_the_statistics_stay(gpu, case):
    shape, arguments, options = EMPTY[case]
    layer, _ = pair(shape, **arguments)
    before = weights(layer)
    got = called(layer, np.ones(shape), training=True, **options)
    assert got["outputs"].shape == shape
    for name, value in before.items():
        np.testing.assert_array_equal(got[name], value)


@pytest.mark.parametrize(
    ("how", "dtype"),
    [
        ("eager", "float32"),
        ("eager", "float16"),
        pytest.param("traced", "float32", marks=backend.tensorflow_only),
        pytest.param("compiled", "float32", marks=backend.tensorflow_only),
    ],
)
def test_a_mean_far_from_zero(how, dtype):
    """The values include some whose squares overflow float16."""
    shape, offset, spread = (16, 8, 8, 4), *{"float32": (1000, 1), "float16": (600, 10)}[dtype]
    ours, _ = pair(shape, momentum=0, dtype=DTYPES[dtype][0])
    x = np.random.default_rng(0).normal(offset, spread, shape).astype(dtype)
    got = stepping(ours, shape, how=how)(x)
    exact = x.astype("float64")
    np.testing.assert_allclose(got["moving_variance"], exact.var((0, 1, 2)), rtol=1e-4)
    expected, _ = numpy_norms.batch(exact, weights(ours), {"momentum": 0, "epsilon": 1e-5})
    np.testing.assert_allclose(got["outputs"], expected, atol=5e-3)


@pytest.mark.parametrize("value", [33333333.0, 6e7])
@pytest.mark.parametrize("how", ["eager", pytest.param("compiled", marks=backend.tensorflow_only)])
def test_equal_values_have_no_variance(how, value):
    shape = (16, 8, 8, 4)
    ours, _ = pair(shape, momentum=0)
    got = stepping(ours, shape, how=how)(np.full(shape, value))
    np.testing.assert_array_equal(got["moving_variance"], 0)
    np.testing.assert_array_equal(got["moving_mean"], np.float32(value))
    np.testing.assert_array_equal(got["outputs"], np.broadcast_to(weights(ours)["beta"], shape))


@backend.tensorflow_only
def test_many_values_added_up_do_not_spoil_the_mean(cpu):
    x = np.random.default_rng(0).normal(1000, 1, (64, 64, 64, 2)).astype("float32")
    ours, stock = pair(x.shape, momentum=0)
    exact = x.mean((0, 1, 2), "float64")
    errors = [abs(called(layer, x, training=True)["moving_mean"] - exact).max() for layer in (ours, stock)]
    assert errors[0] < 1e-4 < 1e-3 < errors[1]  # the precision of float32, and the error of Keras' layer


@backend.tensorflow_only
@pytest.mark.parametrize(("offset", "spread"), [(0, 1), (1e5, 4)])
def test_a_function_that_xla_compiles_after_it_was_traced(cpu, offset, spread):
    shape = (8, 4, 4, 3)
    x = tf.constant(np.random.default_rng(0).normal(offset, spread, shape), "float32")
    found = []
    for compiled in (False, True):
        layer, _ = pair(shape, momentum=0)

        @tf.function(input_signature=[tf.TensorSpec((None, *shape[1:]))])
        def inner(x, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = layer(x, training=True)
                value = loss(outputs)
            return outputs, tape.gradient(value, x)

        inner.get_concrete_function()
        outputs, gradient = tf.function(lambda x, inner=inner: inner(x), jit_compile=compiled)(x)
        found.append({"outputs": outputs.numpy(), "gradient": gradient.numpy(), **weights(layer)})
    # around 1e5 the mean of TensorFlow's kernel is wrong by up to 0.03, 0.008 standard deviations, on some processors
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-4, atol=5e-3 * spread, err_msg=name)
    np.testing.assert_allclose(found[1]["moving_variance"], np.var(x, (0, 1, 2), "float64"), rtol=1e-4)


@backend.tensorflow_only
def test_channels_that_a_data_set_does_not_tell(cpu):
    ours, stock = (stepping(layer, (None,) * 4, how="traced")(inputs(IMAGES)) for layer in pair(IMAGES))
    assert_same(ours, stock, 1e-5)


def test_inputs_that_are_not_cast(cpu):
    """A float32 layer with `autocast=False` returns unrounded float32 for float16 inputs."""
    x = keras.ops.cast(inputs(IMAGES), "float16")
    ours, stock = (np.asarray(layer(x, training=True)) for layer in pair(IMAGES, autocast=False))
    np.testing.assert_allclose(ours, stock, atol=1e-5)


ARGUMENTS = {
    "defaults": {},
    "all": {
        "axis": 1,
        "momentum": 0.5,
        "epsilon": 0.1,
        "center": False,
        "gamma_initializer": "zeros",
        "gamma_regularizer": keras.regularizers.L2(0.1),
        "gamma_constraint": "non_neg",
        "dtype": "mixed_bfloat16",
        "trainable": False,
    },
}


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_a_file_describes_it_as_keras_layer(arguments):
    ours, stock = (cls(name="norm", **ARGUMENTS[arguments]) for cls in (BatchNormalization, Stock))
    assert ours.get_config() == stock.get_config()
    described = keras.saving.serialize_keras_object(stock)
    assert keras.saving.serialize_keras_object(ours) == {**described, "registered_name": "BatchNormalization"}


def network(cls, **options):
    """Build an image classifier with random weights, the same for each class of norms."""
    layers = [L.Conv2D(4, 3, name="conv"), cls(name="norm", **options), L.ReLU(), L.Flatten(), L.Dense(3, name="dense")]
    return zoo.shaken(keras.Sequential([keras.Input((6, 6, 2)), *layers]))


def norm_of(model):
    return model.get_layer("norm")


def assert_same_predictions(model, other):
    x = zoo.examples(model)
    np.testing.assert_allclose(np.asarray(model(x)), np.asarray(other(x)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("source", "target"), [(BatchNormalization, Stock), (Stock, BatchNormalization)])
def test_weights_of_one_are_weights_of_the_other(source, target, tmp_path):
    saved, other = network(source), network(target)
    other.set_weights([0 * weight for weight in other.get_weights()])
    saved.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same_predictions(saved, other)


@pytest.mark.parametrize(
    ("cls", "name", "by_bnzoo"),
    [
        (BatchNormalization, "model.keras", BatchNormalization),
        (Stock, "model.keras", Stock),
        # this format does not tell the two apart
        (BatchNormalization, "model.h5", BatchNormalization),
        (Stock, "model.h5", BatchNormalization),
    ],
)
def test_bnzoo_loads_the_layer_that_was_saved_and_keras_its_own(cls, name, by_bnzoo, tmp_path):
    model = network(cls, momentum=0.5)
    model.save(tmp_path / name)
    for load, expected in ((bnzoo.load_model, by_bnzoo), (keras.saving.load_model, Stock)):
        loaded = load(tmp_path / name)
        assert type(norm_of(loaded)) is expected
        assert norm_of(loaded).get_config() == norm_of(model).get_config()
        assert_same_predictions(model, loaded)


def test_keras_makes_its_own_layer_from_its_own_description():
    described = keras.layers.serialize(Stock(name="norm"))
    for config in (described, {key: described[key] for key in ("module", "class_name", "config")}):
        assert type(keras.layers.deserialize(config)) is Stock


WITHOUT_BNZOO = """
import sys, keras, numpy as np
model = keras.saving.load_model("model.keras")
assert type(model.get_layer("norm")) is keras.layers.BatchNormalization and "bnzoo" not in sys.modules
np.save("outputs.npy", model.predict(np.load("inputs.npy"), verbose=0))
"""


@pytest.mark.slow
def test_a_file_is_one_of_keras_where_bnzoo_is_not_imported(tmp_path):
    model = network(BatchNormalization)
    x = zoo.examples(model)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "inputs.npy", x)
    command = [sys.executable, "-c", WITHOUT_BNZOO]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), np.asarray(model(x)), rtol=1e-5, atol=1e-5)


COPIES = {
    "pickle": lambda original: pickle.loads(pickle.dumps(original)),
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("copied", COPIES)
def test_copies(copied):
    model = network(BatchNormalization, momentum=0.5)
    again = COPIES[copied](model)
    assert_same_predictions(model, again)
    norms = {Stock: norm_of(again), BatchNormalization: COPIES[copied](norm_of(model))}
    for cls, norm in norms.items():
        assert type(norm) is cls
        assert norm.get_config() == norm_of(model).get_config()
        for weight, expected in zip(norm.get_weights(), norm_of(model).get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_a_clone_of_a_model_has_it():
    model = network(BatchNormalization, momentum=0.5)
    clone = keras.models.clone_model(model)
    assert type(norm_of(clone)) is BatchNormalization
    assert norm_of(clone).momentum == 0.5
    clone.set_weights(model.get_weights())
    assert_same_predictions(model, clone)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.5, "epsilon": 0.1, "trainable": False}], ids=str)
def test_it_takes_the_place_of_the_one_of_keras(options):
    model = network(Stock, **options)
    new = replace_norm(model, "batch")
    assert type(norm_of(new)) is BatchNormalization
    assert norm_of(new).get_config() == norm_of(model).get_config()
    for weight, expected in zip(norm_of(new).get_weights(), norm_of(model).get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert_same_predictions(model, new)


def test_recalibration_is_that_of_the_one_of_keras():
    models = [network(cls) for cls in (BatchNormalization, Stock)]
    for model in models:
        recalibrate_batch_norm(model, zoo.examples(model, 20), batch_size=8)
    for got, expected in zip(*(norm_of(model).get_weights() for model in models), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5)


@backend.tensorflow_only
@pytest.mark.parametrize(("asked", "expected"), [("auto", False), (True, True)])
def test_without_a_gpu_models_are_compiled_where_that_is_asked_for(cpu, asked, expected):
    model = network(BatchNormalization)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=asked)
    assert model.jit_compile is expected
    before = norm_of(model).get_weights()
    x = zoo.examples(model, 4)
    history = model.fit(x, np.zeros(4), batch_size=4, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert all((old != new).all() for old, new in zip(before, norm_of(model).get_weights(), strict=True))


@pytest.mark.slow
@backend.tensorflow_only
def test_a_network_learns_as_with_the_one_of_keras(digits, cpu):
    x, y = digits.train.x, digits.train.y
    ours = bnzoo.ResNetCifar(8, input_shape=x.shape[1:])
    stock = with_keras_norm(ours)
    losses, accuracies = [], []
    for model, cls in ((ours, BatchNormalization), (stock, Stock)):
        assert {type(layer) for layer in model.layers if isinstance(layer, Stock)} == {cls}
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", jit_compile=False)
        model.optimizer.build(model.trainable_variables)  # a step that creates variables is traced twice
        batches = [slice(start, start + 32) for start in range(0, 30 * 32, 32)]
        losses.append([model.train_on_batch(x[batch], y[batch]) for batch in batches])
        accuracies.append((np.asarray(model(x[-200:])).argmax(-1) == y[-200:]).mean())
    np.testing.assert_allclose(losses[0][:5], losses[1][:5], rtol=1e-4)
    assert accuracies == pytest.approx([accuracies[1]] * 2, abs=0.05)
    assert min(accuracies) > 0.5
