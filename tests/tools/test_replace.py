import keras
import numpy as np
import pytest
import zoo
from small_models import BatchNormReLU, L, assert_same_function, chain, outputs_of

import bnzoo
from bnzoo import norms
from bnzoo.tools import fold_batch_norm, replace_norm, synchronize_batch_norm, unsynchronize_batch_norm

NORMS = [norm for norm in norms.list_norms() if norm]
OF_THE_BATCH = ["batch", "sync_batch", "ghost_batch", "batch_renorm"]
# with as many groups as channels they are the same norm
SAME = {"group": "instance"}


def kinds(model):
    found = {norms.name_of(layer) for layer in model._flatten_layers()} - {None}
    return {SAME.get(name, name) for name in found}


# the families with norms that they have not
REFUSED = {
    ("mlp", "instance"): "one value per group",
    ("vit", "filter_response"): "replaces the activation that follows it",
    ("vit", "evonorm_s0"): "replaces the activation that follows it",
}


def built(family, norm):
    return zoo.shaken(zoo.build(family, norm=norm))


@pytest.mark.parametrize(("family", "norm"), REFUSED)
def test_a_family_refuses_only_norms_that_it_cannot_have(family, norm):
    with pytest.raises(ValueError, match=REFUSED[family, norm]):
        zoo.build(family, norm=norm)


@pytest.mark.parametrize("norm", [*NORMS, None], ids=str)
def test_any_norm_takes_the_place_of_any_other(norm):
    """Check that only the new norm is left, that the network computes and learns, and that it keeps its kernels."""
    for old in ("batch", "layer", "filter_response"):
        model = built("resnet", old)
        before = {v.path: np.asarray(v) for v in model.variables}
        new = replace_norm(model, norm)
        assert kinds(new) == {SAME.get(norm, norm)} - {None}
        assert all(np.isfinite(output).all() for output in outputs_of(new))
        kernels = [v for v in new.variables if v.name.endswith("kernel")]
        assert kernels
        for kernel in kernels:
            np.testing.assert_array_equal(kernel, before[kernel.path])
        for variable in model.variables:
            np.testing.assert_array_equal(variable, before[variable.path])


def pairs(*families):
    return [(family, norm) for family in families for norm in NORMS if (family, norm) not in REFUSED]


@pytest.mark.parametrize(("family", "norm"), pairs("resnet", "mlp", "vit"))
def test_the_new_network_is_the_one_that_the_zoo_builds(family, norm):
    """The models have the same parameters in each layer, and with the same weights the same function."""
    expected = built(family, norm)
    new = replace_norm(zoo.build(family, norm="batch"), norm)
    assert [w.shape for w in new.weights] == [w.shape for w in expected.weights]
    new.set_weights(expected.get_weights())
    assert_same_function(expected, new, rtol=1e-5)


@pytest.mark.parametrize(("family", "norm"), pairs("resnet", "mlp"))
def test_there_and_back_again_every_norm_by_itself_keeps_the_function(family, norm):
    model = built(family, norm)
    assert_same_function(model, replace_norm(model, norm, keep_function=True), rtol=1e-6)


OTHER_EPSILON = {"name": "batch", "epsilon": 0.1}


@pytest.mark.parametrize(
    ("old", "new", "options"),
    [
        *((old, new, {}) for old in (*OF_THE_BATCH, "affine") for new in (*OF_THE_BATCH, "affine", OTHER_EPSILON)),
        *(
            (old, new, {without: False})
            for old, new in (
                ("batch", "affine"),
                ("batch", "sync_batch"),
                ("batch", OTHER_EPSILON),
                ("affine", "batch"),
            )
            for without in ("scale", "center")
        ),
    ],
    ids=str,
)
def test_what_is_a_scale_and_a_shift_at_inference_keeps_the_function(old, new, options):
    model = zoo.shaken(zoo.build("mlp", norm={"name": old, **options}))
    replaced = replace_norm(model, new, keep_function=True)
    assert_same_function(model, replaced, rtol=1e-5)
    back = replace_norm(replaced, old, keep_function=True)
    assert_same_function(model, back, rtol=1e-5)


def test_affine_is_what_folding_computes():
    """The two models have the same function: with scale and shift in a separate layer, or in the kernels."""
    model = zoo.shaken(zoo.build("resnet", norm="batch"))
    assert_same_function(replace_norm(model, "affine", keep_function=True), fold_batch_norm(model)[0], rtol=1e-5)


def with_norm(layer, *behind):
    return chain((6, 6, 4), L.Conv2D(4, 3, use_bias=False, name="conv"), layer, *behind)


