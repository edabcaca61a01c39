import itertools

import keras
import numpy as np
import pytest
from small_models import BatchNormReLU, L, assert_same_function, batch_norms, chain, fresh, outputs_of
from tiers import tiered

import bnzoo
from bnzoo.tools import fold_batch_norm

BACKWARD = {
    "dense": ((5,), L.Dense(4)),
    "dense on tokens": ((6, 5), L.Dense(4)),
    "conv1d": ((9, 3), L.Conv1D(4, 3, padding="causal")),
    "conv2d": ((9, 9, 3), L.Conv2D(4, 3, strides=2)),
    "conv2d same, no bias": ((9, 9, 3), L.Conv2D(4, 3, padding="same", use_bias=False)),
    "conv2d dilated, grouped": ((9, 9, 4), L.Conv2D(6, 3, dilation_rate=2, groups=2)),
    "conv3d": ((5, 5, 5, 2), L.Conv3D(3, 2)),
    "transpose": ((5, 5, 3), L.Conv2DTranspose(4, 3, strides=2, padding="same")),
    "transpose 1d": ((5, 3), L.Conv1DTranspose(4, 3)),
    "transpose 3d": ((3, 3, 3, 2), L.Conv3DTranspose(4, 2, use_bias=False)),
    "depthwise": ((7, 7, 3), L.DepthwiseConv2D(3)),
    "depthwise, multiplier 2": ((7, 7, 3), L.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)),
    "depthwise 1d": ((7, 3), L.DepthwiseConv1D(3, depth_multiplier=2)),
    "separable": ((7, 7, 3), L.SeparableConv2D(5, 3, depth_multiplier=2)),
    "separable 1d": ((7, 3), L.SeparableConv1D(5, 3, padding="same")),
}
FORWARD = {
    "dense": ((5,), L.Dense(4)),
    "dense on tokens": ((6, 5), L.Dense(4, "relu")),
    "conv1d valid": ((9, 3), L.Conv1D(4, 3)),
    "conv1d causal, pointwise": ((9, 3), L.Conv1D(4, 1, padding="causal")),
    "conv2d valid": ((9, 9, 3), L.Conv2D(4, 3, strides=2)),
    "conv2d same, pointwise": ((9, 9, 3), L.Conv2D(4, 1, padding="same", strides=2, use_bias=False)),
    "conv2d dilated, grouped": ((9, 9, 4), L.Conv2D(6, 3, dilation_rate=2, groups=2)),
    "conv3d": ((5, 5, 5, 2), L.Conv3D(3, 2, use_bias=False)),
    "transpose, pointwise": ((5, 5, 3), L.Conv2DTranspose(4, 1)),
    "depthwise": ((7, 7, 3), L.DepthwiseConv2D(3)),
    "depthwise, multiplier 2": ((7, 7, 3), L.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)),
    "depthwise 1d": ((7, 3), L.DepthwiseConv1D(3, depth_multiplier=2)),
    "separable": ((7, 7, 3), L.SeparableConv2D(5, 3, depth_multiplier=2)),
    "separable 1d": ((7, 3), L.SeparableConv1D(5, 3, use_bias=False)),
}
NORMS = [{}, {"scale": False}, {"center": False}, {"scale": False, "center": False}, {"renorm": True}]


def pairs(kinds, norms):
    """Pair kinds of layers with options of the norm, which are independent in the code.

    Each kind occurs with one of the options and each of the options with several kinds; the other pairs are nightly.
    """
    some = [(kind, norms[number % len(norms)]) for number, kind in enumerate(kinds)]
    return tiered(itertools.product(kinds, norms), plain=some)


@pytest.mark.parametrize(("kind", "options"), pairs(BACKWARD, NORMS), ids=str)
def test_every_linear_layer_takes_in_the_norm_behind_it(kind, options, random_statistics):
    shape, layer = BACKWARD[kind]
    model = random_statistics(chain(shape, fresh(layer), L.BatchNormalization(**options), L.ReLU()))
    before = model.get_weights()
    folded, report = fold_batch_norm(model)
    assert (len(report.folded), report.kept, batch_norms(folded)) == (1, {}, [])
    assert_same_function(model, folded)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(("kind", "options"), pairs(FORWARD, NORMS[:-1]), ids=str)
