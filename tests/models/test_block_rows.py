"""The notation of blocks: rows that the zoo does not use, names of variables, and which layers have a bias."""

import inspect
import json
import pickle
import re
import subprocess
import sys
from math import erf
from pathlib import Path

import keras
import numpy as np
import pytest
from zoo import shaken, trainable, without_values

import bnzoo
from bnzoo.blocks import block_builder, convolution, dense, layer_scale, residual_block, rows, zero_padding_shortcut

HERE = Path(__file__).parent
SAVED = json.loads((HERE / "variables.json").read_text())


def network(row, layers, shape, norm="batch", activation="relu", operations=(), **options):
    """Return a network of one residual block."""
    build = block_builder("test", {"row": row}, norm, "row", activation)
    inputs = keras.Input(shape)
    return shaken(keras.Model(inputs, residual_block(inputs, layers, build, "block", dict(operations), **options)))


class ByHand:
    """The layers of a block in float64 NumPy, images in channels-last order."""

    def __init__(self, model):
        self.model = model

    def weights(self, name):
        return [np.asarray(weight, np.float64) for weight in self.model.get_layer(f"block_{name}").get_weights()]

    def conv(self, x, name):
        kernel, *bias = self.weights(name)
        size = kernel.shape[0]
        pad = size // 2
        padded = np.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
        groups = x.shape[-1] // kernel.shape[2]
        per_group = kernel.shape[3] // groups
        y = np.zeros((*x.shape[:3], kernel.shape[3]))
        for i, j, group in np.ndindex(size, size, groups):
            read = padded[:, i : i + x.shape[1], j : j + x.shape[2], group * kernel.shape[2] :][..., : kernel.shape[2]]
            out = slice(group * per_group, (group + 1) * per_group)
            y[..., out] += read @ kernel[i, j, :, out]
        return y + (bias[0] if bias else 0)

    def dense(self, x, name):
        kernel, *bias = self.weights(name)
        return x @ kernel + (bias[0] if bias else 0)

    def norm(self, x, name):
        gamma, beta, *moments = self.weights(name)
        mean, variance = moments or (x.mean(-1, keepdims=True), x.var(-1, keepdims=True))
        epsilon = self.model.get_layer(f"block_{name}").epsilon
        return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def relu(x):
    return np.maximum(x, 0)


def gelu(x):
    return x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2


def assert_computes(model, expected):
    x = np.random.default_rng(0).normal(size=(3, *model.input_shape[1:]))
    hand = expected(ByHand(model), x)
    assert np.abs(hand[..., : x.shape[-1]] - x).max() > 0.1
    np.testing.assert_allclose(np.asarray(model(x.astype("float32"))), hand, rtol=1e-4, atol=1e-4)


def test_a_pyramidal_block_is_one_row():
    """Han et al. 2017, figure 6d: no activation before the first convolution, a norm after the last."""
    model = network(
        "norm conv norm act conv norm add",
        [convolution(5, 3), convolution(5, 3)],
        (4, 4, 3),
        shortcut=zero_padding_shortcut(5, 1),
    )

    def block(hand, x):
        y = hand.conv(hand.norm(x, "1_norm"), "1_conv")
        y = hand.conv(relu(hand.norm(y, "1_out_norm")), "2_conv")
        return np.pad(x, [(0, 0)] * 3 + [(0, 2)]) + hand.norm(y, "2_norm")

    assert_computes(model, block)


CONVNEXT = "depthwise norm expand act contract scale add"


def convnext(width):
    """Return the linear layers of Liu et al. 2022, figure 4. Layer norm does not replace a bias of each channel."""
    return [
        convolution(width, 7, groups=width, use_bias=True),
        convolution(4 * width, 1),
        convolution(width, 1, use_bias=True),
    ]


def test_a_convnext_block_is_one_row():
    model = network(CONVNEXT, convnext(3), (8, 8, 3), "layer", "gelu", {"scale": layer_scale(1e-6)})

    def block(hand, x):
        y = hand.norm(hand.conv(x, "depthwise"), "norm")
        return x + hand.weights("scale")[0] * hand.conv(gelu(hand.conv(y, "expand")), "contract")

    assert_computes(model, block)


