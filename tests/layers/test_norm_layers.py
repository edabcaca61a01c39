"""Properties of the layers of all norms."""

import json

import backend
import keras
import numpy as np
import numpy_norms
import pytest
from norm_cases import MASKED, NAMES, SHAPES, assert_close, assert_gradients_close, call, case, inputs, weights

import bnzoo
from bnzoo import layers, norms
from bnzoo.norms.records import RECORDS

# these do the same with any mask
ELEMENTWISE = ("affine", "dynamic_tanh")
# that keep moving statistics
RUNNING = [name for name in NAMES if "batch" in name]
OWN = [name for name in NAMES if RECORDS[name].layer.__module__.startswith("bnzoo")]


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_outputs_state_and_gradients(name, rank):
    if (name, rank) == ("instance", 2):
        pytest.skip("every output would be constant")
    it, x = case(name, SHAPES[rank]), inputs(SHAPES[rank])
    before = weights(it.layer)
    upstream = np.random.default_rng(1).normal(size=x.shape)
    expected, state = it.reference(x, before, it.options)

    by_variables, by_input, outputs = backend.all_gradients(
        it.layer, x.astype(backend.DOUBLE), lambda y: keras.ops.sum(y * upstream.astype(backend.DOUBLE))
    )
    assert_close(np.asarray(outputs), expected)
    after = weights(it.layer)
    assert state.keys() == {v.name for v in it.layer.non_trainable_variables}
    for key, moved in state.items():
        assert_close(after[key], moved)
    if rank not in (2, 4):
        return  # numerical gradients are slow, and one rank with positions is representative

    def value(inputs=x, **changed):
        return np.sum(it.reference(inputs, {**before, **changed}, it.options, at=x)[0] * upstream)

    assert_gradients_close(by_input, numpy_norms.gradient(value, x))
    for variable, gradient in zip(it.layer.trainable_variables, by_variables, strict=True):

        def change(array, variable=variable):
            return value(**{variable.name: array})

        assert_gradients_close(gradient, numpy_norms.gradient(change, before[variable.name]))


@pytest.mark.parametrize("name", MASKED)
def test_what_is_masked_has_no_part_in_the_statistics(name):
    it, x = case(name, (5, 4, 6)), inputs((5, 4, 6))
    mask = np.random.default_rng(4).random((5, 4)) < 0.6
    mask[1] = True
    mask[3] = False
    expected, state = it.reference(x, weights(it.layer), it.options, mask)
    seen = mask if name in ("filter_response", "evonorm_s0") else np.ones_like(mask)
    outputs = call(it.layer, x, None if name in ELEMENTWISE else mask)
    assert_close(outputs[seen], expected[seen])
    after = weights(it.layer)
    for key, moved in state.items():
        assert_close(after[key], moved)
    assert it.layer.supports_masking


@pytest.mark.parametrize("name", [name for name in MASKED if name not in ELEMENTWISE])
def test_a_mask_of_the_inputs_reaches_the_layer(name):
    ids = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [1, 1, 1, 1]])
    it = case(name, (None, 4, 6))
    tokens = keras.Input((4,), dtype="int32")
    table = keras.layers.Embedding(4, 6, mask_zero=True, dtype=backend.DOUBLE)
    model = keras.Model(tokens, it.layer(table(tokens)))
    table.set_weights([inputs((4, 6))])
    expected, _ = it.reference(inputs((4, 6))[ids], weights(it.layer), it.options, ids != 0)
    outputs = np.asarray(model(ids, training=True))
    np.testing.assert_allclose(outputs[ids != 0], expected[ids != 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("shape", "mask"), [((5, 4, 6), np.zeros((5, 4), bool)), ((0, 4, 6), None)], ids=str)
@pytest.mark.parametrize("name", RUNNING)
def test_a_batch_without_a_value_moves_nothing(name, shape, mask):
    it = case(name, (5, 4, 6))
    before = weights(it.layer)
    assert np.isfinite(call(it.layer, inputs(shape), mask)).all()
    for key, value in weights(it.layer).items():
        np.testing.assert_array_equal(value, before[key])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", RUNNING)
def test_equal_values_are_normalized_to_zero(name, masked):
    shape = (16, 12, 6)
    it = case(name, shape, dtype="float32", momentum=0.0, **({"renorm_momentum": 0.0} if "renorm" in name else {}))
    mask = np.random.default_rng(0).random(shape[:-1]) < 0.5 if masked else None
    if name == "batch_renorm":
        it.layer.steps.assign(np.zeros(6))  # no correction yet
    outputs = call(it.layer, np.full(shape, 33333333.0, "float32"), mask)
    np.testing.assert_array_equal(outputs, np.broadcast_to(it.layer.beta, shape))
    np.testing.assert_allclose(it.layer.moving_variance, 0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in MASKED if name in OWN and name not in ELEMENTWISE])