def test_every_linear_layer_that_pads_nothing_takes_in_the_norm_before_it(kind, options, random_statistics):
    shape, layer = FORWARD[kind]
    model = random_statistics(chain(shape, L.ReLU(), L.BatchNormalization(name="norm", **options), fresh(layer)))
    folded, report = fold_batch_norm(model)
    assert (list(report.folded), report.kept, batch_norms(folded)) == (["norm"], {}, [])
    assert_same_function(model, folded)


def test_against_numpy_in_float64(random_statistics):
    """The folded kernel equals the float64 result, rounded once at the end."""
    model = random_statistics(chain((5,), L.Dense(4, name="dense"), L.BatchNormalization(name="norm")))
    kernel, bias = (w.astype(np.float64) for w in model.get_layer("dense").get_weights())
    gamma, beta, mean, variance = (w.astype(np.float64) for w in model.get_layer("norm").get_weights())
    scale = gamma / np.sqrt(variance + 1e-3)
    folded, _ = fold_batch_norm(model)
    new_kernel, new_bias = folded.get_layer("dense").get_weights()
    np.testing.assert_array_equal(new_kernel, (kernel * scale).astype(np.float32))
    np.testing.assert_array_equal(new_bias, ((bias - mean) * scale + beta).astype(np.float32))


@pytest.mark.parametrize("dtype", ["float64", "mixed_float16", "mixed_bfloat16"])
def test_other_precisions(dtype, random_statistics):
    keras.config.set_dtype_policy(dtype)
    try:
        model = chain(
            (9, 9, 3), L.Conv2D(4, 3), L.BatchNormalization(), L.ReLU(), L.BatchNormalization(), L.Conv2D(4, 1)
        )
        folded, report = fold_batch_norm(random_statistics(model))
    finally:
        keras.config.set_dtype_policy("float32")
    assert len(report.folded) == 2
    assert [t.dtype for t in folded.outputs] == [t.dtype for t in model.outputs]
    assert_same_function(model, folded, rtol={"float64": 1e-12, "mixed_float16": 5e-3, "mixed_bfloat16": 5e-2}[dtype])


def test_the_dtype_of_a_norm_in_float32_survives_it(random_statistics):
    """Networks in mixed precision often have norms in float32."""
    convolution = L.Conv2D(4, 3, dtype="mixed_float16")
    model = random_statistics(chain((9, 9, 3), convolution, L.BatchNormalization(dtype="float32")))
    folded, report = fold_batch_norm(model)
    assert not report.kept
    assert folded.output.dtype == model.output.dtype == "float32"
    assert_same_function(model, folded, rtol=5e-3)


def test_channels_first(random_statistics):
    model = chain(
        (3, 9, 9),
        L.Conv2D(4, 3, data_format="channels_first"),
        L.BatchNormalization(axis=1),
        L.ReLU(),
        L.BatchNormalization(axis=1),
        L.MaxPooling2D(data_format="channels_first"),
        L.Conv2D(4, 1, data_format="channels_first"),
        L.GlobalAveragePooling2D(data_format="channels_first"),
        L.BatchNormalization(),
    )
    folded, report = fold_batch_norm(random_statistics(model))
    assert (len(report.folded), report.kept) == (3, {})
    assert_same_function(model, folded)


BETWEEN = {
    "dropout": L.Dropout(0.5),
    "spatial dropout": L.SpatialDropout1D(0.5),
    "gaussian dropout": L.GaussianDropout(0.5),
    "alpha dropout": L.AlphaDropout(0.5),
    "noise": L.GaussianNoise(1.0),
    "identity": L.Identity(),
    "linear": L.Activation("linear"),
    "activity regularization": L.ActivityRegularization(0.1),
    "another norm": L.BatchNormalization(name="another"),
    "average pooling": L.AveragePooling1D(2, padding="same"),
    "global average pooling": L.GlobalAveragePooling1D(),
    "cropping": L.Cropping1D(1),
    "max pooling, no scale negative": L.MaxPooling1D(3, 2, padding="same"),
    "global max pooling, no scale negative": L.GlobalMaxPooling1D(),
}


@pytest.mark.parametrize("direction", ["backward", "forward"])
@pytest.mark.parametrize("between", BETWEEN)
def test_what_keeps_the_function_may_stand_between(between, direction, random_statistics):
    norm, linear = L.BatchNormalization(), L.Dense(4)
    layers = [linear, fresh(BETWEEN[between]), norm]
    if direction == "forward":
        layers = [L.ReLU(), *reversed(layers)]
    model = random_statistics(chain((6, 5), *layers, L.ReLU()))
    folded, report = fold_batch_norm(model)
    assert (batch_norms(folded), report.kept) == ([], {})
    assert_same_function(model, folded)


