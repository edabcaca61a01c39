import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bnzoo
from bnzoo.tools import fold_batch_norm

L = keras.layers


def assert_same_function(model, folded, atol=0.0):
    random = np.random.default_rng(5)
    x = [random.normal(size=(3, *t.shape[1:])).astype("float32") for t in model.inputs]
    for expected, got in zip(
        keras.tree.flatten(model(x if len(x) > 1 else x[0], training=False)),
        keras.tree.flatten(folded(x if len(x) > 1 else x[0], training=False)),
        strict=True,
    ):
        expected = np.asarray(expected)
        np.testing.assert_allclose(np.asarray(got), expected, atol=1e-4 * np.abs(expected).max() + atol, rtol=0)


def chain(shape, *layers):
    x = inputs = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def norms_of(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, L.BatchNormalization)]


FOLDABLE = {
    "dense": ((5,), L.Dense(4)),
    "dense on tokens": ((6, 5), L.Dense(4)),
    "conv1d": ((9, 3), L.Conv1D(4, 3, padding="causal")),
    "conv2d": ((9, 9, 3), L.Conv2D(4, 3, strides=2)),
    "conv2d same, no bias": ((9, 9, 3), L.Conv2D(4, 3, padding="same", use_bias=False)),
    "conv2d dilated, grouped": ((9, 9, 4), L.Conv2D(6, 3, dilation_rate=2, groups=2)),
    "conv3d": ((5, 5, 5, 2), L.Conv3D(3, 2)),
    "transpose": ((5, 5, 3), L.Conv2DTranspose(4, 3, strides=2)),
    "transpose 1d": ((5, 3), L.Conv1DTranspose(4, 3)),
    "depthwise": ((7, 7, 3), L.DepthwiseConv2D(3)),
    "depthwise, multiplier 2": ((7, 7, 3), L.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)),
    "separable": ((7, 7, 3), L.SeparableConv2D(5, 3)),
}


@pytest.mark.parametrize("kind", FOLDABLE)
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}], ids=str)
def test_every_linear_layer_takes_in_its_norm(kind, options, random_statistics):
    shape, layer = FOLDABLE[kind]
    model = random_statistics(
        chain(shape, type(layer).from_config(layer.get_config()), L.BatchNormalization(**options))
    )
    before = model.get_weights()
    folded, report = fold_batch_norm(model)
    assert (len(report.folded), report.kept, norms_of(folded)) == (1, {}, [])
    assert_same_function(model, folded)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(
    "between",
    [L.Dropout(0.5), L.Identity(), L.Activation("linear"), L.BatchNormalization(name="another")],
    ids=lambda b: type(b).__name__,
)
def test_what_does_nothing_may_stand_between(between, random_statistics):
    copy = type(between).from_config(between.get_config())
    model = random_statistics(chain((5,), L.Dense(4), copy, L.BatchNormalization(), L.ReLU()))
    folded, report = fold_batch_norm(model)
    assert not norms_of(folded)
    assert not report.kept
    assert_same_function(model, folded)


def shared_convolution():
    conv, norm = L.Conv2D(4, 1), L.BatchNormalization(name="norm")
    a, b = keras.Input((4, 4, 3)), keras.Input((4, 4, 3))
    return keras.Model([a, b], [norm(conv(a)), conv(b)])


def two_readers():
    a = keras.Input((5,))
    x = L.Dense(4, name="linear")(a)
    return keras.Model(a, L.Add()([x, L.BatchNormalization(name="norm")(x)]))


def also_an_output():
    a = keras.Input((5,))
    x = L.Dense(4, name="linear")(a)
    return keras.Model(a, [x, L.BatchNormalization(name="norm")(x)])


def called_twice():
    a = keras.Input((5,))
    norm = L.BatchNormalization(name="norm")
    return keras.Model(a, norm(norm(L.Dense(4)(a))))


def training_baked_in():
    a = keras.Input((5,))
    return keras.Model(a, L.BatchNormalization(name="norm")(L.Dense(4)(a), training=True))


def nested():
    return chain((5,), chain((5,), L.Dense(4), L.BatchNormalization(name="norm")))


def quantised():
    model = chain((5,), L.Dense(4, name="linear"), L.BatchNormalization(name="norm"))
    model.get_layer("linear").quantize("int8")
    return model


def negative_variance():
    model = chain((5,), L.Dense(4), L.BatchNormalization(name="norm"))
    model.get_layer("norm").moving_variance.assign([-1.0, 1, 1, 1])
    return model