def test_refuses_a_mask_of_another_rank(name):
    it = case(name, (5, 4, 6))
    with pytest.raises(ValueError, match=r"`mask` must have the shape of the inputs without .*Received: mask of shape"):
        call(it.layer, inputs((5, 4, 6)), np.ones((5, 4, 6), bool))


@pytest.mark.parametrize("rank", [4, 5])
@pytest.mark.parametrize("name", NAMES)
def test_channels_first_is_the_same_transposed(name, rank):
    x = inputs(SHAPES[rank])
    first = np.moveaxis(x, -1, 1)
    last_layer, first_layer = case(name, x.shape).layer, case(name, first.shape, axis=1).layer
    assert_close(call(first_layer, first), np.moveaxis(call(last_layer, x), -1, 1))
    for key, value in weights(last_layer).items():
        assert_close(weights(first_layer)[key], value)
    if name in MASKED and name in OWN and name not in ELEMENTWISE:
        mask = np.random.default_rng(4).random(x.shape[:-1]) < 0.6
        assert_close(call(first_layer, first, mask), np.moveaxis(call(last_layer, x, mask), -1, 1), 1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_statistics_are_float32_in_mixed_precision(name, policy):
    """The squares of the inputs overflow float16, and its resolution is a sixteenth of their standard deviation."""
    shape = (16, 4, 4, 6)
    low = policy.removeprefix("mixed_")
    rounded = keras.ops.convert_to_tensor((500 + 4 * inputs(shape)).astype("float32"))
    rounded = keras.ops.cast(rounded, low)
    it = case(name, shape, dtype=policy)
    before = {key: value.astype("float64") for key, value in weights(it.layer).items()}
    expected, state = it.reference(
        keras.ops.convert_to_numpy(keras.ops.cast(rounded, "float32")).astype("float64"), before, it.options
    )
    outputs = backend.forward(it.layer, rounded)
    assert str(outputs.dtype) == low
    outputs = outputs.astype("float64")
    unit = {"float16": 2**-11, "bfloat16": 2**-8}[low]
    rounding = 1.1 * unit
    np.testing.assert_allclose(outputs, expected, rtol=rounding, atol=2e-3)
    assert {keras.backend.standardize_dtype(w.dtype) for w in it.layer.weights} == {"float32"}
    for key, moved in state.items():
        np.testing.assert_allclose(weights(it.layer)[key], moved, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in NAMES if "batch" in name])
def test_a_frozen_layer_is_in_inference_mode(name):
    x = inputs((5, 4, 6))
    it = case(name, x.shape)
    it.layer.trainable = False
    before = weights(it.layer)
    standard = (x - before["moving_mean"]) / np.sqrt(before["moving_variance"] + 1e-5)
    expected = standard * before["gamma"] + before["beta"]
    assert_close(call(it.layer, x), expected)
    for key, value in weights(it.layer).items():
        np.testing.assert_array_equal(value, before[key])
    it.layer.trainable = True
    assert_close(np.asarray(it.layer(x.astype(backend.DOUBLE))), expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_saved_and_loaded(name, tmp_path):
    x = inputs((4, 3, 3, 4)).astype("float32")
    layer = case(name, (None, 3, 3, 4), dtype="float32").layer
    model = keras.Sequential([keras.Input((3, 3, 4)), layer])
    model.save(tmp_path / "model.keras")
    loaded = bnzoo.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[-1]) is type(layer)
    for _ in range(2):  # the second time after a step of training
        np.testing.assert_array_equal(np.asarray(loaded(x)), np.asarray(model(x)))
        np.testing.assert_array_equal(np.asarray(loaded(x, training=True)), np.asarray(model(x, training=True)))