def siamese(outer_norm=False):
    """Return an inner model that is called twice, with a norm inside or after it."""
    inner = chain(
        (5,), L.Dense(4, name="linear"), *([] if outer_norm else [L.BatchNormalization(name="norm")]), name="inner"
    )
    a, b = keras.Input((5,), name="a"), keras.Input((5,), name="b")
    left, right = inner(a), inner(b)
    if outer_norm:
        left = L.BatchNormalization(name="norm")(left)
    return keras.Model([a, b], L.Subtract()([left, right]))


def norm_behind_two_convolutions():
    a, norm = keras.Input((4, 4, 3)), L.BatchNormalization(name="norm")
    return keras.Model(a, L.Concatenate()([norm(L.Conv2D(4, 1)(a)), L.ReLU()(norm(L.Conv2D(4, 3, padding="same")(a)))]))


def shared_pair():
    convolution, norm = L.Conv2D(4, 1), L.BatchNormalization(name="norm")
    a, b = keras.Input((4, 4, 3)), keras.Input((4, 4, 3))
    return keras.Model([a, b], [norm(convolution(a)), L.ReLU()(norm(convolution(b)))])


def across_the_border():
    """The convolution is the last layer of one nested model, the norm the first of another."""
    return chain(
        (6, 6, 3),
        chain((6, 6, 3), L.Conv2D(4, 3), name="body"),
        keras.Sequential([keras.Input((4, 4, 4)), L.BatchNormalization(name="norm"), L.ReLU()], name="head"),
    )


def three_deep():
    inner = chain((5,), L.Dense(4), L.BatchNormalization(name="norm"), L.ReLU(), name="inner")
    return chain((5,), keras.Sequential([keras.Input((5,)), inner, L.Dense(3)], name="middle"), L.Dense(2))


def named_inner_inputs():
    image, table = keras.Input((4,), name="zimage"), keras.Input((3,), name="atable")
    inner = keras.Model(
        {"zimage": image, "atable": table},
        {"b": L.BatchNormalization(name="norm")(L.Dense(2)(image)), "a": L.Dense(2)(table)},
        name="inner",
    )
    x, y = keras.Input((4,), name="x"), keras.Input((3,), name="y")
    outputs = inner({"zimage": x, "atable": y})
    return keras.Model([x, y], L.Subtract()([outputs["a"], outputs["b"]]))


def two_readers_forward():
    a = keras.Input((5,))
    x = L.BatchNormalization(name="norm")(L.ReLU()(a))
    return keras.Model(a, [L.Dense(2, "relu")(x), L.Dense(3)(L.Dropout(0.5)(x))])


def training_false_in_the_call():
    a = keras.Input((5,))
    return keras.Model(a, L.BatchNormalization(name="norm")(L.Dense(4)(a), training=False))


def frozen_with_training_true():
    a = keras.Input((5,))
    return keras.Model(a, L.BatchNormalization(name="norm", trainable=False)(L.Dense(4)(a), training=True))


def operators():
    a = keras.Input((5,))
    x = L.BatchNormalization(name="norm")(L.Dense(4)(a * 2.0 + 1.0))
    return keras.Model(a, keras.ops.split(x, 2, axis=-1)[1] + 0.5)


def called_by_name():
    a = keras.Input((5,))
    inner = chain((5,), L.Dense(4), L.BatchNormalization(name="norm"), L.ReLU(), name="inner")
    return keras.Model(a, inner(inputs=L.ReLU()(inputs=a)))


def adapted():
    """Return a model with a layer that derives values from its weights in `adapt`."""
    scale = L.Normalization()
    scale.adapt(np.random.default_rng(0).normal(3, 9, (40, 5)))
    return chain((5,), scale, L.Dense(4), L.BatchNormalization(name="norm"), L.ReLU())


def with_a_vocabulary():
    a, words = keras.Input((5,)), keras.Input((), dtype="int64")
    looked_up = L.Embedding(4, 4)(L.IntegerLookup(vocabulary=[12, 36, 54])(words))
    return keras.Model([a, words], L.Add()([L.BatchNormalization(name="norm")(L.Dense(4)(a)), looked_up]))


