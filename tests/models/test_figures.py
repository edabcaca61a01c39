"""Every block, compared with the figure in its paper, computed in NumPy and float64."""

import keras
import numpy as np
import pytest
from zoo import build, examples, shaken, without_values

import bnzoo

SMALL_RESNET = {"input_shape": (8, 8, 2), "classes": 3, "classifier_activation": None}
HE_2016 = (
    "original",
    "after_addition",
    "relu_before_addition",
    "relu_only_preactivation",
    "full_preactivation",
    "act_norm",
)


def conv(x: np.ndarray, kernel: np.ndarray, strides: int = 1) -> np.ndarray:
    """Compute a convolution with equal padding on all sides, in float64."""
    size = kernel.shape[0]
    pad = size // 2
    x = np.pad(x.astype(np.float64), [(0, 0), (pad, pad), (pad, pad), (0, 0)])
    rows = range(0, x.shape[1] - size + 1, strides)
    columns = range(0, x.shape[2] - size + 1, strides)
    out = [[np.tensordot(x[:, i : i + size, j : j + size], kernel, 3) for j in columns] for i in rows]
    return np.stack([np.stack(row, axis=1) for row in out], axis=1)


class ByHand:
    """Applies layers of a model by name, in NumPy and float64."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    def weight(self, x: np.ndarray, name: str, strides: int = 1) -> np.ndarray:
        layer = self.model.get_layer(name)
        kernel, *bias = (np.asarray(w, np.float64) for w in layer.get_weights())
        y = conv(x, kernel, strides) if kernel.ndim == 4 else x @ kernel
        return y + (bias[0] if bias else 0)

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        layer = self.model.get_layer(name)
        gamma, beta, *moments = (np.asarray(w, np.float64) for w in layer.get_weights())
        mean, variance = moments or (x.mean(-1, keepdims=True), x.var(-1, keepdims=True))
        return (x - mean) / np.sqrt(variance + layer.epsilon) * gamma + beta


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def panel(hand: ByHand, placement: str, x: np.ndarray, p: str) -> np.ndarray:
    """Compute figure 4 of He et al. 2016: two weight layers, an identity shortcut."""
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


@pytest.mark.parametrize("placement", HE_2016)
def test_blocks_compute_the_papers_figure(placement, random_statistics):
    """The second block of the first stage is compared with figure 4."""
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
    model = random_statistics(build("mlp", depth=3, placement=placement))
    hand = ByHand(model)
    x = np.random.default_rng(3).normal(size=(4, 5)).astype("float32")
    y = x.astype(np.float64)
    for i in (1, 2, 3):
        y = hand.weight(y, f"hidden_{i}_dense")
        if placement == "act_norm":
            y = hand.norm(relu(y), f"hidden_{i}_norm")
        else:
            following = {"post": f"hidden_{i}_norm", "pre": f"hidden_{i + 1}_norm" if i < 3 else "final_norm"}
            y = relu(hand.norm(y, following[placement]))
    np.testing.assert_allclose(model.predict(x, verbose=0), hand.weight(y, "logits"), rtol=1e-4, atol=1e-4)


def outputs_of(model: keras.Model, names: list[str], x: np.ndarray) -> list[np.ndarray]:
    outputs = keras.Model(model.input, {name: model.get_layer(name).output for name in names})(x)
    return [np.asarray(outputs[name], np.float64) for name in names]


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("placement", ["pre", "post", "act_norm"])
def test_dense_blocks_read_all_that_was_before(placement):
    model = shaken(build("densenet", placement=placement))
    hand = ByHand(model)
    (before,) = outputs_of(
        model, [{"pre": "conv1_conv", "post": "conv1_act", "act_norm": "conv1_norm"}[placement]], examples(model)
    )

    def layer(x: np.ndarray, name: str) -> np.ndarray:
        for i in (1, 2):
            w = lambda y, i=i: hand.weight(y, f"{name}_{i}_conv")  # noqa: E731
            n = lambda y, i=i: hand.norm(y, f"{name}_{i}_norm")  # noqa: E731
            x = {"pre": lambda y, w=w, n=n: w(relu(n(y))), "post": lambda y, w=w, n=n: relu(n(w(y)))}.get(
                placement, lambda y, w=w, n=n: n(relu(w(y)))
            )(x)
        return x

    first = layer(before, "conv2_block1")
    second = layer(np.concatenate([before, first], -1), "conv2_block2")
    (found,) = outputs_of(model, ["conv2_concat"], examples(model))
    close(found, np.concatenate([before, first, second], -1))

    w, n = (lambda y: hand.weight(y, "pool2_conv")), (lambda y: hand.norm(y, "pool2_norm"))
    reduced = {"pre": lambda y: w(relu(n(y))), "post": lambda y: relu(n(w(y)))}.get(placement, lambda y: n(relu(w(y))))(
        found
    )
    (pooled,) = outputs_of(model, ["pool2_pool"], examples(model))
    close(pooled, reduced.reshape(len(reduced), 4, 2, 4, 2, -1).mean((2, 4)))


def gelu(x: np.ndarray) -> np.ndarray:
    from math import erf

    return x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2


@pytest.mark.parametrize("placement", ["pre", "post", "peri"])
def test_transformer_blocks(placement):
    model = shaken(build("vit", placement=placement, layer_scale_init=0.1))
    hand = ByHand(model)
    before, after = outputs_of(
        model,
        ["position_embedding", {"post": "block1_mlp_out_norm"}.get(placement, "block1_mlp_add")],
        examples(model),
    )

    def attention(x: np.ndarray) -> np.ndarray:
        layer = model.get_layer("block1_attention")
        weights = {tuple(w.path.split("/")[-2:]): np.asarray(w, np.float64) for w in layer.weights}
        query, key, value = (
            np.einsum("btd,dhk->bhtk", x, weights[name, "kernel"]) + weights[name, "bias"][:, None]
            for name in ("query", "key", "value")
        )
        scores = np.einsum("bhtk,bhsk->bhts", query, key) / np.sqrt(query.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = np.einsum("bhts,bhsk->bthk", scores / scores.sum(-1, keepdims=True), value)
        out = "attention_output"
        return np.einsum("bthk,hkd->btd", mixed, weights[out, "kernel"]) + weights[out, "bias"]

    def mlp(x: np.ndarray) -> np.ndarray:
        return hand.weight(gelu(hand.weight(x, "block1_mlp_expand")), "block1_mlp_contract")

    x = before
    for name, sublayer in (("block1_attention", attention), ("block1_mlp", mlp)):
        scale = np.asarray(model.get_layer(f"{name}_scale").gamma, np.float64)
        if placement == "pre":
            x = x + scale * sublayer(hand.norm(x, f"{name}_norm"))
        elif placement == "post":
            x = hand.norm(x + scale * sublayer(x), f"{name}_out_norm")
        else:
            x = x + scale * hand.norm(sublayer(hand.norm(x, f"{name}_norm")), f"{name}_out_norm")
    close(after, x)


@pytest.mark.parametrize("class_token", [True, False])
def test_what_the_classifier_of_a_vit_reads(class_token):
    model = shaken(build("vit", class_token=class_token))
    hand = ByHand(model)
    x = examples(model)
    tokens, embedded = outputs_of(model, ["tokens", "position_embedding"], x)
    patches = x.reshape(len(x), 2, 4, 2, 4, 2).transpose(0, 1, 3, 2, 4, 5).reshape(len(x), 4, 32)
    layer = model.get_layer("patch_embedding")
    close(tokens, patches @ np.asarray(layer.kernel, np.float64).reshape(32, 8) + np.asarray(layer.bias))
    if class_token:
        token = np.asarray(model.get_layer("class_token").token, np.float64)
        tokens = np.concatenate([np.repeat(token, len(x), 0), tokens], 1)
    close(embedded, tokens + np.asarray(model.get_layer("position_embedding").position))
    (final,) = outputs_of(model, ["final_norm"], x)
    read = final[:, 0] if class_token else final.mean(1)
    close(np.asarray(model(x)), hand.weight(read, "logits"))


def test_squeeze_and_excitation():
    model = shaken(build("resnet", se_ratio=0.5))
    hand, p = ByHand(model), "conv2_block1"
    norm, gated = outputs_of(model, [f"{p}_2_norm", f"{p}_se_excite"], examples(model))
    gate = relu(hand.weight(norm.mean((1, 2), keepdims=True), f"{p}_se_reduce"))
    close(gated, norm / (1 + np.exp(-hand.weight(gate, f"{p}_se_expand"))))


def test_dropout_of_wide_networks_stands_before_the_last_convolution():
    model = without_values(bnzoo.WideResNetCifar, 10, 2, dropout_rate=0.3, input_shape=(8, 8, 3))
    dropouts = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert [layer.rate for layer in dropouts] == [0.3] * 3
    for layer in dropouts:
        assert layer.input is model.get_layer(layer.name.replace("_dropout", "_act")).output
        assert model.get_layer(layer.name.replace("_dropout", "_conv")).input is layer.output


DROPOUTS = {
    # each reads the features of a layer of a dense block
    "densenet": {f"conv{name}_dropout": f"conv{name}_2_conv" for name in ("2_block1", "2_block2", "3_block1")},
    "mlp": {"hidden_1_dropout": "hidden_1_act", "hidden_2_dropout": "hidden_2_act"},
    "mlp_residual": {"block_1_2_dropout": "block_1_1_act"},
    "vit": {
        "embedding_dropout": "position_embedding",
        **{f"block{i}_attention_dropout": f"block{i}_attention" for i in (1, 2)},
        **{f"block{i}_mlp_expand_dropout": f"block{i}_mlp_act" for i in (1, 2)},
        **{f"block{i}_mlp_contract_dropout": f"block{i}_mlp_contract" for i in (1, 2)},
    },
}


@pytest.mark.parametrize("family", DROPOUTS)
def test_dropouts_stand_where_the_docstring_says(family):
    """Nothing reads the input of a dropout but the dropout."""
    model = without_values(build, family, dropout_rate=0.3)
    dropouts = {layer.name: layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)}
    assert {name: layer.input._keras_history.operation.name for name, layer in dropouts.items()} == DROPOUTS[family]
    assert {layer.rate for layer in dropouts.values()} == {0.3}
    for layer in dropouts.values():
        assert [layer.input is tensor for other in model.layers for tensor in inputs_of(other)].count(True) == 1
    attentions = [layer for layer in model.layers if isinstance(layer, keras.layers.MultiHeadAttention)]
    assert [layer.dropout for layer in attentions] == [0.3] * (2 if family == "vit" else 0)


def inputs_of(layer: keras.Layer) -> list:
    return [] if isinstance(layer, keras.layers.InputLayer) else keras.tree.flatten(layer.input)


@pytest.mark.parametrize(
    ("options", "strided"),
    [
        ({}, {"conv3_block1_2_conv", "conv3_block1_0_conv"}),
        ({"stride_in_1x1": True}, {"conv3_block1_1_conv", "conv3_block1_0_conv"}),
        ({"stride_in_last_block": True}, {"conv2_block2_2_conv", "conv2_block2_0_pool"}),
        ({"shortcut": "avg_projection"}, {"conv3_block1_2_conv", "conv3_block1_0_pool"}),
        ({"shortcut": "zero_padding"}, {"conv3_block1_2_conv", "conv3_block1_0_pad"}),
    ],
)
def test_where_the_strides_are(options, strided):
    small = {"stem": "cifar", "filters": 4, "input_shape": (8, 8, 3)}
    model = without_values(bnzoo.ResNet, (2, 2), "bottleneck", **small, **options)
    found = {layer.name for layer in model.layers if getattr(layer, "strides", 1) in (2, (2, 2))}
    assert found == strided
    assert model.get_layer("conv3_block2_add").output.shape[1:3] == (4, 4)


@pytest.mark.slow
def test_linear_layers_have_a_bias_exactly_where_no_norm_reads_them_first():
    def biased(**options):
        model = without_values(bnzoo.ResNetCifar, 8, shortcut="projection", **SMALL_RESNET, **options)
        return {layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D) and layer.use_bias}

    model = without_values(bnzoo.ResNetCifar, 8, shortcut="projection")
    everything = {layer.name for layer in model.layers if "_conv" in layer.name}
    assert biased(norm=None) == everything
    for placement in HE_2016:
        expected = {n for n in everything if "_0_" not in n} if placement == "act_norm" else set()
        assert biased(placement=placement) == expected, placement
    # a gate between the last convolution and the norm that reads it
    gated = {name for name in biased(placement="pre", se_ratio=0.5) if "_se_" not in name}
    assert gated == {name for name in everything if name.endswith("_2_conv")}


def test_weight_standardization_is_on_every_convolution():
    for name in ("resnet", "densenet"):
        model = build(name, weight_standardization=True, norm="group")
        convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
        assert {type(layer) for layer in convolutions} == {bnzoo.layers.WeightStandardizedConv2D}
        scaled = build(name, weight_standardization=True, norm="group")
        weights = [3 * w if w.ndim == 4 else w for w in model.get_weights()]
        scaled.set_weights(weights)
        close(np.asarray(scaled(examples(model))), np.asarray(model(examples(model))))
