"""Depth: the three kinds of network, the gradients before training, and the verdict on planted numbers."""

import itertools

import keras
import numpy as np
import pandas as pd
import pytest

import bnzoo
from recipes.claims import depth
from recipes.claims.claim import CONDITION, HOLDS, NOT
from recipes.claims.networks import KINDS, MLPKinds, ResNetKinds, plain_network


def layers_of(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_have_the_same_dense_layers(kind):
    space = MLPKinds(depths=(5,), kind=KINDS, width=8, input_shape=(8, 8, 1), classes=10)
    model = space.model(5, bnzoo.norms.get("batch"), keras.Input((8, 8, 1)), kind=kind, placement="pre", width=8)
    assert [layer.units for layer in layers_of(model, keras.layers.Dense)] == [8] * 5 + [10]
    assert len(layers_of(model, keras.layers.Add)) == (0 if kind == "plain" else 2)
    assert len(layers_of(model, bnzoo.layers.SkipInit)) == (2 if kind == "skipinit" else 0)
    assert space.get_config()["kind"] == list(KINDS)


@pytest.mark.parametrize("norm", ["batch", None])
def test_a_plain_convolutional_network_is_the_residual_one_without_its_shortcuts(norm):
    space = ResNetKinds(depths=(14,), kind=KINDS, filters=4, input_shape=(8, 8, 1), classes=10)
    options = {"placement": "pre", "activation": "relu", "filters": 4}
    models = {
        kind: space.model(14, bnzoo.norms.get(norm), keras.Input((8, 8, 1)), kind=kind, **options) for kind in KINDS
    }
    plain, residual = models["plain"], models["residual"]
    for kind in (keras.layers.Conv2D, keras.layers.BatchNormalization, keras.layers.Dense):
        found, expected = (layers_of(model, kind) for model in (plain, residual))
        assert [layer.output.shape for layer in found] == [layer.output.shape for layer in expected]
        assert [[w.shape for w in layer.weights] for layer in found] == [
            [w.shape for w in layer.weights] for layer in expected
        ]
    assert not layers_of(plain, keras.layers.Add)
    assert len(layers_of(residual, keras.layers.Add)) == 6
    assert len(layers_of(models["skipinit"], bnzoo.layers.SkipInit)) == 6


def test_placement_before_and_after_are_one_function_without_shortcuts():
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 1))
    found = []
    for placement in ("pre", "post"):
        keras.utils.set_random_seed(1)
        made = {"placement": placement, "activation": "relu", "filters": 4, "classes": 10}
        found.append(plain_network(8, "batch", keras.Input((8, 8, 1)), **made)(x, training=True))
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)


def backward(weights, x, y, norm):
    """Return the gradient norms of a plain MLP by the outputs of all dense layers but the last, computed in NumPy."""
    steps, h = [], x
    for kernel in weights[:-1]:
        z = h @ kernel
        deviation = np.sqrt(z.var(0) + 1e-5) if norm else 1.0
        u = (z - z.mean(0)) / deviation if norm else z
        steps.append((kernel, u, deviation))
        h = np.maximum(u, 0)
    logits = h @ weights[-1]
    p = np.exp(logits - logits.max(1, keepdims=True))
    g = (p / p.sum(1, keepdims=True) - np.eye(logits.shape[1])[y]) / len(x) @ weights[-1].T
    norms = []
    for kernel, u, deviation in reversed(steps):
        g = g * (u > 0)
        if norm:
            g = (g - g.mean(0) - u * (g * u).mean(0)) / deviation
        norms.append(np.linalg.norm(g))
        g = g @ kernel.T
    return norms[::-1][:-1]


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_gradient_norms_are_those_of_backpropagation_by_hand(few_digits, norm):
    found = depth.gradient_norms(few_digits, "plain", norm, seed=3, depth=5, width=16)
    keras.utils.set_random_seed(3)
    options = {"norm": None if norm == "none" else norm, "placement": "pre", "input_shape": few_digits.input_shape}
    model = bnzoo.MLP(5, 16, include_top=False, features=True, **options)
    head = keras.layers.Dense(few_digits.classes)
    head.build((None, 16))
    kernels = [layer.kernel.numpy() for layer in (*layers_of(model, keras.layers.Dense), head)]
    mean, variance = few_digits.scale
    x = (few_digits.train.x[:512].astype(float) - mean) / np.sqrt(variance)
    expected = backward(kernels, x.reshape(len(x), -1), few_digits.train.y[:512], norm == "batch")
    assert list(found) == [1, 2, 3, 4]
    assert list(found.values()) == pytest.approx(expected, rel=1e-3)


def test_layers_of_residual_networks_are_numbered_as_they_are_counted(few_digits):
    found = depth.gradient_norms(few_digits, "residual", "batch", seed=0, depth=9, width=8)
    assert list(found) == [1, 3, 5, 7]


def test_the_prediction_is_that_of_yang():
    assert f"{depth.PREDICTED:.3f}" == "1.211"
    assert depth.SLOPES[0] < depth.PREDICTED < depth.SLOPES[1]


