import inspect

import keras
import numpy as np
import paper_counts
import pytest

import bnzoo

NORM_LAYERS = {
    "batch": keras.layers.BatchNormalization,
    "group": keras.layers.GroupNormalization,
    "instance": keras.layers.GroupNormalization,
    "layer": keras.layers.LayerNormalization,
    "rms": keras.layers.RMSNormalization,
}
SMALL_RESNET = {"input_shape": (8, 8, 2), "classes": 3, "classifier_activation": None}
SMALL_MLP = {"depth": 3, "width": 6, "input_shape": (5,), "classes": 3, "classifier_activation": None}


def build(family: str, **options) -> keras.Model:
    if family == "resnet":
        return bnzoo.ResNetCifar(8, **SMALL_RESNET, **options)
    return bnzoo.MLP(**SMALL_MLP, **options)


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def state(model: keras.Model) -> int:
    return sum(int(np.prod(v.shape)) for v in model.non_trainable_variables)


@pytest.mark.parametrize("name", paper_counts.IMAGENET)
def test_imagenet_networks_have_exactly_the_published_parameters(name):
    model = bnzoo.create_model(name)
    assert (trainable(model), state(model)) == paper_counts.IMAGENET[name]
    assert model.output_shape == (None, 1000)


@pytest.mark.parametrize("name", paper_counts.PREACTIVATION)
def test_preactivation_networks_have_exactly_the_published_parameters(name):
    model = bnzoo.create_model(name, placement="pre")
    assert (trainable(model), state(model)) == paper_counts.PREACTIVATION[name]


@pytest.mark.parametrize("norm", paper_counts.RESNET50_BY_NORM)
def test_parameters_by_norm(norm):
    assert trainable(bnzoo.ResNet50(norm=norm)) == paper_counts.RESNET50_BY_NORM[norm]


@pytest.mark.parametrize("depth", paper_counts.CIFAR)
@pytest.mark.parametrize(("option", "shortcut"), [(0, "zero_padding"), (1, "projection")])
def test_cifar_networks_have_exactly_the_published_parameters(depth, option, shortcut):
    assert trainable(bnzoo.ResNetCifar(depth, shortcut=shortcut)) == paper_counts.CIFAR[depth][option]


@pytest.mark.parametrize("name", [name for name in bnzoo.list_models() if bnzoo.model_card(name).params])
def test_cards_tell_the_parameters_of_the_built_model(name):
    assert trainable(bnzoo.create_model(name)) == bnzoo.model_card(name).params


PAIRS = [
    (family, norm, placement, residual)
    for family in ("resnet", "mlp")
    for norm in bnzoo.norms.list_norms()
    for placement in bnzoo.placements.list_placements(family)
    for residual in ((False, True) if family == "mlp" else (None,))
    if not (family == "mlp" and norm == "instance")
]


