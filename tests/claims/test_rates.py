"""The three claims that read one grid: accuracy, learning rate, seeds. Their verdicts on planted numbers."""

import itertools

import pandas as pd
import pytest

from recipes.claims import accuracy, learning_rate, seeds
from recipes.claims.claim import CONDITION, HOLDS, NOT

RATES = (0.01, 0.1, 0.3162, 1.0)
SEEDS = range(4)


def grid(part, test, ok=lambda norm, rate: True, steps=lambda norm: 50.0):
    """Return the rows of a grid, with the test accuracy from a function of norm, rate and seed."""
    rows = []
    for norm, rate, seed in itertools.product(("batch", "none"), RATES, SEEDS):
        found = test(norm, rate, seed)
        fine = ok(norm, rate)
        rows.append(
            {
                "part": part,
                "norm": norm,
                "learning_rate": rate,
                "seed": seed,
                "outcome": "ok" if fine else "diverged",
                "score": 1 - found,
                "accuracy": found,
                "test_accuracy": found,
                "steps_to_90": steps(norm) if fine else float("nan"),
            }
        )
    return pd.DataFrame(rows)


def ahead(by, spread=0.002):
    """Batch norm has the given lead at 0.1, its best rate, and is 0.2 behind at 0.01."""

    def test(norm, rate, seed):
        base = 0.9 + spread * seed * (1 if norm == "batch" else -1)
        if norm == "none":
            return base - 0.3 * (rate != 0.1)
        return base + by - (0.5 + by if rate == 0.01 else 0.1 * (rate != 0.1))

    return test


@pytest.mark.parametrize(
    ("mlp", "resnet", "word"),
    [
        (0.05, 0.02, HOLDS),
        (0.05, -0.002, CONDITION),
        (0.05, -0.05, NOT),
        (-0.05, 0.05, NOT),
    ],
)
def test_accuracy(mlp, resnet, word):
    found = pd.concat([grid("MLP", ahead(mlp)), grid("ResNet-8", ahead(resnet))], ignore_index=True)
    verdict = accuracy.judge(found)
    assert verdict.word == word
    # the gain of seed s is larger by 0.004 s, so the mean of four seeds by 0.006
    assert f"MLP {100 * (mlp + 0.006):+.1f}" in verdict.sentence
    assert f"ResNet-8 {100 * (resnet + 0.006):+.1f}" in verdict.sentence
    assert "rate of 0.01 the gain of the MLP is -19.4" in verdict.notes[0]

    table = accuracy.table(found)
    assert table["learning rate"].tolist() == [0.1] * 4
    assert table["test accuracy, %"].tolist() == pytest.approx([90.3 + 100 * mlp, 89.7, 90.3 + 100 * resnet, 89.7])
    figure = accuracy.draw(found)
    assert [axes.get_title() for axes in figure.axes] == ["MLP", "ResNet-8"]
    assert len(figure.axes[0].lines) == 4, "the seeds and the mean of two arms"


@pytest.mark.parametrize(
    ("largest", "steps", "word"),
    [
        ({"batch": 1.0, "none": 0.1}, {"batch": 20.0, "none": 90.0}, HOLDS),
        ({"batch": 1.0, "none": 0.1}, {"batch": 90.0, "none": 20.0}, CONDITION),
        ({"batch": 0.3162, "none": 0.3162}, {"batch": 20.0, "none": 90.0}, NOT),
        ({"batch": 1.0, "none": 0.0}, {"batch": 20.0, "none": 90.0}, NOT),  # the ratio does not exist
    ],
)
def test_learning_rate(largest, steps, word):
    def stable(norm, rate):
        return rate <= largest[norm]

    def test(norm, rate, seed):
        return 0.9 + rate / 100 if stable(norm, rate) else 0.1

    parts = (learning_rate.LARGE, learning_rate.SMALL)
    found = pd.concat([grid(part, test, stable, steps.get) for part in parts], ignore_index=True)
    verdict = learning_rate.judge(found)
    assert verdict.word == word
    assert f"rate: {largest['batch']:g} with batch norm" in verdict.sentence
    if largest["none"]:
        assert f"Steps to 90 % at the best rate of each arm: {steps['batch']:.0f} with batch norm, " in verdict.sentence
        assert f", {steps['none']:.0f} without." in verdict.sentence
        assert f"the ratio of the largest stable rates is {largest['batch'] / largest['none']:.1f}" in verdict.notes[1]
        assert f"0.01 to {largest['batch']:g} with batch norm, 0.01 to {largest['none']:g} without" in verdict.notes[0]
    assert learning_rate.table(found)["best rate"].iloc[0] == largest["batch"]
    assert [axes.get_title() for axes in learning_rate.draw(found).axes] == list(parts)