def masked():
    a = keras.Input((6, 5))
    return keras.Model(a, L.LSTM(3)(L.BatchNormalization(name="norm")(L.Dense(4)(L.Masking(0.0)(a)))))


FOLDED = {
    "inner model called twice": siamese,
    "one norm behind two convolutions": norm_behind_two_convolutions,
    "convolution and norm called together, twice": shared_pair,
    "across nested models": across_the_border,
    "three models deep": three_deep,
    "inner model with named inputs and outputs": named_inner_inputs,
    "recomputed": lambda: chain(
        (5,), bnzoo.layers.Recompute(chain((5,), L.Dense(4), L.BatchNormalization(name="norm"))), L.ReLU()
    ),
    "two layers read the norm": two_readers_forward,
    "training=False in the call": training_false_in_the_call,
    "frozen, training=True in the call": frozen_with_training_true,
    "operators": operators,
    "masks": masked,
    "called by name": called_by_name,
    "adapted": adapted,
    "vocabulary": with_a_vocabulary,
    "lambda beside it": lambda: chain(
        (5,), L.Lambda(lambda x: 2 * x), L.Dense(4), L.BatchNormalization(name="norm"), L.ReLU()
    ),
    "only a norm, nested": lambda: chain(
        (5,), L.ReLU(), keras.Sequential([keras.Input((5,)), L.BatchNormalization(name="norm")]), L.Dense(2)
    ),
}


@pytest.mark.parametrize("case", FOLDED)
def test_structures_that_fold(case, random_statistics, tmp_path):
    model = random_statistics(FOLDED[case]())
    folded, report = fold_batch_norm(model)
    assert [name.rpartition("/")[2] for name in report.folded] == ["norm"]
    assert (report.kept, batch_norms(folded)) == ({}, [])
    assert_same_function(model, folded)
    if "lambda" not in case:
        folded.save(tmp_path / "folded.keras")
        assert_same_function(folded, keras.saving.load_model(tmp_path / "folded.keras"), rtol=1e-6)


def test_names_of_nested_norms_say_where_they_are(random_statistics):
    _, report = fold_batch_norm(random_statistics(three_deep()))
    assert list(report.folded) == ["middle/inner/norm"]


def shared_convolution():
    conv, norm = L.Conv2D(4, 1, name="linear"), L.BatchNormalization(name="norm")
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


def called_behind_itself():
    a = keras.Input((5,))
    norm = L.BatchNormalization(name="norm")
    return keras.Model(a, norm(norm(L.Dense(5)(a))))


def training_true(outer=False):
    a = keras.Input((5,))
    norm = L.BatchNormalization(name="norm")
    if outer:
        return keras.Model(a, chain((5,), L.Dense(4), norm)(a, training=True))
    return keras.Model(a, norm(L.Dense(4)(a), training=True))


def dropout_that_stays_on():
    a = keras.Input((5,))
    x = L.Dropout(0.5, name="drop")(L.Dense(4)(a), training=True)
    return keras.Model(a, L.BatchNormalization(name="norm")(x))


def quantised():
    model = chain((5,), L.Dense(4, name="linear"), L.BatchNormalization(name="norm"))
    model.get_layer("linear").quantize("int8")
    return model


def lora():
    model = chain((5,), L.Dense(4, name="linear"), L.BatchNormalization(name="norm"))
    model.get_layer("linear").enable_lora(2)
    return model


def with_weight(name, value, *layers):
    model = chain((8, 4), *layers, L.BatchNormalization(name="norm"), L.ReLU())
    getattr(model.get_layer("norm"), name).assign(value)
    return model


class Half(L.Dense):
    """A subclass with another function than its base."""

    def call(self, inputs, training=None):
        return super().call(inputs / 2)


class AlwaysDropout(L.Dropout):
    """A dropout that is active at inference too."""

    def call(self, inputs, training=None):
        return super().call(inputs, training=True)


class Double(L.Identity):
    """An identity that is none."""

    def call(self, inputs):
        return 2 * inputs


class Squares(L.AveragePooling1D):
    """A pooling that is not linear."""

    def call(self, inputs):
        return keras.ops.square(super().call(inputs))


