import json
from collections import namedtuple

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

from bnzoo import data, tools, tuning


def test_the_grid_goes_architecture_by_architecture():
    space = tuning.ResNetSpace(depths=(8, 14), learning_rates=(0.01, 1.0, 3), norms=("batch", None))
    grid = [(point["depth"], point["norm"], point["learning_rate"]) for point in space.grid()]
    rates = (0.01, 0.1, 1.0)
    assert grid == [(d, n, r) for d in (8, 14) for n in ("batch", "none") for r in rates]
    assert len(tuning.ResNetSpace(learning_rates=(1e-3, 3.0)).learning_rates) == 7
    assert tuning.ResNetSpace(learning_rates=(0.1, 0.1, 1)).learning_rates == (0.1,)
    rates = tuning.ResNetSpace(learning_rates=(0.00123456, 3, 7)).learning_rates
    assert tuning.ResNetSpace(learning_rates=(rates[0], rates[-1], 7)).learning_rates == rates, "of a stored study"


def test_a_resnet_is_searched_in_the_placement_that_folds_whole():
    placements = {space: space().get_config()["placement"] for space in (tuning.ResNetSpace, tuning.DenseNetSpace)}
    assert placements == {tuning.ResNetSpace: "post", tuning.DenseNetSpace: "pre"}
    model = tuning.ResNetSpace(depths=(8,), input_shape=(8, 8, 1), classes=3).network(8)
    assert not tools.fold_batch_norm(model)[1].kept


def test_the_definition_is_json():
    space = tuning.MLPSpace(norms=({"name": "group", "groups": 4}, None), width=32, residual=False)
    config = json.loads(json.dumps(space.get_config()))
    assert config["norms"] == [{"name": "group", "groups": 4}, None]
    assert (config["width"], config["family"]) == (32, "mlp")


@pytest.mark.parametrize(
    "space",
    [
        pytest.param(tuning.ResNetSpace(depths=(8, 14)), marks=pytest.mark.nightly),
        pytest.param(tuning.MLPSpace(depths=(2, 3), width=16), marks=pytest.mark.slow),
    ],
)
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
        (lambda: tuning.ResNetSpace(depths=(8,), block="bottleneck"), "In `depths`, `depth` must be 9n\\+2"),
        (lambda: tuning.DenseNetSpace(depths=(10, 13)), "6n\\+4"),
        (lambda: tuning.DenseNetSpace(depths=(8,), bottleneck=False), "3n\\+4"),
        (lambda: tuning.ViTSpace(depths=(0,)), "`depth` must be a positive integer"),
        (lambda: tuning.ViTSpace(momentum=0.9), "`momentum` is for optimizer='sgd'"),
        (lambda: tuning.ViTSpace(momentum=(0.8, 0.9)), "`momentum` is for optimizer='sgd'"),
        (lambda: tuning.MLPSpace(optimizer="adam"), "Did you mean 'adamw'"),
        (lambda: tuning.MLPSpace(optimizer=("sgd", "moon")), "Did you mean 'muon'"),
        (lambda: tuning.MLPSpace(optimizer=("adamw", "schedule_free_adamw"), momentum=0.9), "`momentum` is for"),
        (lambda: tuning.MLPSpace(momentum=(0.8, 1)), "`momentum` must be a number of at least 0 and below 1"),
        (lambda: tuning.MLPSpace(schedule=("linear", "cosine")), "Unknown `schedule`: 'cosine'"),
        (lambda: tuning.MLPSpace(warmup=0.1), "`warmup` needs a schedule with a warm-up: .*schedule='half_cosine'"),
        (lambda: tuning.MLPSpace(schedule="linear", warmup=(0, 1)), "`warmup` must be a number of at least 0 and be"),
        (lambda: tuning.MLPSpace(placement=()), "`placement` must be a sequence of at least one"),
        (lambda: tuning.MLPSpace(placement=("pre", "peri")), "Unknown placement for mlp: 'peri'"),
        (lambda: tuning.MLPSpace(activation=("relu", "silo")), "silo"),
        (lambda: tuning.MLPSpace(activation=("relu", None)), "`activation` must be the name"),
        (lambda: tuning.MLPSpace(weight_decay=(0.0, -1.0)), "`weight_decay` must be"),
        (lambda: tuning.MLPSpace(batch_size=(1, 64)), "`batch_size` must be at least 2"),
        (lambda: tuning.MLPSpace(batch_size=(64, 64)), "`batch_size` must not hold a value twice"),
        (lambda: tuning.MLPSpace(width=()), "`width` must be a sequence of at least one"),
        (
            lambda: tuning.ResNetSpace(norms=("batch", "evonorm_s0"), placement=("pre", "act_norm")),
            "norm='evonorm_s0', placement='act_norm'",
        ),
        (
            lambda: tuning.ResNetSpace(norms=("evonorm_s0",), activation=("relu", "silu")),
            "evonorm_s0.*activation='silu'",
        ),
        (lambda: tuning.MLPSpace(width=(4, 8), input_shape=(3,), classes=2).batch_size_of({"batch_size": 8}), "64"),
        (lambda: tuning.MLPSpace(depths=(0,)), "`depth` must be a positive integer"),
        (lambda: tuning.MLPSpace(depths=(2,), residual=True), "must be odd"),
        (lambda: tuning.MLPSpace(depths=(10**400,)), "`depths` must be at most 2,000"),
        (lambda: tuning.MLPSpace(width=(8, 10**400)), "`width` must be a number, at most 1,000,000"),
        (lambda: tuning.MLPSpace(dropout_rate=float("nan")), "`dropout_rate` must be a number"),
        (lambda: tuning.MLPSpace(weight_decay=10**400), "`weight_decay` must be"),
        (lambda: tuning.MLPSpace(learning_rates=(0.1, 1, 10**9)), "at most 1,000"),
        (lambda: tuning.MLPSpace(learning_rates=(0.1, 0.10001, 7)), "`learning_rates` must not hold a value twice"),
        (lambda: tuning.MLPSpace(input_shape=3), "`input_shape` must be"),
        (lambda: tuning.MLPSpace(classifier_activation="softmax"), "`classifier_activation` cannot be an option"),
        (lambda: tuning.ResNetSpace(depths=(8,)).build(keras_tuner.HyperParameters()), "pass `input_shape="),
        (lambda: tuning.ResNetSpace().for_data(data.load("wine")), r"ResNetSpace needs images .* shape \(13,\)"),
        (lambda: tuning.ViTSpace().for_data(data.load("wine")), r"ViTSpace needs images .* shape \(13,\)"),
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
    # with zero gradients, only weight decay changes variables
    model.optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
    for variable, value in zip(model.trainable_variables, before, strict=True):
        factor = 0.95 if variable.name == "kernel" else 1
        np.testing.assert_allclose(np.asarray(variable), factor * value, rtol=1e-5, err_msg=variable.path)