@pytest.mark.parametrize(("batch", "word"), [(20.0, HOLDS), (95.0, CONDITION)])
def test_on_images_the_steps_are_those_to_80_percent(batch, word):
    def rows(part):
        steps = {"batch": batch, "none": 90.0}.get
        return grid(part, lambda norm, rate, seed: 0.9, lambda norm, rate: norm == "batch" or rate <= 0.1, steps)

    parts = (learning_rate.LARGE, learning_rate.SMALL, learning_rate.WARM_UP)
    grids = [rows(part) for part in parts]
    found = pd.concat(grids, ignore_index=True).rename(columns={"steps_to_90": "steps_to_80"}).assign(level=0.8)
    verdict = learning_rate.judge(found)
    assert verdict.word == word
    taken = f"{batch:.0f} with batch norm, 90 without."
    assert f"Steps to 80 % at the best rate of each arm: {taken}" in verdict.sentence
    assert ("does not need fewer steps to 80 %" in verdict.sentence) == (word == CONDITION)
    assert f"Steps to 80 %: {taken}" in verdict.notes[1]
    assert f"Steps to 80 %: {taken}" in verdict.notes[2]
    assert "90 %" not in " ".join((verdict.sentence, *verdict.notes))
    assert learning_rate.table(found)["steps to 80 %"].tolist() == [batch, 90.0] * 3
    assert [axes.get_title() for axes in learning_rate.draw(found).axes] == list(parts)


@pytest.mark.parametrize(("none", "said"), [(0.1, "The verdict stays the same"), (1.0, "would be `does not hold`")])
def test_the_warm_up_is_reported_beside_the_verdict(none, said):
    """With the warm-up, batch norm is stable up to 1 as without it, no norm up to 0.1 or to 1."""

    def rows(part, stable):
        return grid(part, lambda norm, rate, seed: 0.9, stable, {"batch": 20.0, "none": 90.0}.get)

    parts = {learning_rate.LARGE: 0.1, learning_rate.SMALL: 0.1, learning_rate.WARM_UP: none}
    found = [rows(part, lambda norm, rate, top=top: norm == "batch" or rate <= top) for part, top in parts.items()]
    verdict = learning_rate.judge(pd.concat(found, ignore_index=True))
    assert verdict.word == HOLDS
    assert (
        f"is 1 with batch norm and {none:g} without; with the same 4 seeds and no warm-up it is 1 and 0.1."
        in (verdict.notes[2])
    )
    assert said in verdict.notes[2]


def test_a_seed_that_is_lost_makes_a_rate_unstable():
    found = grid(learning_rate.LARGE, lambda norm, rate, seed: 0.9)
    lost = (found["norm"] == "none") & (found["learning_rate"] == 1.0) & (found["seed"] == 2)
    found.loc[lost, "outcome"] = "stalled"
    assert learning_rate.largest_stable(found) == {"batch": 1.0, "none": 0.3162}


@pytest.mark.parametrize(
    ("at_edge", "elsewhere", "word"), [(10, 10, HOLDS), (10, 1, CONDITION), (2, 10, NOT), (2, 2, NOT)]
)
def test_seeds(at_edge, elsewhere, word):
    def test(norm, rate, seed):
        times = 1 if norm == "batch" else at_edge if rate == 0.3162 else elsewhere
        return 0.5 + 0.01 * seed * times

    verdict = seeds.judge(grid("MLP", test))
    deviation = pd.Series([0, 1, 2, 3]).std()  # in points
    assert verdict.word == word
    assert f"at learning rate 0.3162: {at_edge * deviation:.1f} points without" in verdict.sentence
    assert f"{deviation:.1f} points with batch norm (ratio {at_edge}.0)" in verdict.sentence
    assert seeds.table(grid("MLP", test))["ratio"].tolist() == pytest.approx([elsewhere, elsewhere, at_edge, elsewhere])
    assert len(seeds.draw(grid("MLP", test)).axes) == 2


def test_steps_are_interpolated_between_epochs():
    from bnzoo.tuning import TrialResult
    from recipes.claims.rates import steps_to

    def trial(*curve):
        return TrialResult(0, {}, 0, "ok", "", 0.0, history={"val_accuracy": list(curve)})

    assert steps_to(trial(0.45, 0.8, 1.0), 0.9, steps=18) == pytest.approx(2.5 * 18)
    assert steps_to(trial(0.9), 0.9, steps=10) == 10
    assert steps_to(trial(0.3, 0.5), 0.9, steps=10) != steps_to(trial(0.3, 0.5), 0.9, steps=10), "never: NaN"
