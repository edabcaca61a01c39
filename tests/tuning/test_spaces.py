import json

import keras
import keras_tuner
import numpy as np
import pytest

from bnzoo import data, tuning


def test_the_grid_goes_architecture_by_architecture():
    space = tuning.ResNetSpace(depths=(8, 14), learning_rates=(0.01, 1.0, 3), norms=("batch", None))
    grid = [(point["depth"], point["norm"], point["learning_rate"]) for point in space.grid()]
    rates = (0.01, 0.1, 1.0)
    assert grid == [(d, n, r) for d in (8, 14) for n in ("batch", "none") for r in rates]
    assert len(tuning.ResNetSpace(learning_rates=(1e-3, 3.0)).learning_rates) == 7
    assert tuning.ResNetSpace(learning_rates=(0.1, 0.1, 1)).learning_rates == (0.1,)


def test_the_definition_is_json():
    space = tuning.MLPSpace(norms=({"name": "group", "groups": 4}, None), width=32, residual=False)
    config = json.loads(json.dumps(space.get_config()))
    assert config["norms"] == [{"name": "group", "groups": 4}, None]
    assert (config["width"], config["family"]) == (32, "mlp")


@pytest.mark.parametrize("space", [tuning.ResNetSpace(depths=(8, 14)), tuning.MLPSpace(depths=(2, 3), width=16)])
def test_keras_tuner_runs_a_space_unchanged(tmp_path, few_digits, space):
    space = space.for_data(few_digits)
    tuner = keras_tuner.RandomSearch(space, objective="val_accuracy", max_trials=2, directory=tmp_path, seed=1)
    tuner.search(*few_digits.train, epochs=1, validation_data=tuple(few_digits.validation), verbose=0)
    trials = tuner.oracle.get_best_trials(2)
    assert len(trials) == 2
    assert all(1e-3 <= trial.hyperparameters.get("learning_rate") <= 3 for trial in trials)
    assert tuner.get_best_models(1)[0].output_shape == (None, 10)


def test_the_shape_can_be_given_by_hand():
    space = tuning.ResNetSpace(depths=(8,), input_shape=(8, 8, 3), classes=4, norms=("layer",))
    model = space.build(keras_tuner.HyperParameters())
    assert (model.input_shape, model.output_shape) == ((None, 8, 8, 3), (None, 4))
    assert any(isinstance(layer, keras.layers.LayerNormalization) for layer in model.layers)


def test_models_scale_raw_data_themselves(digits):
    model = tuning.MLPSpace(depths=(1,)).for_data(digits).build(keras_tuner.HyperParameters())
    scaled = keras.Model(model.input, model.get_layer("scale").output).predict(digits.train.x, verbose=0)
    assert abs(scaled.mean()) < 1e-3
    assert abs(scaled.std() - 1) < 1e-3


def test_hyperparameters_reach_the_model():
    hp = keras_tuner.HyperParameters()
    hp.values.update(depth=14, norm="none", learning_rate=0.25)
    space = tuning.ResNetSpace(depths=(8, 14), input_shape=(8, 8, 1), classes=3, momentum=0.5, placement="post")
    model = space.build(hp)
    assert model.name == "resnet14_cifar"
    assert not [layer for layer in model.layers if "norm" in layer.name]
    assert (float(np.asarray(model.optimizer.learning_rate)), model.optimizer.momentum) == (0.25, 0.5)


def test_the_learning_rate_falls_on_half_a_cosine(few_digits):
    hp = keras_tuner.HyperParameters()
    hp.values.update(depth=1, norm="none", learning_rate=0.4)
    space = tuning.MLPSpace(depths=(1,), width=4).for_data(few_digits)
    history = space.fit(hp, space.build(hp), *few_digits.train, epochs=4, verbose=0).history
    np.testing.assert_allclose(history["learning_rate"], [0.4, 0.2 + 0.02**0.5, 0.2, 0.2 - 0.02**0.5], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tuning.ResNetSpace(depths=(8, 9)), "6n\\+2"),
        (lambda: tuning.ResNetSpace(depths=()), "`depths` must be a sequence"),
        (lambda: tuning.ResNetSpace(depths=(8, 8)), "twice"),
        (lambda: tuning.ResNetSpace(norms="batch"), "`norms` must be a sequence"),
        (lambda: tuning.ResNetSpace(norms=("batch", "bach")), "Did you mean 'batch'"),
        (lambda: tuning.ResNetSpace(placement="prae"), "Unknown placement for resnet"),
        (lambda: tuning.ResNetSpace(learning_rates=(1.0, 0.1)), "two positive numbers"),
        (lambda: tuning.ResNetSpace(learning_rates=(0, 0.1)), "two positive numbers"),
        (lambda: tuning.ResNetSpace(learning_rates=(0.1, float("inf"))), "two positive numbers"),
        (lambda: tuning.ResNetSpace(learning_rates=(0.1, 1, 2.5)), "two positive numbers"),
        (lambda: tuning.ResNetSpace(learning_rates=0.1), "two positive numbers"),
        (lambda: tuning.ResNetSpace(momentum=1), "`momentum` must be"),
        (lambda: tuning.MLPSpace(depths=(0,)), "positive integers"),
        (lambda: tuning.MLPSpace(depths=(2,), residual=True), "must be odd"),
        (lambda: tuning.ResNetSpace(depths=(8,)).build(keras_tuner.HyperParameters()), "pass `input_shape="),
        (lambda: tuning.ResNetSpace().for_data(data.load("wine")), r"needs images .* shape \(13,\)"),
        (lambda: tuning.ResNetSpace(scale=([0.0], [1.0])).for_data(data.load("digits")), "made for scale="),
        (lambda: tuning.ResNetSpace(classes=3).for_data(data.load("digits")), "made for classes=3"),
    ],
)
def test_mistakes_are_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_weight_decay_reaches_kernels_only():
    space = tuning.MLPSpace(depths=(2,), width=4, norms=("batch",), input_shape=(3,), classes=2, weight_decay=0.1)
    hp = keras_tuner.HyperParameters()
    hp.Fixed("learning_rate", 0.5)
    model = space.build(hp)
    before = [np.asarray(v) for v in model.trainable_variables]
    # with all gradients zero, what changes is what decays
    model.optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
    for variable, value in zip(model.trainable_variables, before, strict=True):
        factor = 0.95 if variable.name == "kernel" else 1
        np.testing.assert_allclose(np.asarray(variable), factor * value, rtol=1e-5, err_msg=variable.path)