def test_what_has_the_same_meaning_is_carried_over():
    old = L.BatchNormalization(name="norm", momentum=0.7, epsilon=0.01, gamma_regularizer="l2", trainable=False)
    model = with_norm(old)
    weights = [np.arange(1.0, 5.0) + i for i in range(4)]
    old.set_weights(weights)
    sync = replace_norm(model, "sync_batch").get_layer("norm")
    assert (sync.momentum, sync.epsilon, sync.trainable) == (0.7, 0.01, False)
    np.testing.assert_array_equal(sync.get_weights(), weights)
    group = replace_norm(model, {"name": "group", "groups": 2}).get_layer("norm")
    assert (group.groups, group.epsilon, group.trainable) == (2, 1e-5, False)
    assert isinstance(group.gamma_regularizer, keras.regularizers.L2)
    np.testing.assert_array_equal(group.get_weights(), weights[:2])
    rms = replace_norm(model, "rms").get_layer("norm")
    np.testing.assert_array_equal(rms.scale, weights[0])
    renorm = replace_norm(model, "batch_renorm").get_layer("norm")
    np.testing.assert_array_equal(renorm.renorm_mean, weights[2])
    np.testing.assert_allclose(renorm.renorm_stddev, np.sqrt(weights[3] + 0.01), rtol=1e-6)
    tanh = replace_norm(model, "dynamic_tanh").get_layer("norm")
    np.testing.assert_array_equal(tanh.gamma, np.ones(4), err_msg="its gamma scales another thing")
    own = replace_norm(model, {"name": "batch", "momentum": 0.5}).get_layer("norm")
    assert (own.momentum, own.epsilon) == (0.5, 0.01)


def test_without_norms_the_convolutions_get_their_biases():
    model = with_norm(L.BatchNormalization(), L.ReLU())
    new = replace_norm(model, None)
    assert [type(layer).__name__ for layer in new.layers] == ["InputLayer", "Conv2D", "ReLU"]
    kernel, bias = new.get_layer("conv").get_weights()
    np.testing.assert_array_equal(kernel, model.get_layer("conv").get_weights()[0])
    np.testing.assert_array_equal(bias, np.zeros(4))


@pytest.mark.parametrize(
    ("behind", "swallowed"),
    [
        ([L.ReLU(name="act")], True),
        ([L.Activation("silu", name="act")], True),
        ([L.LeakyReLU(name="act")], True),
        ([L.Activation("softmax", name="act")], False),
        ([L.Activation("linear", name="act")], False),
        ([L.MaxPooling2D(name="pool"), L.ReLU(name="act")], False),
        ([], False),
    ],
    ids=str,
)
@pytest.mark.parametrize("norm", ["filter_response", "evonorm_s0"])
def test_a_norm_that_replaces_the_activation_takes_its_place(norm, behind, swallowed):
    model = with_norm(L.BatchNormalization(name="norm"), *[type(b).from_config(b.get_config()) for b in behind])
    new = replace_norm(model, norm)
    assert new.get_layer("norm").apply_activation is swallowed
    names = {type(layer).__name__ for layer in new.layers}
    assert bool(names & {"ReLU", "Activation", "LeakyReLU"}) is (bool(behind) and not swallowed)
    back = replace_norm(new, "batch")
    activations = [layer for layer in back.layers if isinstance(layer, L.Activation | L.ReLU)]
    assert len(activations) == len([b for b in behind if b.name == "act"])


def test_an_operation_that_applies_an_activation_is_replaced_too():
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.ops.relu(L.BatchNormalization(name="norm")(L.Dense(6)(inputs))))
    new = replace_norm(model, "filter_response")
    assert new.get_layer("norm").apply_activation is True
    assert new.output_names == model.output_names
    assert not [layer for layer in new.layers if type(layer).__name__ == "Relu"]


def test_an_activation_that_others_read_too_stays():
    inputs = keras.Input((6,))
    relu = L.ReLU(name="relu")
    x = relu(L.BatchNormalization(name="norm")(L.Dense(6)(inputs)))
    new = replace_norm(keras.Model(inputs, L.Add()([x, relu(inputs)])), "filter_response")
    assert new.get_layer("norm").apply_activation is False
    assert new.get_layer("relu")


@pytest.mark.parametrize("nest", ["sequential", "functional", "recomputed", "shared"])
def test_nested_and_shared_norms(nest):
    def inner(norm):
        layers = [L.Dense(4, name="linear"), norm, L.ReLU()]
        if nest == "sequential":
            return keras.Sequential([keras.Input((5,)), *layers], name="inner")
        model = chain((5,), *layers, name="inner")
        return bnzoo.layers.Recompute(model) if nest == "recomputed" else model

    a, b = keras.Input((5,)), keras.Input((5,))
    body = inner(L.BatchNormalization(name="norm"))
    outputs = L.Subtract()([body(a), body(b)]) if nest == "shared" else L.Add()([body(a), L.Dense(4)(b)])
    model = zoo.shaken(keras.Model([a, b], outputs))
    assert kinds(replace_norm(model, "layer")) == {"layer"}
    assert_same_function(model, replace_norm(model, "affine", keep_function=True), rtol=1e-5)