def hyperparameters(**values):
    hp = keras_tuner.HyperParameters()
    hp.values.update(values)
    return hp


EVERY_AXIS = {
    "depths": (1, 3),
    "learning_rates": (0.01, 0.1, 2),
    "norms": ("batch", {"name": "group", "groups": 2}),
    "placement": ("pre", "post"),
    "activation": ("relu", "tanh"),
    "weight_decay": (0, 0.01),
    "batch_size": (20, 40),
    "width": (4, 8),
    "residual": (False, True),
}


def test_whatever_has_several_values_is_an_axis():
    space = tuning.MLPSpace(**EVERY_AXIS, dropout_rate=[0.1])
    assert list(space.axes().items()) == [
        ("depth", (1, 3)),
        ("norm", ("batch", "group(groups=2)")),
        ("placement", ("pre", "post")),
        ("activation", ("relu", "tanh")),
        ("width", (4, 8)),
        ("residual", ("False", "True")),
        ("weight_decay", (0.0, 0.01)),
        ("batch_size", (20, 40)),
        ("learning_rate", (0.01, 0.1)),
    ]
    grid = list(space.grid())
    assert len(grid) == len({tuple(values.items()) for values in grid}) == 2**9
    assert [list(values) for values in grid] == [list(space.axes())] * 2**9
    # the learning rate varies fastest, so that one compiled model runs the trials of all rates
    assert [space.architecture(values) for values in grid[::2]] == [space.architecture(values) for values in grid[1::2]]
    assert len({space.architecture(values) for values in grid}) == 2**8
    assert {space.batch_size_of(values) for values in grid} == {20, 40}
    assert list(tuning.MLPSpace().axes()) == ["depth", "norm", "learning_rate"]
    assert tuning.MLPSpace().batch_size_of({"depth": 2}) == 64