def test_convnext_t_counts_as_in_its_paper():
    """Liu et al. 2022: 28,589,128 parameters."""

    def tiny():
        build = block_builder("convnext", {"row": CONVNEXT}, "layer", "row", "gelu")
        x = inputs = keras.Input((224, 224, 3))
        for stage, (width, depth) in enumerate(zip((96, 192, 384, 768), (3, 3, 9, 3), strict=True)):
            patch = keras.layers.Conv2D(width, 2 if stage else 4, strides=2 if stage else 4)
            x = build(patch(x), "norm", [], "stem") if not stage else patch(build(x, "norm", [], f"down{stage}"))
            for i in range(depth):
                operations = {"scale": layer_scale(1e-6)}
                x = residual_block(x, convnext(width), build, f"conv{stage}_{i}", operations)
        x = build(keras.layers.GlobalAveragePooling2D()(x), "norm", [], "final")
        return keras.Model(inputs, keras.layers.Dense(1000)(x))

    assert trainable(without_values(tiny)) == 28_589_128


def test_a_feed_forward_network_with_a_norm_inside_is_one_row():
    """Yao et al. 2021, figure 2: a further batch norm between the two layers of the feed-forward network."""
    layers = [dense(12), dense(5)]
    model = network("norm expand norm act contract add", layers, (4, 5), activation="gelu")

    def block(hand, x):
        y = hand.dense(hand.norm(x, "norm"), "expand")
        return x + hand.dense(gelu(hand.norm(y, "out_norm")), "contract")

    assert_computes(model, block)


@pytest.mark.parametrize(
    ("row", "layers", "expected"),
    [
        ("norm act conv norm act conv add", 3, "norm act conv norm act conv norm act conv add"),
        ("conv norm act conv norm add act", 3, "conv norm act conv norm act conv norm add act"),
        ("act conv norm act conv norm add", 4, "act conv norm act conv norm act conv norm act conv norm add"),
        ("norm act conv norm act conv", 1, "norm act conv"),
        ("conv act norm conv act norm", 1, "conv act norm"),
        ("norm expand act contract add", 2, "norm expand act contract add"),
    ],
)
def test_rows_repeat(row, layers, expected):
    assert rows.repeated(row, layers) == expected


@pytest.mark.parametrize(
    ("row", "biased"),
    [
        ("norm act conv norm act conv add", ""),
        ("norm act conv norm act conv se add", "2"),
        ("conv norm act conv add norm act", ""),
        ("conv act norm conv act norm add", "12"),
        ("act conv norm act conv norm add", ""),
        ("norm conv act conv norm add", "1"),
    ],
)
def test_a_layer_has_a_bias_unless_a_norm_reads_its_output_next(row, biased):
    """Through an addition too: the first operation after it is the first of the next block."""
    for norm, expected in (("batch", set(biased)), (None, {"1", "2"})):
        operations = {"se": lambda x, name: keras.layers.Identity(name=name)(x)} if "se" in row else {}
        model = network(row, [convolution(3, 3)] * 2, (4, 4, 3), norm, operations=operations)
        layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
        assert {layer.name[-6] for layer in layers if layer.use_bias} == expected


@pytest.mark.parametrize("name", SAVED)
def test_names_and_shapes_of_variables_stay(name):
    """Weight files of every version load: these are the names and shapes of version 0.1."""
    saved = SAVED[name]
    builder = getattr(bnzoo, saved["builder"])
    model = without_values(builder, **saved["options"], input_shape=tuple(saved["input_shape"]), classes=3)
    variables = {v.path: "x".join(map(str, v.shape)) for v in model.variables if "seed" not in v.path}
    assert list(variables.items()) == list(saved["variables"].items())


def test_a_densenet_takes_the_deep_stem():
    """Its last convolution has a norm on either side, of different names."""
    model = without_values(bnzoo.DenseNet, (2, 1), 4, stem="deep", input_shape=(32, 32, 3), classes=3)
    names = [layer.name for layer in model.layers]
    assert names.index("conv1_3_norm") < names.index("conv1_3_conv") < names.index("conv1_3_out_norm")


def test_placements_give_the_row_of_the_figure():
    assert bnzoo.placements.get("original", "resnet") == "conv norm act conv norm add act"
    assert bnzoo.placements.get("pre", "vit") == "norm attention add, norm expand act contract add"