def test_training_in_the_call_goes_on_where_the_new_norm_takes_it():
    inputs = keras.Input((5,))
    model = keras.Model(inputs, L.BatchNormalization(name="norm")(L.Dense(4)(inputs), training=True))
    x = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
    np.testing.assert_allclose(np.mean(replace_norm(model, "sync_batch")(x), 0), np.zeros(4), atol=1e-5)
    assert kinds(replace_norm(model, "layer")) == {"layer"}
    with pytest.raises(ValueError, match="uses the statistics of each batch"):
        replace_norm(model, "affine", keep_function=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet50V2", "InceptionV3"])
def test_models_of_keras_applications(name):
    size = (75, 75, 3)
    model = zoo.shaken(getattr(keras.applications, name)(weights=None, input_shape=size, classes=3))
    assert_same_function(model, replace_norm(model, "batch_renorm", keep_function=True))
    group = replace_norm(model, "group")
    assert kinds(group) <= {"group", "instance"}
    assert len(group.layers) == len(model.layers)


def test_synchronized_and_back():
    model = zoo.shaken(zoo.build("resnet", norm="batch"))
    model.layers[1].trainable = False
    synchronized = synchronize_batch_norm(model)
    assert kinds(synchronized) == {"sync_batch"}
    assert_same_function(model, synchronized, rtol=1e-6)
    again = unsynchronize_batch_norm(synchronized)
    assert kinds(again) == {"batch"}
    assert again.get_config() == model.get_config()
    for now, then in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(now, then)


def test_kerass_own_synchronized_and_renorm_layers_are_known():
    model = zoo.shaken(with_norm(L.BatchNormalization(synchronized=True), L.ReLU(), L.BatchNormalization(renorm=True)))
    assert kinds(model) == {"sync_batch", "batch_renorm"}
    assert kinds(unsynchronize_batch_norm(model)) == {"batch", "batch_renorm"}
    assert kinds(replace_norm(model, "batch")) == {"batch"}
    assert_same_function(model, replace_norm(model, "batch", keep_function=True), rtol=1e-5)


MISTAKES = {
    "unknown norm": (lambda m: replace_norm(m, "bacth"), "Unknown norm: 'bacth'. Did you mean 'batch'?"),
    "unknown option": (lambda m: replace_norm(m, {"name": "layer", "groups": 2}), "has no option 'groups'"),
    "another function": (
        lambda m: replace_norm(m, "group", keep_function=True),
        "not possible from batch to group.*from a norm to itself, and among batch, sync_batch",
    ),
    "no norm, same function": (
        lambda m: replace_norm(m, None, keep_function=True),
        "not possible from batch to none.*fold_batch_norm",
    ),
    "no weight for it": (
        lambda m: replace_norm(m, {"name": "batch", "scale": False}, keep_function=True),
        "leave out scale=False",
    ),
    "nothing to synchronize": (lambda m: unsynchronize_batch_norm(m), "has no norm to replace"),
    "no norm": (lambda m: replace_norm(replace_norm(m, None), "batch"), "has no norm to replace"),
    "one value a group": (lambda m: replace_norm(m, "instance"), "one value per group"),
    "not a model": (lambda m: replace_norm("model", "batch"), "`model` must be a functional or Sequential"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(mistake):
    call, message = MISTAKES[mistake]
    with pytest.raises(ValueError, match=message):
        call(zoo.build("mlp", norm="batch"))


@pytest.mark.parametrize(
    "replace", [synchronize_batch_norm, *(lambda m, to=to: replace_norm(m, to, True) for to in ("batch", "affine"))]
)
def test_the_function_of_a_subclass_cannot_be_kept(replace):
    model = chain((5,), L.Dense(4), BatchNormReLU(name="norm"))
    with pytest.raises(ValueError, match="The function of norm cannot be kept: it is a BatchNormReLU, a subclass"):
        replace(model)
    assert kinds(replace_norm(model, "affine")) == {"affine"}


def test_other_options_are_another_function():
    model = zoo.build("resnet", norm={"name": "layer"})
    with pytest.raises(ValueError, match="not possible from layer to layer"):
        replace_norm(model, {"name": "layer", "epsilon": 0.1}, keep_function=True)


def test_a_norm_out_of_reach_is_named():
    model = chain((3, 5), L.TimeDistributed(L.BatchNormalization(name="norm"), name="wrapper"), L.LayerNormalization())
    with pytest.raises(ValueError, match="norm is inside wrapper, a TimeDistributed"):
        replace_norm(model, "group")


def test_a_norm_over_several_axes_has_no_channels():
    with pytest.raises(ValueError, match="over several axes"):
        replace_norm(chain((3, 5), L.LayerNormalization(axis=[1, 2])), "group")