REFUSED = {
    "activation between": (
        lambda: chain((5,), L.Dense(4), L.ReLU(name="act"), L.BatchNormalization(name="norm")),
        "act (ReLU)",
    ),
    "own activation": (
        lambda: chain((5,), L.Dense(4, "relu", name="linear"), L.BatchNormalization(name="norm")),
        "linear applies an activation",
    ),
    "first layer": (lambda: chain((5,), L.BatchNormalization(name="norm")), "an input of the model"),
    "another axis": (
        lambda: chain((5, 5, 3), L.Conv2D(4, 1), L.BatchNormalization(axis=1, name="norm")),
        "normalizes axis 1, which is not the channel axis",
    ),
    "shared convolution": (shared_convolution, "linear is called 2 times"),
    "two readers": (two_readers, "the output of linear is also read by another layer"),
    "an output": (also_an_output, "the output of linear is also an output of the model"),
    "called behind itself": (called_behind_itself, "norm (BatchNormalization)"),
    "behind an inner model that is called twice": (lambda: siamese(outer_norm=True), "linear is called 2 times"),
    "training=True": (training_true, "training=True"),
    "training=True for the nested model": (lambda: training_true(outer=True), "training=True"),
    "dropout with training=True between": (dropout_that_stays_on, "drop (Dropout)"),
    "inside a wrapper": (
        lambda: chain((3, 5), L.TimeDistributed(L.BatchNormalization(name="norm"), name="wrapper")),
        "inside wrapper, a TimeDistributed",
    ),
    "standardised kernel": (
        lambda: chain((5, 5, 3), bnzoo.layers.WeightStandardizedConv2D(4, 1), L.BatchNormalization(name="norm")),
        "WeightStandardizedConv2D",
    ),
    "subclass of a linear layer": (lambda: chain((5,), Half(4), L.BatchNormalization(name="norm")), "(Half)"),
    "subclass of batch norm": (lambda: chain((5,), L.Dense(4), BatchNormReLU(name="norm")), "it is a BatchNormReLU"),
    "subclass of dropout between": (
        lambda: chain((5,), L.Dense(4), AlwaysDropout(0.5, name="drop"), L.BatchNormalization(name="norm")),
        "drop (AlwaysDropout)",
    ),
    "subclass of the identity between": (
        lambda: chain((5,), L.Dense(4), Double(name="twice"), L.BatchNormalization(name="norm")),
        "twice (Double)",
    ),
    "subclass of pooling between": (
        lambda: chain((6, 5), L.Dense(4), Squares(2, name="pool"), L.BatchNormalization(name="norm")),
        "pool (Squares)",
    ),
    "quantised": (quantised, "the kernel of linear is quantised"),
    "lora": (lora, "LoRA"),
    "negative variance": (
        lambda: with_weight("moving_variance", [-1.0, 1, 1, 1], L.Dense(4)),
        "a variance is negative",
    ),
    "NaN": (lambda: with_weight("moving_mean", [np.nan, 1, 1, 1], L.Dense(4)), "not finite"),
    "max pooling and a negative scale": (
        lambda: with_weight("gamma", [-1.0, 1, 1, 1], L.Dense(4), L.MaxPooling1D(2, name="pool")),
        "a scale is negative, and pool takes the maximum",
    ),
    "spectral": (
        lambda: chain((5,), L.SpectralNormalization(L.Dense(4)), L.BatchNormalization(name="norm")),
        "SpectralNormalization",
    ),
    "addition before": (
        lambda: chain((5,), L.Dense(4), L.Lambda(lambda x: x + x, name="sum"), L.BatchNormalization(name="norm")),
        "sum (Lambda)",
    ),
    "padding behind": (
        lambda: chain(
            (5, 5, 3), L.ReLU(), L.BatchNormalization(name="norm"), L.Conv2D(4, 3, padding="same", name="conv")
        ),
        "conv behind it pads with zeros",
    ),
    "padding layer behind": (
        lambda: chain(
            (5, 5, 3), L.ReLU(), L.BatchNormalization(name="norm"), L.ZeroPadding2D(name="pad"), L.Conv2D(4, 3)
        ),
        "behind it is pad (ZeroPadding2D)",
    ),
    "padding layer before": (
        lambda: chain((5, 5, 3), L.Conv2D(4, 3), L.ZeroPadding2D(name="pad"), L.BatchNormalization(name="norm")),
        "pad (ZeroPadding2D)",
    ),
    "strided transpose behind": (
        lambda: chain(
            (5, 5, 3), L.ReLU(), L.BatchNormalization(name="norm"), L.Conv2DTranspose(4, 2, strides=2, name="up")
        ),
        "up behind it pads with zeros, or uses some positions less often",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_folded_is_refused_with_the_reason(case):
    make, reason = REFUSED[case]
    model = make()
    folded, report = fold_batch_norm(model)
    assert [name.rpartition("/")[2] for name in report.kept] == ["norm"]
    assert reason in next(iter(report.kept.values()))
    assert not report.folded
    assert len(batch_norms(folded)) == 1
    assert str(report).startswith("0 of 1 batch norms folded\n  kept ")
    if "dropout" not in case and case not in ("negative variance", "NaN"):
        assert_same_function(model, folded)


def test_one_refusal_does_not_keep_the_others(random_statistics):
    x = inputs = keras.Input((5,))
    for i in range(4):
        x = L.BatchNormalization(name=f"norm_{i}")(L.Dense(5, "relu" if i == 2 else None)(x))
        x = L.Activation("tanh")(x)
    folded, report = fold_batch_norm(random_statistics(keras.Model(inputs, x)))
    assert (list(report.folded), list(report.kept)) == (["norm_0", "norm_1", "norm_3"], ["norm_2"])
    assert len(batch_norms(folded)) == 1


@pytest.mark.parametrize("norm", ["sync_batch", "ghost_batch", "batch_renorm"])
def test_relatives_of_batch_norm_fold_alike(random_statistics, norm):
    model = random_statistics(bnzoo.ResNetCifar(8, norm=norm, input_shape=(8, 8, 3), shortcut="projection"))
    folded, report = fold_batch_norm(model)
    assert len(report.folded) == 9
    assert batch_norms(folded) == []
    assert_same_function(model, folded)


def test_names_structure_and_other_layers_survive(random_statistics, tmp_path):
    image, table = keras.Input((8, 8, 3), name="image"), keras.Input((4,), name="table")
    x = L.BatchNormalization()(L.Conv2D(4, 3)(image))
    y = L.BatchNormalization(name="tabular")(L.Dense(4)(table))
    x = L.Add()([L.GlobalAveragePooling2D()(x), y])
    model = random_statistics(keras.Model({"image": image, "table": table}, {"sum": x, "tabular": y}))
    folded, report = fold_batch_norm(model)
    assert report.kept == {}
    assert [t.name for t in folded.inputs] == [t.name for t in model.inputs]
    assert folded.output_names == model.output_names
    inputs = {"image": np.ones((2, 8, 8, 3), "float32"), "table": np.ones((2, 4), "float32")}
    assert set(folded(inputs)) == {"sum", "tabular"}
    assert_same_function(model, folded)
    folded.export(tmp_path / "exported", verbose=False)
    folded.save(tmp_path / "folded.keras")
    assert_same_function(folded, keras.saving.load_model(tmp_path / "folded.keras"), rtol=1e-6)


def test_sequential_and_compiled_models_fold(random_statistics):
    model = keras.Sequential([keras.Input((5,)), L.Dense(4), L.BatchNormalization(), L.Dense(2)])
    model.compile("sgd", "mse")
    random_statistics(model)
    folded, report = fold_batch_norm(model)
    assert str(report) == "1 of 1 batch norms folded"
    assert type(folded) is keras.Sequential
    assert model.compiled
    assert not folded.compiled
    assert_same_function(model, folded)


def test_a_sequential_model_that_data_has_built(random_statistics):
    model = keras.Sequential([L.Dense(4), L.BatchNormalization()])
    model(np.ones((2, 5), "float32"))
    folded, report = fold_batch_norm(random_statistics(model))
    assert (len(report.folded), [layer.name for layer in folded.layers]) == (1, [layer.name for layer in model.layers])
    assert_same_function(model, folded)


def test_the_model_that_is_folded_still_trains(random_statistics):
    model = random_statistics(chain((5,), L.Dense(4), L.BatchNormalization(), L.Dense(1)))
    model.compile("sgd", "mse")
    folded, _ = fold_batch_norm(model)
    before = outputs_of(folded)
    model.fit(np.ones((8, 5)), np.ones((8, 1)), verbose=0)
    np.testing.assert_array_equal(outputs_of(folded), before)


@pytest.mark.parametrize(("placement", "kept"), [("post", 0), ("pre", 6), ("act_norm", 13)])
def test_whole_networks(random_statistics, placement, kept):
    """A post-activation ResNet folds completely. Others fold the norms that are adjacent to convolutions."""
    model = random_statistics(bnzoo.ResNetCifar(14, input_shape=(8, 8, 1), placement=placement))
    folded, report = fold_batch_norm(model)
    assert len(report.kept) == kept == len(batch_norms(folded))
    assert len(report.folded) == len(batch_norms(model)) - kept
    assert_same_function(model, folded, atol=1e-6)
    assert f"{len(report.folded)} of {len(batch_norms(model))} batch norms folded" in str(report)


@pytest.mark.parametrize(
    ("placement", "options", "folded_factors"),
    [
        ("post", {"drop_path_rate": 0.2, "branch_scale": "1/depth"}, 6),
        ("pre", {"branch_scale": 0.5}, 6),
        ("pre", {"branch_scale": 0.5, "norm": None}, 6),
        ("relu_before_addition", {"branch_scale": "1/sqrt(depth)"}, 0),
    ],
)
def test_the_factor_of_a_residual_branch_folds(random_statistics, tmp_path, placement, options, folded_factors):
    """It folds unless an activation stands between it and the convolution."""
    model = random_statistics(bnzoo.ResNetCifar(14, input_shape=(8, 8, 1), placement=placement, **options))
    folded, report = fold_batch_norm(model)
    assert (len(report.scales), len(report.kept_scales)) == (folded_factors, 6 - folded_factors)
    assert sum(isinstance(layer, L.Rescaling) for layer in folded.layers) == len(report.kept_scales)
    assert str(report).endswith(f"{folded_factors} of 6 constant factors folded")
    assert_same_function(model, folded, atol=1e-6)
    folded.save(tmp_path / "folded.keras")
    assert_same_function(folded, keras.saving.load_model(tmp_path / "folded.keras"), rtol=1e-6)


def test_factors_at_the_ends_of_a_model_stay():
    ends = [L.Rescaling(1 / 255), L.Dense(3), L.Rescaling(2.0, offset=1.0), L.Dense(2), L.Rescaling(3.0)]
    model = chain((4,), *ends)
    folded, report = fold_batch_norm(model)
    assert (report.scales, report.kept_scales, len(folded.layers)) == ({}, [], len(model.layers))


def test_a_factor_of_tensors_of_different_widths_stays():
    a, half = keras.Input((5,)), L.Rescaling(0.5, name="half")
    model = keras.Model(a, [L.ReLU()(half(L.Dense(width)(a))) for width in (3, 4)])
    folded, report = fold_batch_norm(model)
    assert (report.scales, report.kept_scales) == ({}, ["half"])
    assert_same_function(model, folded)


def test_a_memory_efficient_densenet_folds_as_the_plain_one(random_statistics):
    reports = []
    for memory_efficient in (False, True):
        model = bnzoo.DenseNetCifar(10, 4, input_shape=(8, 8, 1), memory_efficient=memory_efficient)
        folded, report = fold_batch_norm(random_statistics(model))
        assert_same_function(model, folded, atol=1e-6)
        reports.append((len(report.folded), len(report.kept)))
    assert reports[0] == reports[1]


class Own(keras.Model):
    def call(self, x):
        return x


def test_what_has_no_graph_is_refused():
    own = Own()
    own.build((None, 3))
    with pytest.raises(ValueError, match="subclassed model"):
        fold_batch_norm(own)
    with pytest.raises(ValueError, match="not built"):
        fold_batch_norm(keras.Sequential([L.Dense(3)]))
    with pytest.raises(ValueError, match=r"must be a functional or Sequential keras.Model.*Received: str"):
        fold_batch_norm("model.keras")


class Secretive(L.Layer):
    def __init__(self, size):
        super().__init__()
        self.size = size

    def call(self, x):
        return x


def test_a_layer_that_cannot_be_copied_is_named():
    model = chain((5,), L.Dense(4), L.BatchNormalization(), Secretive(3))
    with pytest.raises(ValueError, match=r"the layer 'secretive.*' \(Secretive\) cannot be created from its"):
        fold_batch_norm(model)


@pytest.mark.parametrize("norm", [bnzoo.layers.BatchNormalization, L.BatchNormalization])
def test_a_copied_wrapper_holds_the_same_kind_of_layer(norm):
    model = chain((3, 5), L.TimeDistributed(norm(), name="wrapper"))
    assert type(fold_batch_norm(model)[0].get_layer("wrapper").layer) is norm