def test_the_training_of_a_trial_is_searched_as_the_network_is():
    several = {"optimizer": ("sgd", "adamw"), "momentum": (0.8, 0.9), "schedule": ("linear", "warmup_cosine")}
    space = tuning.MLPSpace(depths=(1,), norms=(None,), width=4, **several, warmup=(0.0, 0.2))
    assert list(space.axes().items())[2:-1] == [
        ("optimizer", ("sgd(momentum=0.8)", "sgd(momentum=0.9)", "adamw")),
        ("schedule", ("linear", "warmup_cosine")),
        ("warmup", (0.0, 0.2)),
    ]
    config = json.loads(json.dumps(space.get_config()))
    assert {name: tuple(config[name]) for name in several} == several
    assert (config["warmup"], config["weight_decay"]) == ([0.0, 0.2], None)
    again = tuning.MLPSpace(
        **{name: value for name, value in config.items() if name not in ("family", "learning_rates")}
    )
    assert again.axes() == space.axes()
    space = tuning.MLPSpace(depths=(1,), norms=(None,), width=4, **several, input_shape=(3,), classes=2)
    chosen = {"depth": 1, "norm": "none", "schedule": "linear", "learning_rate": 0.1}
    sgd, adamw = (
        space.build(hyperparameters(**chosen, optimizer=name)).optimizer for name in space.axes()["optimizer"][1:]
    )
    assert (type(sgd), sgd.momentum, sgd.weight_decay) == (keras.optimizers.SGD, 0.9, 5e-3)
    assert (type(adamw), adamw.weight_decay) == (keras.optimizers.AdamW, 0.05)
    assert space.schedule_of(chosen | {"optimizer": "adamw"}).name == "linear"
    momenta = tuning.MLPSpace(momentum=(0, 0.5))
    assert list(momenta.axes().items())[2] == ("momentum", (0.0, 0.5))
    assert (momenta.get_config()["optimizer"], momenta.get_config()["momentum"]) == ("sgd", [0, 0.5])
    assert momenta.optimizer_of({"momentum": 0.5}).momentum == 0.5


def test_each_optimizer_has_its_usual_schedule_decay_and_range_of_rates():
    space = tuning.MLPSpace(optimizer=("sgd", "muon", "schedule_free_adamw"))
    schedules = [space.schedule_of({"optimizer": name}) for name in space.axes()["optimizer"]]
    found = [(schedule.name, schedule.warmup) for schedule in schedules]
    assert found == [("half_cosine", None), ("half_cosine", None), ("constant", 0.05)]
    rates = np.log(space.learning_rates)
    assert (space.learning_rates[0], space.learning_rates[-1]) == (1e-4, 3.0)
    assert np.diff(rates).max() <= np.log(1e3) / 6
    assert len(tuning.MLPSpace(optimizer=("adamw", "muon")).learning_rates) == 7
    assert tuning.MLPSpace(optimizer=("adamw", "muon")).get_config()["weight_decay"] == 0.05
    config = tuning.MLPSpace().get_config()
    assert (config["schedule"], config["optimizer"], "warmup" in config) == ("half_cosine", "sgd", False)


def test_single_values_are_scalars_in_the_definition():
    config = tuning.MLPSpace(placement=("pre",), batch_size=(32, 64), width=[8]).get_config()
    found = [config[name] for name in ("placement", "activation", "batch_size", "weight_decay", "width", "momentum")]
    assert found == ["pre", "relu", [32, 64], 5e-3, 8, 0.9]
    assert "momentum" not in tuning.ViTSpace().get_config()
    several = json.loads(json.dumps(tuning.ResNetSpace(residual_init=(None, "skipinit")).get_config()))
    assert several["residual_init"] == [None, "skipinit"]


def test_the_branch_scale_is_searched_by_name():
    space = tuning.ViTSpace(depths=(2,), branch_scale=(None, "1/depth", 0.5), input_shape=(8, 8, 1), classes=3)
    assert space.axes()["branch_scale"] == ("none", "1/depth", "0.5")
    factors = []
    for label in space.axes()["branch_scale"]:
        model = space.build_configuration({**next(space.grid()), "branch_scale": label, "learning_rate": 0.1}, seed=0)
        factors.append({layer.scale for layer in model.layers if layer.name.endswith("_branch_scale")})
    assert factors == [set(), {1 / 4}, {0.5}]


