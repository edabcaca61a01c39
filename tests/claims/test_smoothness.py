"""Smoothness: the measures on a quadratic and on networks, and the verdict on planted numbers."""

import itertools

import numpy as np
import pandas as pd
import pytest

from recipes.claims import smoothness
from recipes.claims.claim import CONDITION, HOLDS, NOT
from recipes.claims.smoothness import NORMALISED, OWN, RAW, SAME, SHARES

SHAPES = ((3, 2), (2,), (2, 4))
KERNELS = (0, 2)


@pytest.fixture
def quadratic():
    """Return a curvature, a point, and the quadratic loss as a function of the point's parts."""
    random = np.random.default_rng(0)
    sizes = [int(np.prod(shape)) for shape in SHAPES]
    root = random.normal(size=(sum(sizes), sum(sizes)))
    curvature = root @ root.T
    flat = random.normal(size=sum(sizes))

    def loss(point):
        w = np.concatenate([part.ravel() for part in point])
        return w @ curvature @ w / 2, apart(curvature @ w)

    def apart(w):
        ends = np.cumsum(sizes)[:-1]
        return [part.reshape(shape) for part, shape in zip(np.split(w, ends), SHAPES, strict=True)]

    return curvature, flat, apart(flat), loss


def test_raw_variation_of_a_quadratic(quadratic):
    curvature, w, point, loss = quadratic
    steps = (0.01, 0.02, 0.05)
    found = smoothness.raw_variation(loss, point, steps)
    g = curvature @ w
    losses = [(w - step * g) @ curvature @ (w - step * g) / 2 for step in steps]
    assert found == pytest.approx((max(losses) - min(losses), 0.05 * np.linalg.norm(curvature @ g)))


def test_normalised_variation_of_a_quadratic(quadratic):
    curvature, w, point, loss = quadratic
    g = curvature @ w
    parts = [slice(0, 6), slice(8, 16)]
    step, fall, units = np.zeros(16), 0.0, np.zeros(16)
    for part in parts:
        units[part] = np.linalg.norm(w[part])
        step[part] = -0.01 * units[part] * g[part] / np.linalg.norm(g[part])
        fall -= g[part] @ step[part]
    # a quadratic loss differs from its linear prediction by the curvature along the step
    expected = (
        step @ curvature @ step / 2 / fall,
        np.linalg.norm(units * (curvature @ step)) / np.linalg.norm(units * g),
    )
    assert smoothness.normalised_variation(loss, point, KERNELS, 0.01) == pytest.approx(expected)


@pytest.fixture(scope="module")
def network(few_digits):
    return smoothness.Network(few_digits, "batch", seeds=2)


@pytest.fixture(scope="module")
def batch(few_digits):
    return few_digits.train.x[:64].astype("float32"), few_digits.train.y[:64]


def test_no_scale_of_a_kernel_flatters(network, batch):
    loss, point = network.loss_on(*batch), network.start(0)
    scaled = list(point)
    for place in network.kernels[:-1]:
        scaled[place] = 10 * point[place]
    assert loss(scaled)[0] == pytest.approx(loss(point)[0], rel=1e-3)
    before, after = (smoothness.normalised_variation(loss, each, network.kernels, 0.003) for each in (point, scaled))
    assert after == pytest.approx(before, rel=0.02)
    before, after = (smoothness.raw_variation(loss, each, (0.05, 0.4)) for each in (point, scaled))
    assert after != pytest.approx(before, rel=0.2), "Santurkar's measure is another then"


def test_a_network_has_the_statistics_of_the_batch_and_keeps_none(network, batch):
    x, y = batch
    point = network.start(0)
    first = network.loss_on(x, y)(point)
    # with moving statistics an input on another scale would give another loss
    assert network.loss_on(3 * x + 5, y)(point)[0] == pytest.approx(first[0], rel=1e-3)
    again = network.loss_on(x, y)(point)
    assert again[0] == first[0]
    assert all(np.array_equal(a, b) for a, b in zip(first[1], again[1], strict=True))
    assert not np.array_equal(network.start(1)[0], point[0]), "another seed begins elsewhere"
    assert len(network.kernels) == 11, "ten hidden layers and the classifier"