def gradient_rows(growths):
    return [
        {"part": "gradients", "kind": kind, "norm": norm, "seed": seed, "layer": i, "gradient": 0.1 * growth**-i}
        # the slope excludes the ends
        | ({"gradient": 7.0} if i < 5 else {})
        for (kind, norm), growth in growths.items()
        for seed in range(2)
        for i in range(1, 21)
    ]


def planted(deep, growth, networks=(("MLP", 41), ("ResNet", 32))):
    """Return rows with 97 % accuracy at depth 5 and rate 0.1, and the given accuracy at depth 41 and rate 0.01."""
    rows = []
    for part, deepest in networks:
        axes = itertools.product(KINDS, ("batch", "none"), (5, deepest), (0.01, 0.1), range(3))
        for kind, norm, layers, rate, seed in axes:
            top = 0.97 if layers == 5 else deep[kind, norm]
            found = top + 0.001 * seed - (0.2 if (rate == 0.1) == (layers != 5) else 0)
            same = {"part": part, "kind": kind, "norm": norm, "depth": layers, "learning_rate": rate, "seed": seed}
            rows.append(same | {"score": 1 - found, "test_accuracy": found, "outcome": "ok"})
    growths = {("plain", "batch"): growth, ("plain", "none"): 1.0, ("residual", "batch"): 1.05}
    return pd.DataFrame([*rows, *gradient_rows(growths)])


def accuracies(plain=0.4, residual=0.95):
    return {
        ("plain", "batch"): plain,
        ("residual", "batch"): residual,
        ("skipinit", "batch"): 0.93,
        ("plain", "none"): 0.3,
        ("residual", "none"): 0.1,
        ("skipinit", "none"): 0.98,
    }


@pytest.mark.parametrize(
    ("plain", "residual", "growth", "word"),
    [
        (0.93, 0.95, 1.21, HOLDS),
        (0.40, 0.95, 1.21, CONDITION),
        (0.40, 0.85, 1.21, NOT),
        (0.40, 0.95, 1.05, NOT),
    ],
)
def test_verdict(plain, residual, growth, word):
    verdict = depth.judge(planted(accuracies(plain, residual), growth))
    assert verdict.word == word
    assert f"loses {97 - 100 * plain:.1f} [" in verdict.sentence
    assert "points from depth 5 to 41" in verdict.sentence
    assert f"plain {100 * plain + 0.1:.1f} %, residual {100 * residual + 0.1:.1f} %" in verdict.sentence
    assert f"grows by a factor of {growth:.2f} per layer" in verdict.sentence
    assert ("needs the shortcut" in verdict.sentence) == (word == CONDITION)
    assert "plain 30.1 %, residual 10.1 %, SkipInit 98.1 %" in verdict.notes[0]
    assert "plain, batch norm 0.1, 0.01; plain, no norm 0.1, 0.01" in verdict.notes[1]
    assert f"plain, batch norm {growth:.2f}, plain, no norm 1.00" in verdict.notes[2]
    assert "Convolutional networks of 32 layers, no norm: plain 30.1 %" in verdict.notes[4]


@pytest.mark.parametrize(
    ("plain", "residual", "word"), [(0.93, 0.70, HOLDS), (0.40, 0.85, CONDITION), (0.40, 0.75, NOT)]
)
def test_on_images_the_convolutional_network_decides_and_80_percent_is_enough(plain, residual, word):
    found = planted(accuracies(plain, residual), 1.21, networks=[("ResNet", 32)]).assign(level=0.8)
    verdict = depth.judge(found)
    assert verdict.word == word
    assert f"The plain convolutional network with batch norm loses {97 - 100 * plain:.1f} [" in verdict.sentence
    assert f"at depth 32 with batch norm: plain {100 * plain + 0.1:.1f} %, residual {100 * residual + 0.1:.1f} %" in (
        verdict.sentence
    )
    assert not any("Convolutional networks of" in note for note in verdict.notes), "there is no other network"
    assert set(depth.table(found)["network"]) == {"ResNet"}
    assert [each.get_title() for each in depth.draw(found).axes] == ["ResNet", "gradient before training"]


def test_table_and_picture():
    found = planted(accuracies(), 1.21)
    table = depth.table(found)
    assert list(table.columns) == ["network", "kind", "norm", "depth 5, %", "depth 41, %", "depth 32, %"]
    assert len(table) == 2 * 3 * 2
    assert table.iloc[0].tolist()[:5] == ["MLP", "plain", "batch", pytest.approx(97.1), pytest.approx(40.1)]
    axes = depth.draw(found).axes
    assert [each.get_title() for each in axes] == ["MLP", "ResNet", "gradient before training"]
    assert len(axes[2].lines) == 4, "three networks and the prediction"
    drawn, predicted = axes[2].lines[0].get_ydata(), axes[2].lines[-1].get_ydata()
    assert drawn[-10] == pytest.approx(1.21**9)
    assert predicted[-10] == pytest.approx(depth.PREDICTED**9)