@pytest.mark.parametrize(
    ("space", "values", "name", "layers"),
    [
        (tuning.ResNetSpace(depths=(8, 20)), {"depth": 20}, "resnet20_cifar", 19),
        (tuning.ResNetSpace(depths=(11, 20), block="bottleneck"), {"depth": 20}, "resnet20_cifar", 19),
        (tuning.DenseNetSpace(depths=(10, 22), growth_rate=(4, 6)), {"depth": 22, "growth_rate": 6}, "densenet", 21),
        (tuning.DenseNetSpace(depths=(7, 13), bottleneck=False), {"depth": 13}, "densenet13_12", 12),
        (tuning.ViTSpace(depths=(1, 3), width=(16, 32)), {"depth": 3, "width": 32}, "vit", 7),
        (tuning.MLPSpace(depths=(2, 5), width=(4, 8)), {"depth": 5, "width": 8}, "mlp", 5),
    ],
    ids=["resnet", "bottleneck", "densenet", "densenet-plain", "vit", "mlp"],
)
def test_depth_and_options_are_what_the_papers_count(few_digits, space, values, name, layers):
    space = space.for_data(few_digits)
    space.check()
    model = space.build(hyperparameters(norm=space.norms[0].label, learning_rate=0.1, **values))
    assert model.name.startswith(name)
    # convolutions (without shortcuts) or dense layers before the classifier; for a ViT the patches and two per block
    kinds = (keras.layers.Conv2D, keras.layers.Dense)
    found = [layer for layer in model.layers if isinstance(layer, kinds) and layer.name != "logits"]
    assert len([layer for layer in found if not layer.name.endswith("_0_conv")]) == layers
    if "growth_rate" in values:
        new = [layer for layer in found if layer.kernel_size == (3, 3) and "block" in layer.name]
        assert {layer.filters for layer in new} == {6}
    if "width" in values:
        assert values["width"] in [weights.shape[-1] for weights in model.trainable_variables]


def test_every_axis_reaches_the_model():
    space = tuning.MLPSpace(**{**EVERY_AXIS, "residual": False}, input_shape=(5,), classes=3)
    values = {"norm": "group(groups=2)", "placement": "post", "activation": "tanh", "width": 8, "weight_decay": 0.01}
    model = space.build(hyperparameters(depth=3, batch_size=20, learning_rate=0.05, **values))
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["InputLayer", *["Dense", "GroupNormalization", "Activation"] * 3, "Dense"]
    assert [layer.units for layer in model.layers if hasattr(layer, "units")] == [8, 8, 8, 3]
    assert {layer.groups for layer in model.layers if hasattr(layer, "groups")} == {2}
    assert {layer.activation for layer in model.layers[1:-1:3]} == {keras.activations.linear}
    assert {layer.activation for layer in model.layers[3:-1:3]} == {keras.activations.tanh}
    assert model.optimizer.weight_decay == 0.01
    assert model.optimizer.momentum == 0.9

    values.update(placement="pre", weight_decay=0.0)
    model = space.build(hyperparameters(depth=3, batch_size=20, learning_rate=0.05, **values))
    assert [type(layer).__name__ for layer in model.layers][1:4] == ["Dense", "GroupNormalization", "Activation"]
    assert model.optimizer.weight_decay is None


