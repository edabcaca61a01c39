"""Placement of batch norm: the verdict on planted numbers, and the table of He et al."""

import itertools
import math

import pandas as pd
import pytest

from recipes.claims import placement
from recipes.claims.claim import CONDITION, HOLDS, NOT
from recipes.claims.placement import BEST, HE, PLACEMENTS, PLAIN, RESIDUAL, RESNET


def planted(errors, seeds=4, spread=0.001):
    """Return rows with the given test errors in percent. Other placements have the errors of He's ResNet-110."""
    errors = {**{name: his[0] for name, his in HE.items()}, "act_norm": 9.0, **errors}
    parts = {RESNET: PLACEMENTS, RESIDUAL: ("original", BEST, "act_norm"), PLAIN: ("original", "act_norm")}
    rows = []
    for part, names in parts.items():
        for name, rate, seed in itertools.product(names, (0.03, 0.3), range(seeds)):
            found = 1 - errors[name] / 100 - 0.05 * (rate == 0.3) + spread * seed * (1 if name == BEST else -1)
            rows.append(
                {
                    "part": part,
                    "placement": name,
                    "learning_rate": rate,
                    "seed": seed,
                    "outcome": "ok",
                    "score": 1 - found,
                    "accuracy": found,
                    "moving_accuracy": found,
                    "test_accuracy": found,
                }
            )
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("rows", "word", "said"),
    [
        (planted({BEST: 2.0}), HOLDS, ""),
        (planted({"original": 6.37}, spread=0.0), CONDITION, "only over after addition, relu before addition"),
        (planted({"original": 2.0}), NOT, "clearly behind original"),
        (planted(dict.fromkeys(HE, 5.0), spread=0.0), NOT, "No lead is clear"),
        (planted({BEST: 2.0}, seeds=1), NOT, "No lead is clear"),
    ],
)
def test_the_verdict_follows_from_the_leads(rows, word, said):
    verdict = placement.judge(rows)
    assert verdict.word == word
    assert said in verdict.sentence


def test_the_numbers_are_those_planted():
    verdict = placement.judge(planted({}, spread=0.0))
    assert verdict.word == HOLDS
    assert "original +0.2 [+0.2, +0.2]; after addition +1.8 [+1.8, +1.8]" in verdict.sentence
    order, residual, after = verdict.notes
    assert "1.00 for their ResNet-110 and 0.90 for their ResNet-164" in order
    assert "original +0.2" in residual
    assert "relu" not in residual
    assert f"{RESNET} -2.4" in after
    assert f"{PLAIN} -2.4" in after


def test_agreement_is_that_of_ranks():
    """With ranks d apart, Spearman's coefficient is 1 - 6 sum(d^2) / (n (n^2 - 1))."""
    # our order swaps the first two and the last two of He's order, so four ranks differ by 1
    he = sorted(HE, key=lambda name: HE[name][0])
    ours = [he[1], he[0], he[2], he[4], he[3]]
    rows = planted({name: 3.0 + rank for rank, name in enumerate(ours)}, spread=0.0)
    assert placement.agreement(rows, 0) == pytest.approx(1 - 6 * 4 / (5 * 24))


def test_without_an_order_there_is_no_agreement():
    assert math.isnan(placement.agreement(planted(dict.fromkeys(HE, 5.0), spread=0.0), 0))


def test_the_table_has_he_beside_ours():
    table = placement.table(planted({}, spread=0.0)).set_index(["network", "placement"])
    ours = table.loc[(RESNET, "after_addition")]
    assert ours["test error, %"] == pytest.approx(8.17)
    assert (ours["He, ResNet-110"], ours["He, ResNet-164"]) == (8.17, 6.5)
    assert ours["learning rate"] == 0.03
    assert table.loc[(PLAIN, "act_norm")].isna()["He, ResNet-110"]
    assert len(table) == 6 + 3 + 2


def test_the_picture_has_a_panel_a_network_and_he():
    figure = placement.draw(planted({}))
    assert [axes.get_title() for axes in figure.axes] == [RESNET, RESIDUAL, PLAIN, "He et al. 2016, CIFAR-10"]
    he_110, he_164 = figure.axes[-1].lines
    assert list(he_110.get_xdata()) == [his[0] for his in HE.values()]
    assert list(he_164.get_xdata()) == [his[1] for his in HE.values()]