@pytest.mark.parametrize("name", OWN)
def test_the_config_is_complete_and_building_does_not_change_it(name):
    cls = RECORDS[name].layer
    unusual = {
        "axis": 1,
        "center": False,
        "epsilon": 0.25,
        "momentum": 0.5,
        "batch": 3,
        "groups": 5,
        "initial_alpha": 0.75,
        "apply_activation": False,
        "tau_initializer": "ones",
        "v_initializer": "zeros",
        "gamma_initializer": "zeros",
        "gamma_regularizer": keras.regularizers.L2(0.5),
        "gamma_constraint": keras.constraints.NonNeg(),
        "rmax": 2.0,
        "dmax": 1.0,
        "rmax_steps": (3, 4),
        "dmax_steps": (5, 6),
        "renorm_momentum": 0.25,
    }
    record = RECORDS[name]
    known = record.options.keys() | (record.arguments & {"axis", "apply_activation"})
    layer = cls(name="unusual", **{key: value for key, value in unusual.items() if key in known})
    config = layer.get_config()
    layer.build((None, 4, 3, 3))
    assert layer.get_config() == config
    again = cls.from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    assert config["axis"] == 1


@pytest.mark.parametrize("name", [name for name in OWN if name != "rms"])
def test_center_scale_regularizers_and_constraints(name):
    layer = norms.get(name).layer(
        (None, 3, 4), center=False, gamma_regularizer=keras.regularizers.L1(0.5), gamma_constraint="non_neg"
    )
    layer.build((None, 3, 4))
    assert layer.beta is None
    assert float(layer.losses[0]) == pytest.approx(0.5 * 4)
    assert isinstance(layer.gamma.constraint, keras.constraints.NonNeg)
    x = inputs((5, 3, 4)).astype("float32")
    plain = norms.get(name).layer((None, 3, 4), scale=False, center=False)
    np.testing.assert_allclose(call(layer, x), call(plain, x), rtol=1e-5, atol=1e-6)
    assert not {"gamma", "beta"} & {weight.name for weight in plain.weights}


def test_unknown_sizes_and_the_shape_of_the_output():
    """The model has all norms, so that only one function is traced."""
    image = keras.Input((None, None, 4))
    of_norms = {name: case(name, (None, None, None, 4), dtype="float32").layer for name in NAMES}
    for name, layer in of_norms.items():
        assert layer.compute_output_shape((None, None, 7, 4)) == (None, None, 7, 4), name
    model = keras.Model(image, {name: layer(image) for name, layer in of_norms.items()})
    assert {name: output.shape for name, output in model.output.items()} == dict.fromkeys(NAMES, image.shape)
    for shape in ((3, 5, 2, 4), (2, 1, 6, 4)):
        outputs = model.predict(inputs(shape), verbose=0)
        assert {name: output.shape for name, output in outputs.items()} == dict.fromkeys(NAMES, shape)


@pytest.mark.parametrize("name", [name for name in OWN if "batch" not in name and name != "rms"])
def test_refuses_shapes_without_known_channels(name):
    layer = RECORDS[name].layer
    with pytest.raises(ValueError, match=r"number of channels must be known.*Received: axis=-1"):
        layer().build((None, 3, None))
    with pytest.raises(ValueError, match=r"`axis` must be an axis of the input, which has 3.*Received: axis=3"):
        layer(axis=3).build((None, 3, 4))


@pytest.mark.parametrize("name", [name for name in OWN if "batch" in name])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.5}, "`momentum` must be a number of at least 0 and at most 1. Received: momentum=1.5"),
        ({"epsilon": 0}, "`epsilon` must be a number above 0. Received: epsilon=0"),
        ({"renorm": True}, "`renorm` does not apply to .*ormalization.*Received: renorm=True"),
        ({"synchronized": True}, "`synchronized` does not apply to"),
    ],
)
def test_batch_statistics_refuse(name, options, message):
    with pytest.raises(ValueError, match=message):
        RECORDS[name].layer(**options)


def test_training_moves_all_weights():
    """The model has all norms, so that only one step is compiled."""
    x = inputs((16, 4, 4, 8)).astype("float32")
    image = keras.Input((4, 4, 8))
    layers_of_norms = [norms.get(name).layer(image.shape) for name in NAMES]
    model = keras.Model(image, keras.layers.Add()([layer(image) for layer in layers_of_norms]))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = [weights(layer) for layer in layers_of_norms]
    model.fit(x, -x, batch_size=6, verbose=0)
    for layer, old in zip(layers_of_norms, before, strict=True):
        for key, value in weights(layer).items():
            assert not np.allclose(value, old[key]), (layer.name, key)


def test_layers_are_public():
    for name in OWN:
        assert RECORDS[name].layer.__name__ in layers.__all__