class BatchSizes(keras.callbacks.Callback):
    """Return the number of steps of an epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.steps = self.params["steps"]


@pytest.mark.slow
def test_the_batch_size_is_the_trials_unless_the_caller_says_otherwise():
    x, y = np.zeros((80, 3), np.float32), np.arange(80) % 2
    space = tuning.MLPSpace(depths=(1,), norms=(None,), width=2, batch_size=(20, 40), input_shape=(3,), classes=2)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(5)
    for chosen, arguments, options, steps in (
        (20, (x, y), {}, 4),
        (40, (x, y), {}, 2),
        (40, (), {"x": x, "y": y}, 2),
        (40, (x, y), {"batch_size": 16}, 5),
        (40, (x, y, 16), {}, 5),
        (40, (batches,), {}, 16),
        (40, (), {"x": batches}, 16),
    ):
        hp = hyperparameters(depth=1, norm="none", batch_size=chosen, learning_rate=0.1)
        counter, model = BatchSizes(), space.build(hp)
        model.run_eagerly = True  # tracing a graph takes longer than so few steps
        space.fit(hp, model, *arguments, verbose=0, callbacks=[counter], **options)
        assert counter.steps == steps, (chosen, options)


def test_the_default_decay_of_sgd_is_that_of_wide_resnets():
    space = tuning.MLPSpace(depths=(1,), norms=(None,), width=4, input_shape=(3,), classes=2)
    model = space.build(hyperparameters(depth=1, norm="none", learning_rate=0.1))
    kernel = model.layers[1].kernel
    wanted, velocity = kernel.numpy().astype(np.float64), 0.0
    start, zeros = wanted.copy(), [keras.ops.zeros_like(variable) for variable in model.trainable_variables]
    for _ in range(300):
        model.optimizer.apply(zeros, model.trainable_variables)
        velocity = 0.9 * velocity + 5e-4 * wanted  # the decay is a part of the gradient
        wanted = wanted - 0.1 * velocity
    np.testing.assert_allclose(np.log(kernel.numpy() / start), np.log(wanted / start), rtol=0.05)


def test_a_transformer_is_trained_with_adamw():
    space = tuning.ViTSpace(input_shape=(8, 8, 1), classes=10, depths=(1,), width=8, heads=2)
    hp = hyperparameters(depth=1, norm="layer", learning_rate=0.02)
    model = space.build(hp)
    assert isinstance(model.optimizer, keras.optimizers.AdamW)
    assert model.optimizer.weight_decay == 0.05
    assert (space.learning_rates[0], space.learning_rates[-1]) == (1e-4, 0.1)
    sgd = tuning.ViTSpace(optimizer="sgd", momentum=0.5)
    assert sgd.learning_rates[-1] == 3.0
    assert (sgd.get_config()["momentum"], sgd.get_config()["weight_decay"]) == (0.5, 5e-3)


@pytest.mark.parametrize(
    ("side", "patch"), [((8, 8), 2), ((16, 16), 2), ((28, 28), 4), ((32, 32), 4), ((12, 18), 2), ((64, 64), 8)]
)
def test_patches_follow_the_image(side, patch):
    space = tuning.ViTSpace(input_shape=(*side, 1), classes=2)
    assert space.get_config()["patch_size"] == patch
    assert tuning.ViTSpace(input_shape=(*side, 1), classes=2, patch_size=(1, 2)).get_config()["patch_size"] == [1, 2]


@pytest.mark.parametrize(
    ("space", "chosen"),
    [
        (tuning.MLPSpace, {"depth": 9, "width": 64}),
        (tuning.ResNetSpace, {"depth": 32}),
        (tuning.ResNetSpace, {"depth": 14, "widen_factor": 4}),
        (tuning.DenseNetSpace, {"depth": 40, "growth_rate": 12}),
        (tuning.DenseNetSpace, {"depth": 22, "bottleneck": False}),
        (tuning.ViTSpace, {"depth": 4, "width": 96}),
    ],
)
def test_the_estimate_of_parameters_is_near(space, chosen):
    """The space must know it before it builds a network."""
    options = {name: value for name, value in chosen.items() if name != "depth"}
    made = space(depths=(chosen["depth"],), norms=("batch",), input_shape=(16, 16, 3), classes=10, **options)
    hp = keras_tuner.HyperParameters()
    count = made.build(hp).count_params()
    assert count / 2 < made.parameters() < 4 * count


class Broken(tuning.MLPSpace):
    """A space whose builder raises an unusual error."""

    def model(self, *arguments, **options):
        raise KeyError("strange")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (tuning.ViTSpace(input_shape=(29, 29, 1), classes=2), "pass `patch_size=`"),
        (tuning.ViTSpace(input_shape=(8, 8, 1), classes=2, width=(16, 18), heads=(2, 4)), "heads=4, width=18"),
        (tuning.ViTSpace(input_shape=(8, 8, 1), classes=2, patch_size=(2, 3)), "patch_size"),
        (tuning.MLPSpace(input_shape=(3,), classes=2, norms=("batch", "instance")), "one value per group"),
        (
            tuning.MLPSpace(input_shape=(3,), classes=2, depths=(1, 3), residual_init=(None, "skipinit")),
            "residual=True",
        ),
        (tuning.DenseNetSpace(input_shape=(2, 2, 1), classes=2), "too small"),
        (tuning.DenseNetSpace(input_shape=(8, 8, 1), classes=2, compression=(0.5, 1.5)), "compression=1.5"),
        (tuning.DenseNetSpace(input_shape=(8, 8, 1), classes=2, growth=3), "Did you mean 'growth_rate'"),
        (tuning.MLPSpace(input_shape=(3,), classes=2, width=(8, 50_000)), "make `depths` or `width` smaller"),
        (tuning.MLPSpace(input_shape=(10**7,), classes=2), "about 1.3e\\+09 parameters"),
        (tuning.ResNetSpace(input_shape=(8, 8, 1), classes=2, widen_factor=500), "At most 500,000,000 are allowed"),
        (tuning.DenseNetSpace(input_shape=(8, 8, 1), classes=2, growth_rate=9000), "At most 500,000,000"),
        (tuning.ViTSpace(input_shape=(8, 8, 1), classes=2, width=9000), "`width` or `mlp_ratio` smaller"),
        (Broken(input_shape=(3,), classes=2, width=8), "No network can be built with depth=2, .*width=8.*: KeyError: "),
    ],
)
def test_what_cannot_be_on_the_data_is_told_before_anything_runs(space, message):
    with pytest.raises(ValueError, match=message):
        space.check()


@pytest.mark.slow
def test_keras_tuner_samples_every_axis(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32), np.arange(40) % 3
    space = tuning.MLPSpace(**EVERY_AXIS, input_shape=(5,), classes=3)
    tuner = keras_tuner.RandomSearch(space, objective="val_loss", max_trials=4, directory=tmp_path, seed=7)
    tuner.search(x, y, epochs=1, validation_data=(x, y), verbose=0)
    trials = [trial.hyperparameters.values for trial in tuner.oracle.get_best_trials(4)]
    assert [list(values) for values in trials] == [list(space.axes())] * 4
    for name, labels in space.axes().items():
        if name != "learning_rate":
            assert {values[name] for values in trials} == set(labels), name


@pytest.mark.parametrize(
    ("space", "target"),
    [
        pytest.param(
            tuning.MLPSpace(depths=(2,), norms=("batch",), width=32, batch_size=16), 1.0, marks=pytest.mark.nightly
        ),
        pytest.param(
            tuning.MLPSpace(depths=(2,), norms=("batch",), width=32, batch_size=16), 1e6, marks=pytest.mark.slow
        ),
        pytest.param(tuning.ResNetSpace(depths=(8,), norms=("batch",), filters=4), 1e6, marks=pytest.mark.nightly),
        # the squares of these values overflow float32
        pytest.param(
            tuning.MLPSpace(depths=(2,), norms=("batch",), width=32, batch_size=16), 1e28, marks=pytest.mark.slow
        ),
        pytest.param(
            tuning.MLPSpace(depths=(2,), norms=("batch",), width=32, batch_size=16), 1e-25, marks=pytest.mark.nightly
        ),
    ],
    ids=["mlp", "mlp-millions", "resnet", "mlp-huge", "mlp-tiny"],
)
def test_a_regression_gives_the_targets_own_units(tmp_path, space, target):
    """The loss is the squared error divided by the variance, computed independently, also after loading."""
    shape = (8, 8, 1) if space.family.images else (3,)
    x = np.random.default_rng(1).normal(size=(256, *shape)).astype(np.float32)
    y = (target * (7 + x.reshape(256, -1)[:, :3] @ [1.0, -2.0, 0.5])).astype(np.float32)
    data = namedtuple("Data", "name input_shape task classes scale target_scale mixes_labels")
    scale = float(y.mean(dtype=np.float64)), float(y.var(dtype=np.float64))
    space = space.for_data(data("made", shape, "regression", 0, ([0.0], [1.0]), scale, False))
    space.check()
    hp = hyperparameters(depth=space.depths[0], norm="batch", learning_rate=0.03)
    model = space.build(hp)
    assert space.metric == "r2_score"
    assert model.output_shape == (None, 1)

    history = space.fit(hp, model, x, y, validation_data=(x, y), epochs=8, verbose=0).history
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    found = loaded.predict(x, verbose=0)[:, 0].astype(np.float64)
    error = ((found - y) ** 2).mean() / y.var(dtype=np.float64)
    assert history["val_loss"][-1] == pytest.approx(error, rel=1e-3)
    assert history["val_r2_score"][-1] == pytest.approx(1 - error, rel=1e-3)
    assert error < 0.5
    again = loaded.evaluate(x, y, verbose=0, return_dict=True)
    assert again["loss"] == pytest.approx(error, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "epochs"),
    [
        (tuning.DenseNetSpace(depths=(10,), norms=("batch",), growth_rate=6, batch_size=16), 8),
        (tuning.ViTSpace(depths=(1,), norms=("layer",), width=32, batch_size=16), 15),
    ],
    ids=["densenet", "vit"],
)
def test_the_middle_of_the_default_rates_trains(few_digits, space, epochs):
    space = space.for_data(few_digits)
    rate = space.learning_rates[len(space.learning_rates) // 2]
    hp = hyperparameters(depth=space.depths[0], norm=space.norms[0].label, learning_rate=rate)
    history = space.fit(hp, space.build(hp), *few_digits.train, epochs=epochs, verbose=0).history
    assert history["loss"][-1] < 0.5 * np.log(10)