def test_the_gradient_is_that_of_the_loss(network, batch):
    loss, point = network.loss_on(*batch), network.start(0)
    _, gradient = loss(point)
    place, step = network.kernels[-1], 1e-2
    ahead, behind = (
        loss([w + sign * step * gradient[i] if i == place else w for i, w in enumerate(point)])[0] for sign in (1, -1)
    )
    assert (ahead - behind) / (2 * step) == pytest.approx(np.square(gradient[place]).sum(), rel=1e-2)


def test_probes_stand_before_each_epoch_and_after_the_last(network, batch):
    x, y = (np.concatenate([part, part]) for part in batch)
    found = pd.DataFrame(smoothness.probes(network, x, y, seed=0, rate=0.1, epochs=3))
    again = pd.DataFrame(smoothness.probes(network, x, y, seed=0, rate=0.1, epochs=3))
    pd.testing.assert_frame_equal(found, again)
    assert found.groupby("step").size().to_dict() == dict.fromkeys((0, 2, 4, 6), 1 + len(SHARES))
    assert found["loss"].iloc[-1] < found["loss"].iloc[0]
    assert found["share"].dropna().unique().tolist() == list(SHARES)
    assert (found["own_share"] > 0).all()


def planted(ratios, raw):
    """Return rows with the given ratios of the variation with batch norm and without, by share and in raw steps."""
    rows = []
    for part, norm, seed, step in itertools.product((SAME, OWN), ("batch", "none"), range(3), (0, 18)):
        same = {"part": part, "norm": norm, "seed": seed, "step": step, "own_share": 0.005 if norm == "batch" else 0.02}
        for share, ratio in ((np.nan, raw), *zip(SHARES, ratios, strict=True)):
            by = ratio * (1 + 0.01 * seed) if norm == "batch" else 1.0
            rows.append(
                same
                | {"measure": RAW if np.isnan(share) else NORMALISED, "share": share}
                | {"loss_variation": 0.2 * by, "gradient_variation": 0.5 * by**2}
            )
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("ratios", "raw", "word"),
    [
        ((0.5,) * 5, 0.1, HOLDS),
        ((1.5, 1.2, 1.1, 0.8, 0.5), 0.1, CONDITION),
        ((1.5,) * 5, 0.1, CONDITION),
        ((1.5,) * 5, 1.1, NOT),
        # not clear: one seed of three is above
        ((0.991,) * 5, 0.991, NOT),
    ],
)
def test_verdict(ratios, raw, word):
    found = planted(ratios, raw)
    verdict = smoothness.judge(found)
    assert verdict.word == word
    mean = np.exp(np.log([1, 1.01, 1.02]).mean())
    assert "loss " + ", ".join(f"{ratio * mean:.2f}" for ratio in ratios) in verdict.sentence
    assert "gradient " + ", ".join(f"{(ratio * mean) ** 2:.2f}" for ratio in ratios) in verdict.sentence
    assert ("Both vary less only at 1, 3 %" in verdict.sentence) == (ratios == (1.5, 1.2, 1.1, 0.8, 0.5))
    assert ("only in raw steps" in verdict.sentence) == (word == CONDITION and ratios == (1.5,) * 5)
    assert "0.5 % with batch norm and 2 % without" in verdict.notes[0]
    assert f"loss {raw * mean:.2f} [" in verdict.notes[1]


def test_table_and_picture():
    found = planted((1.5, 1.2, 1.1, 0.8, 0.5), 0.1)
    table = smoothness.table(found)
    assert len(table) == 2 * (1 + len(SHARES))
    assert table["step"].iloc[:2].tolist() == ["raw", "0.03 % of the norm"]
    assert table["loss, batch norm / none"].iloc[1].startswith("1.51 [1.48, ")
    axes = smoothness.draw(found).axes
    assert [each.get_title() for each in axes][2:] == ["loss, normalised", "gradient, normalised"]
    means = [line for line in axes[2].lines if line.get_label() in ("batch norm", "no norm")]
    assert np.allclose(means[1].get_ydata(), 0.2)


def test_one_seed_is_no_verdict_to_rely_on():
    found = planted((0.5,) * 5, 0.1)
    verdict = smoothness.judge(found[found["seed"] == 0])
    assert verdict.word == NOT
    assert "one seed: no interval" in verdict.notes[1]