@pytest.mark.parametrize(("family", "norm", "placement", "residual"), PAIRS)
def test_every_pair_of_norm_and_placement(family, norm, placement, residual):
    """Builds with no norm but the asked one, and one backward pass reaches every trainable variable."""
    import tensorflow as tf

    norm_option = {"name": "group", "groups": 3} if (family, norm) == ("mlp", "group") else norm
    options = {} if residual is None else {"residual": residual}
    model = build(family, norm=norm_option, placement=placement, **options)
    found = {type(layer) for layer in model.layers if isinstance(layer, tuple(NORM_LAYERS.values()))}
    assert found == ({NORM_LAYERS[norm]} if norm else set())
    assert all("_bn" not in layer.name for layer in model.layers)

    x = np.random.default_rng(0).normal(size=(6, *model.input_shape[1:])).astype("float32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(x, training=True) ** 2)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.isfinite(gradient.numpy()).all(), variable.path


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("resnet", {"norm": "batch", "placement": "pre"}),
        ("resnet", {"norm": {"name": "group", "groups": 4}, "placement": "post", "activation": "silu"}),
        ("mlp", {"norm": "rms", "placement": "act_norm", "residual": True}),
    ],
)
def test_saved_models_come_back_with_equal_outputs(tmp_path, family, options):
    model = build(family, **options)
    x = np.random.default_rng(1).normal(size=(4, *model.input_shape[1:])).astype("float32")
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras").predict(x, verbose=0), expected)
    model.save_weights(tmp_path / "model.weights.h5")
    again = build(family, **options, weights=tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(again.predict(x, verbose=0), expected)


def conv(x: np.ndarray, kernel: np.ndarray, strides: int = 1) -> np.ndarray:
    """A convolution padded alike on all sides, written out, in float64."""
    size = kernel.shape[0]
    pad = size // 2
    x = np.pad(x.astype(np.float64), [(0, 0), (pad, pad), (pad, pad), (0, 0)])
    rows = range(0, x.shape[1] - size + 1, strides)
    columns = range(0, x.shape[2] - size + 1, strides)
    out = [[np.tensordot(x[:, i : i + size, j : j + size], kernel, 3) for j in columns] for i in rows]
    return np.stack([np.stack(row, axis=1) for row in out], axis=1)


class ByHand:
    """Applies layers of a model by name, in float64 NumPy."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    def weight(self, x: np.ndarray, name: str, strides: int = 1) -> np.ndarray:
        layer = self.model.get_layer(name)
        kernel, *bias = (np.asarray(w, np.float64) for w in layer.get_weights())
        y = conv(x, kernel, strides) if kernel.ndim == 4 else x @ kernel
        return y + (bias[0] if bias else 0)

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        layer = self.model.get_layer(name)
        gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in layer.get_weights())
        return (x - mean) / np.sqrt(variance + layer.epsilon) * gamma + beta


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def panel(hand: ByHand, placement: str, x: np.ndarray, p: str) -> np.ndarray:
    """Figure 4 of He et al. 2016, read off the page: two weights, an identity shortcut."""
    w = lambda y, i: hand.weight(y, f"{p}_{i}_conv")  # noqa: E731
    n = lambda y, i: hand.norm(y, f"{p}_{i}_norm")  # noqa: E731
    if placement == "original":
        return relu(x + n(w(relu(n(w(x, 1), 1)), 2), 2))
    if placement == "after_addition":
        return relu(n(x + w(relu(n(w(x, 1), 1)), 2), "out"))
    if placement == "relu_before_addition":
        return x + relu(n(w(relu(n(w(x, 1), 1)), 2), 2))
    if placement == "relu_only_preactivation":
        return x + n(w(relu(n(w(relu(x), 1), 1)), 2), 2)
    if placement == "full_preactivation":
        return x + w(relu(n(w(relu(n(x, 1)), 1), 2)), 2)
    assert placement == "act_norm"
    return x + n(relu(w(n(relu(w(x, 1)), 1), 2)), 2)


@pytest.mark.parametrize("placement", bnzoo.blocks.ORDERS)
def test_blocks_compute_the_papers_figure(placement, random_statistics):
    """The second block of the first stage against figure 4, computed by hand."""
    model = random_statistics(bnzoo.ResNetCifar(14, placement=placement, **SMALL_RESNET))
    incoming = {"original": "conv2_block1_out_act", "after_addition": "conv2_block1_out_act"}
    outgoing = {"original": "conv2_block2_out_act", "after_addition": "conv2_block2_out_act"}
    probe = keras.Model(
        model.input,
        [
            model.get_layer(incoming.get(placement, "conv2_block1_add")).output,
            model.get_layer(outgoing.get(placement, "conv2_block2_add")).output,
        ],
    )
    x = np.random.default_rng(2).normal(size=(2, 8, 8, 2)).astype("float32")
    before, after = (np.asarray(t) for t in probe(x))
    expected = panel(ByHand(model), placement, before, "conv2_block2")
    np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("placement", ["post", "pre"])
def test_a_block_that_changes_the_shape_projects_as_the_paper_does(placement, random_statistics):
    model = random_statistics(bnzoo.ResNetCifar(8, placement=placement, shortcut="projection", **SMALL_RESNET))
    hand, p = ByHand(model), "conv3_block1"
    names = {"post": ("conv2_block1_out_act", f"{p}_out_act"), "pre": ("conv2_block1_add", f"{p}_add")}[placement]
    probe = keras.Model(model.input, [model.get_layer(name).output for name in names])
    x, after = (np.asarray(t) for t in probe(np.random.default_rng(2).normal(size=(2, 8, 8, 2)).astype("float32")))
    if placement == "post":
        branch = relu(hand.norm(hand.weight(x, f"{p}_1_conv", 2), f"{p}_1_norm"))
        branch = hand.norm(hand.weight(branch, f"{p}_2_conv"), f"{p}_2_norm")
        expected = relu(hand.norm(hand.weight(x, f"{p}_0_conv", 2), f"{p}_0_norm") + branch)
    else:
        opened = relu(hand.norm(x, f"{p}_1_norm"))
        branch = relu(hand.norm(hand.weight(opened, f"{p}_1_conv", 2), f"{p}_2_norm"))
        expected = hand.weight(opened, f"{p}_0_conv", 2) + hand.weight(branch, f"{p}_2_conv")
    np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("placement", ["post", "pre", "act_norm"])
def test_plain_mlp_by_hand(placement, random_statistics):
    model = random_statistics(build("mlp", placement=placement))
    hand = ByHand(model)
    x = np.random.default_rng(3).normal(size=(4, 5)).astype("float32")
    y = x.astype(np.float64)
    for i in (1, 2, 3):
        y = hand.weight(y, f"hidden{i}_dense")
        if placement == "act_norm":
            y = hand.norm(relu(y), f"hidden{i}_norm")
        else:
            following = {"post": f"hidden{i}_norm", "pre": f"hidden{i + 1}_norm" if i < 3 else "final_norm"}
            y = relu(hand.norm(y, following[placement]))
    np.testing.assert_allclose(model.predict(x, verbose=0), hand.weight(y, "logits"), rtol=1e-4, atol=1e-4)


def test_zero_padded_shortcut_against_numpy():
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype("float32")
    expected = np.zeros((2, 3, 3, 7), "float32")
    expected[..., :3] = x[:, ::2, ::2]
    layer = bnzoo.layers.ZeroPaddedShortcut(7, 2)
    np.testing.assert_array_equal(np.asarray(layer(x)), expected)
    assert layer.compute_output_shape((None, 5, 6, 3)) == (None, 3, 3, 7)
    with pytest.raises(ValueError, match="adds channels"):
        keras.Sequential([keras.Input((5, 6, 3)), bnzoo.layers.ZeroPaddedShortcut(2)])


def test_linear_layers_have_a_bias_exactly_where_no_norm_reads_them_first():
    def biased(**options):
        model = bnzoo.ResNetCifar(8, shortcut="projection", **SMALL_RESNET, **options)
        return {layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D) and layer.use_bias}

    everything = {layer.name for layer in bnzoo.ResNetCifar(8, shortcut="projection").layers if "_conv" in layer.name}
    assert biased(norm=None) == everything
    for placement in bnzoo.blocks.ORDERS:
        expected = {n for n in everything if "_0_" not in n} if placement == "act_norm" else set()
        assert biased(placement=placement) == expected, placement


def test_top_pooling_and_input_tensor():
    features = bnzoo.ResNet18(include_top=False, input_shape=(64, 64, 3))
    assert features.output_shape == (None, 2, 2, 512)
    assert bnzoo.ResNet18(include_top=False, pooling="max", input_shape=(64, 64, 3)).output_shape == (None, 512)
    image = keras.Input((None, None, 3))
    model = bnzoo.ResNet18(input_tensor=keras.layers.Rescaling(1 / 255)(image), classes=4)
    assert model.input is image
    assert model.predict(np.zeros((1, 40, 50, 3)), verbose=0).sum() == pytest.approx(1, abs=1e-5)
    assert model.name == "resnet18"
    assert [layer.name for layer in model.layers[-2:]] == ["logits", "probabilities"]


def test_arguments_in_keras_order():
    names = list(inspect.signature(bnzoo.ResNet).parameters)
    keras_names = list(inspect.signature(keras.applications.ResNet50).parameters)
    assert names[2 : 2 + len(keras_names)] == keras_names
    model = bnzoo.ResNet18(True, None, None, (32, 32, 3), None, 7, None, "mine")
    assert (model.output_shape, model.name) == ((None, 7), "mine")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bnzoo.ResNet50(norm="bach"), "Unknown norm: 'bach'. Did you mean 'batch'"),
        (lambda: bnzoo.ResNet50(norm=3), "`norm` must be"),
        (lambda: bnzoo.ResNet50(norm={"name": "batch", "groups": 3}), "no option 'groups'"),
        (lambda: bnzoo.ResNet50(placement="peri"), "Unknown placement for resnet: 'peri'"),
        (lambda: bnzoo.MLP(input_shape=(3,), placement="original"), "Known: post, pre, act_norm"),
        (lambda: bnzoo.ResNetCifar(21), "must be 6n\\+2 .* nearest: 20"),
        (lambda: bnzoo.ResNetCifar("20"), "must be 6n\\+2"),
        (lambda: bnzoo.ResNet50(input_shape=(16, 16, 3)), "too small: this network has strides of 32"),
        (lambda: bnzoo.ResNet50(input_shape=(16, 3)), r"must be \(height, width, channels\)"),
        (lambda: bnzoo.ResNet50(pooling="avg"), "`pooling` is for `include_top=False`"),
        (lambda: bnzoo.ResNet50(pooling="sum", include_top=False), "`pooling` must be"),
        (lambda: bnzoo.ResNet50(weights="imagenet"), "`weights` must be None or the path"),
        (lambda: bnzoo.ResNet50(classes=0), "`classes` must be a positive integer"),
        (lambda: bnzoo.ResNet((2, 2), block="wide"), "Unknown `block`: 'wide'. Known: basic, bottleneck"),
        (lambda: bnzoo.ResNet((2, 2), stem="c10"), "Unknown `stem`"),
        (lambda: bnzoo.ResNet((2, 2), shortcut="none"), "Unknown `shortcut`"),
        (lambda: bnzoo.ResNet(4), "`blocks` must be"),
        (lambda: bnzoo.ResNet((2, 0)), "`blocks` must be a positive integer"),
        (lambda: bnzoo.MLP(), "`input_shape` is needed"),
        (lambda: bnzoo.MLP(depth=4, input_shape=(3,), residual=True), "must be odd"),
        (lambda: bnzoo.MLP(input_shape=(3,), norm="instance"), "one value per group"),
        (lambda: bnzoo.MLP(width=32, input_shape=(3,), norm="group"), "one value per group"),
        (lambda: bnzoo.create_model("resnet51"), "Unknown model: 'resnet51'. Did you mean 'resnet50'"),
        (lambda: bnzoo.Norm("group", groups=0), "`groups` must be a positive integer"),
        (lambda: bnzoo.placements.get("pre", "cnn"), "Unknown family: 'cnn'"),
    ],
)
def test_mistakes_are_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_listing():
    assert bnzoo.list_models("resnet1*") == ["resnet18", "resnet101", "resnet152", "resnet110_cifar"]
    assert bnzoo.list_models("MLP") == ["mlp"]
    assert bnzoo.list_models("nothing") == []
