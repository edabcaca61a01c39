import keras
import numpy as np
import pytest

from bnzoo.weights.translation import Naming, transfer

L = keras.layers


def network(include_top=True):
    x = inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 3, use_bias=False, name="conv2_block3_1_conv")(x)
    x = L.BatchNormalization(name="conv2_block3_1_norm")(x)
    x = L.GlobalAveragePooling2D()(x)
    if include_top:
        x = L.Dense(5, name="logits")(x)
    return keras.Model(inputs, x)


NAMING = Naming(
    {
        "conv{s}_block{i}_{j}_conv": "layer{s-1}.{i+1}.conv{j}",
        "conv{s}_block{i}_{j}_norm/gamma": "special{s}",
        "conv{s}_block{i}_{j}_norm": "layer{s-1}.{i+1}.bn{j}",
        "logits": "fc",
    },
    words={"kernel": "weight"},
    separator=".",
    head="fc",
    convert=lambda path, value, shape: value.transpose(2, 3, 1, 0) if value.ndim == 4 else value,
    aliases={"^old": "layer"},
    unused="counter$",
    zeros="logits/bias",
)


def state():
    random = np.random.default_rng(1)
    shapes = {
        "old1.4.conv1.weight": (4, 3, 3, 3),
        "special2": (4,),
        "layer1.4.bn1.beta": (4,),
        "layer1.4.bn1.moving_mean": (4,),
        "layer1.4.bn1.moving_variance": (4,),
        "layer1.4.bn1.counter": (),
        "fc.weight": (4, 5),
        "fc.bias": (5,),
    }
    return {name: random.normal(size=shape) for name, shape in shapes.items()}


def test_every_variable_is_filled():
    model, tensors = network(), state()
    assert transfer(model, tensors, NAMING, "weights") is model
    kernel, *norm = model.layers[1].get_weights() + model.layers[2].get_weights()
    np.testing.assert_array_equal(kernel, tensors["old1.4.conv1.weight"].astype("float32").transpose(2, 3, 1, 0))
    names = ["special2", *(f"layer1.4.bn1.{word}" for word in ("beta", "moving_mean", "moving_variance"))]
    for value, name in zip(norm, names, strict=True):
        np.testing.assert_array_equal(value, tensors[name].astype("float32"))


def test_the_head_is_left_out_where_there_is_none():
    transfer(network(include_top=False), state(), NAMING, "weights")


def test_what_may_be_missing_is_zero():
    tensors = state()
    del tensors["fc.bias"]
    model = network()
    model.get_layer("logits").bias.assign(np.ones(5))
    transfer(model, tensors, NAMING, "weights")
    np.testing.assert_array_equal(model.get_layer("logits").bias, np.zeros(5))


BROKEN = {
    "missing": (
        lambda t: t.pop("layer1.4.bn1.beta"),
        r"'layer1\.4\.bn1\.beta' for 'conv2_block3_1_norm/beta' of shape \(4,\) is missing",
    ),
    "superfluous": (
        lambda t: t.update({"layer9.weight": np.ones((2, 3))}),
        r"'layer9\.weight' of shape \(2, 3\) is superfluous",
    ),
    "another shape": (
        lambda t: t.update({"fc.weight": np.ones((4, 7))}),
        r"'fc\.weight' has the shape \(4, 7\), but 'logits/kernel' has \(4, 5\)",
    ),
    "another shape, turned": (
        lambda t: t.update({"old1.4.conv1.weight": np.ones((4, 1, 3, 3))}),
        r"conv1\.weight' has the shape \(4, 1, 3, 3\), \(3, 3, 1, 4\) in Keras' order .* has \(3, 3, 3, 4\)",
    ),
    "no numbers": (
        lambda t: t.update({"special2": np.array(["a"] * 4)}),
        r"'special2' of shape \(4,\) \(<U1\) cannot be a value of 'conv2_block3_1_norm/gamma'",
    ),
    "empty": (lambda t: t.clear(), r"'layer1\.4\.conv1\.weight' for .* is missing"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_first_tensor_that_does_not_fit_is_named_and_nothing_is_changed(case):
    spoil, message = BROKEN[case]
    tensors, model = state(), network()
    before = model.get_weights()
    spoil(tensors)
    with pytest.raises(ValueError, match=f"The weights do not fit: the tensor .*{message}"):
        transfer(model, tensors, NAMING, "weights")
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