def test_signatures_show_the_real_arguments():
    family = inspect.signature(bnzoo.ResNet).parameters
    named = inspect.signature(bnzoo.ResNet50V2).parameters
    assert set(named) == set(family)
    assert (named["placement"].default, named["name"].default) == ("pre", "resnet50_v2")
    assert list(named)[:8] == list(inspect.signature(keras.applications.ResNet50).parameters)
    by_depth = inspect.signature(bnzoo.ResNetCifar).parameters
    assert list(by_depth)[:3] == ["depth", "block", "include_top"]
    assert (by_depth["filters"].default, by_depth["norm"].default) == (16, "batch")
    for name in bnzoo.__all__:
        if hasattr(getattr(bnzoo, name), "card"):
            kinds = {parameter.kind for parameter in inspect.signature(getattr(bnzoo, name)).parameters.values()}
            assert inspect.Parameter.VAR_KEYWORD not in kinds, name


@pytest.mark.slow
def test_type_checkers_refuse_unknown_arguments(tmp_path):
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(
        "import bnzoo\n"
        'bnzoo.ResNet50(False, norm="group", input_shape=(32, 32, 3))\n'
        'bnzoo.ResNet50(nrom="group")\n'
        'bnzoo.ViTB16(nrom="group")\n'
        'bnzoo.MLP(3, nrom="group")\n'
        "bnzoo.ResNet51()\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
    done = subprocess.run(
        [*command, f"--cache-dir={tmp_path / 'cache'}", str(program)],
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.findall(r"program\.py:(\d): error", done.stdout) == ["3", "4", "5", "6"], done.stdout


def test_a_row_with_another_number_of_layers_is_refused():
    with pytest.raises(ValueError, match=r"a layer for each of depthwise, expand, contract in .* Received: 2 layers"):
        network(CONVNEXT.replace(" scale", ""), convnext(3)[:2], (8, 8, 3))


@pytest.mark.parametrize(
    "row",
    [
        "expand norm act depthwise norm act project norm add",  # Sandler et al. 2018, figure 3b: MobileNetV2
        "norm expand norm act contract norm add",
        "conv norm act conv norm act conv norm add",
    ],
)
def test_a_row_may_have_a_norm_everywhere(row):
    words = [word for word in row.split() if word not in rows.NOT_LINEAR]
    model = network(row, [convolution(3, 1) for _ in words], (4, 4, 3))
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("Conv2D") == len(words)
    assert kinds.count("BatchNormalization") == row.split().count("norm")


def test_operations_precede_the_addition_of_a_row():
    assert (
        rows.before_addition("conv zero_padding add act", "se", "drop_path") == "conv zero_padding se drop_path add act"
    )
    assert rows.end("conv norm act conv norm act add") == "norm act"


def test_only_the_last_norm_of_a_branch_starts_at_zero():
    build = block_builder("test", {"row": "dense norm norm add"}, "batch", "row", "relu", "zero_gamma")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, build(inputs, build.row, [dense(4)], "block"))
    gammas = [np.asarray(model.get_layer(f"block_{name}").gamma) for name in ("norm", "out_norm")]
    np.testing.assert_array_equal(gammas, [np.ones(4), np.zeros(4)])


def test_rows_that_cannot_be_applied_are_refused():
    build = block_builder("test", {"row": "conv norm add"}, "batch", "row", "relu")
    images = keras.Input((4, 4, 3))
    assert build(images, "norm add", [], "block").shape == images.shape
    for row, layers in (("conv norm", [convolution(3, 1)]), ("act add", [])):
        with pytest.raises(ValueError, match="`shortcut` needs a row with a linear layer and an addition"):
            build(images, row, layers, "block", shortcut=zero_padding_shortcut(3, 1))
    with pytest.raises(ValueError, match="The row of the placement 'row' has no linear layer: 'norm act'"):
        block_builder("test", {"row": "norm act"}, "batch", "row", "relu")
    with pytest.raises(ValueError, match=r"Unknown placement for mlp: \['pre'\]"):
        bnzoo.MLP(2, 4, input_shape=(3,), placement=["pre"])


def test_builders_can_be_pickled():
    for builder in (bnzoo.ResNet, bnzoo.ResNetCifar, bnzoo.ResNet50, bnzoo.WRN28_10):
        assert pickle.loads(pickle.dumps(builder)) is builder