REFUSED = {
    "activation between": (lambda: chain((5,), L.Dense(4), L.ReLU(), L.BatchNormalization(name="norm")), "ReLU"),
    "own activation": (
        lambda: chain((5,), L.Dense(4, "relu"), L.BatchNormalization(name="norm")),
        "has an activation of its own",
    ),
    "first layer": (lambda: chain((5,), L.BatchNormalization(name="norm")), "InputLayer"),
    "another axis": (
        lambda: chain((5, 5, 3), L.Conv2D(4, 1), L.BatchNormalization(axis=1, name="norm")),
        "not the channel axis",
    ),
    "shared convolution": (shared_convolution, "is called 2 times"),
    "two readers": (two_readers, "also read by another layer"),
    "an output": (also_an_output, "also an output of the model"),
    "norm called twice": (called_twice, "it is called 2 times"),
    "training=True": (training_baked_in, "training=True"),
    "nested": (nested, "it is inside"),
    "recomputed": (
        lambda: chain((5,), bnzoo.layers.Recompute(chain((5,), L.Dense(4), L.BatchNormalization(name="norm")))),
        "(Recompute)",
    ),
    "standardised kernel": (
        lambda: chain((5, 5, 3), bnzoo.layers.WeightStandardizedConv2D(4, 1), L.BatchNormalization(name="norm")),
        "WeightStandardizedConv2D",
    ),
    "quantised": (quantised, "quantised"),
    "negative variance": (negative_variance, "a variance is negative"),
    "spectral": (
        lambda: chain((5,), L.SpectralNormalization(L.Dense(4)), L.BatchNormalization(name="norm")),
        "SpectralNormalization",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_folded_is_refused_with_the_reason(case):
    make, reason = REFUSED[case]
    model = make()
    folded, report = fold_batch_norm(model)
    assert list(report.kept) == ["norm"]
    assert reason in report.kept["norm"]
    assert not report.folded
    assert len(norms_of(folded)) == 1
    if case not in ("training=True", "negative variance"):
        assert_same_function(model, folded)


@pytest.mark.parametrize("norm", ["sync_batch", "ghost_batch", "batch_renorm"])
def test_relatives_of_batch_norm_fold_alike(random_statistics, norm):
    model = random_statistics(bnzoo.ResNetCifar(8, norm=norm, input_shape=(8, 8, 3), shortcut="projection"))
    folded, report = fold_batch_norm(model)
    assert len(report.folded) == 9
    assert norms_of(folded) == []
    assert_same_function(model, folded)


def test_names_structure_and_other_layers_survive(random_statistics):
    image, table = keras.Input((8, 8, 3), name="image"), keras.Input((4,), name="table")
    x = L.BatchNormalization()(L.Conv2D(4, 3)(image))
    y = L.BatchNormalization(name="tabular")(L.Dense(4)(table))
    x = L.Add()([L.GlobalAveragePooling2D()(x), y])
    model = random_statistics(keras.Model({"image": image, "table": table}, {"sum": x, "tabular": y}))
    folded, report = fold_batch_norm(model)
    assert list(report.kept) == []
    assert [t.name for t in folded.inputs] == [t.name for t in model.inputs]
    assert folded.output_names == model.output_names
    inputs = {"image": np.ones((2, 8, 8, 3), "float32"), "table": np.ones((2, 4), "float32")}
    expected, got = model(inputs), folded(inputs)
    assert set(got) == {"sum", "tabular"}
    for name in expected:
        np.testing.assert_allclose(np.asarray(got[name]), np.asarray(expected[name]), rtol=1e-4, atol=1e-5)


def test_sequential_and_compiled_models_fold(random_statistics):
    model = keras.Sequential([keras.Input((5,)), L.Dense(4), L.BatchNormalization(), L.Dense(2)])
    model.compile("sgd", "mse")
    random_statistics(model)
    folded, report = fold_batch_norm(model)
    assert str(report) == "1 of 1 batch norms folded"
    assert model.compiled
    assert not folded.compiled
    assert_same_function(model, folded)


def test_whole_networks(random_statistics):
    """A post-activation ResNet folds whole; a pre-activation one only where a convolution comes first."""
    for placement, kept in (("post", 0), ("pre", 6), ("act_norm", 13)):
        model = random_statistics(bnzoo.ResNetCifar(14, input_shape=(8, 8, 1), placement=placement))
        folded, report = fold_batch_norm(model)
        assert len(report.kept) == kept == len(norms_of(folded))
        assert len(report.folded) == len(norms_of(model)) - kept
        assert_same_function(model, folded, atol=1e-6)
        assert f"of {len(norms_of(model))} batch norms folded" in str(report)


def test_what_has_no_graph_is_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    own = Own()
    own.build((None, 3))
    with pytest.raises(ValueError, match="subclassed model"):
        fold_batch_norm(own)
    with pytest.raises(ValueError, match="not built"):
        fold_batch_norm(keras.Sequential([L.Dense(3)]))


LAYERS = st.sampled_from(["conv", "conv relu", "depthwise", "norm", "relu", "dropout", "pool", "branch"])


@given(words=st.lists(LAYERS, min_size=2, max_size=9), seed=st.integers(0, 9))
@settings(max_examples=25)
def test_random_networks_keep_their_function(words, seed):
    """Whatever stands around them, and every norm straight behind an own convolution is folded."""
    x = inputs = keras.Input((6, 6, 2))
    foldable, fresh = 0, False
    for word in words:
        foldable += word == "norm" and fresh
        if word.startswith("conv"):
            x = L.Conv2D(3, 3, padding="same", activation="relu" if "relu" in word else None)(x)
        elif word == "depthwise":
            x = L.DepthwiseConv2D(3, padding="same")(x)
        elif word == "norm":
            x = L.BatchNormalization()(x)
        elif word == "branch":
            x = L.Add()([x, L.Conv2D(x.shape[-1], 1)(x)])
        else:
            x = {
                "relu": L.ReLU,
                "dropout": lambda: L.Dropout(0.3),
                "pool": lambda: L.MaxPooling2D(2, 1, padding="same"),
            }[word]()(x)
        fresh = word in ("conv", "depthwise") or (fresh and word in ("norm", "dropout"))
    model = keras.Model(inputs, L.Dense(2)(L.Flatten()(x)))
    random = np.random.default_rng(seed)
    for norm in norms_of(model):
        norm.set_weights([random.uniform(0.5, 1.5, w.shape) for w in norm.get_weights()])
    folded, report = fold_batch_norm(model)
    assert_same_function(model, folded)
    assert len(report.folded) + len(report.kept) == words.count("norm")
    assert len(report.folded) == len(norms_of(model)) - len(norms_of(folded))
    if "branch" not in words:
        assert len(report.folded) == foldable
