"""Batch norm in a transformer: the verdict on planted numbers."""

import itertools

import pandas as pd
import pytest

from recipes.claims import transformers
from recipes.claims.claim import CONDITION, HOLDS, NOT
from recipes.claims.transformers import ANY, PLACEMENTS


def planted(batch, layer=(94.0, 92.0, 93.0), spread=0.002, seeds=4, places=PLACEMENTS):
    """Return rows with the given test accuracies (percent) of batch and layer norm in pre, post and peri."""
    accuracies = {("none", ANY): 80.0}
    for place, of_batch, of_layer in zip(PLACEMENTS, batch, layer, strict=True):
        if place in places:
            accuracies |= {("batch", place): of_batch, ("layer", place): of_layer, ("rms", place): 90.0}
    rows = []
    for ((norm, place), accuracy), rate, seed in itertools.product(accuracies.items(), (0.003, 0.012), range(seeds)):
        bad = rate == 0.012
        found = accuracy / 100 - 0.3 * bad + spread * seed * (1 if norm == "batch" else -1)
        rows.append(
            {
                "norm": norm,
                "placement": place,
                "learning_rate": rate,
                "seed": seed,
                "outcome": "diverged" if bad and norm == "none" else "ok",
                "score": 1 - found,
                "accuracy": found,
                "moving_accuracy": found - (0.01 if norm == "batch" else 0),
                "test_accuracy": found,
            }
        )
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("rows", "word", "said"),
    [
        (planted((95.0, 80.0, 80.0)), HOLDS, "batch norm in its best placement (pre)"),
        (planted((80.0, 80.0, 94.0)), HOLDS, "best placement (peri) minus layer norm in its best placement (pre)"),
        (planted((90.0, 93.0, 80.0), spread=0.0), CONDITION, "not clearly behind in the placements post."),
        (
            planted((92.0, 80.0, 80.0), spread=0.005),
            CONDITION,
            "not clearly behind in the placements pre.",
        ),  # the interval spans 0
        (planted((90.0, 89.0, 85.0)), NOT, "clearly behind in this comparison and in every placement"),
    ],
)
def test_the_verdict_follows_from_the_difference(rows, word, said):
    verdict = transformers.judge(rows)
    assert verdict.word == word
    assert said in verdict.sentence


def test_one_seed_is_no_proof():
    assert transformers.judge(planted((99.0, 80.0, 80.0), seeds=1)).word == CONDITION


def test_the_numbers_are_those_planted():
    verdict = transformers.judge(planted((95.5, 91.0, 93.0), spread=0.0))
    assert "+1.5 [+1.5, +1.5] points" in verdict.sentence
    placements, others, moving, failures, _ = verdict.notes
    assert "pre +1.5 [+1.5, +1.5]; post -1.0 [-1.0, -1.0]; peri +0.0" in placements
    assert "RMS norm minus layer norm: -4.0" in others
    assert "no norm minus layer norm -14.0" in others
    assert "95.5 % with recalibrated statistics and 94.5 % with moving" in moving
    assert "none 4 of 8" in failures
    assert "batch 0 of 24" in failures


def test_the_best_placement_is_chosen_by_validation_alone():
    rows = planted((95.0, 91.0, 93.0), spread=0.0)
    other = (rows["norm"] == "batch") & (rows["placement"] == "post")
    rows.loc[other, "test_accuracy"] = 1.0
    best = transformers.at_best_placement(rows)
    assert set(best.loc[best["norm"] == "batch", "placement"]) == {"pre"}
    assert set(best["learning_rate"]) == {0.003}


def test_the_table_has_each_norm_and_placement():
    table = transformers.table(planted((95.0, 91.0, 93.0), spread=0.0)).set_index(["norm", "placement"])
    assert len(table) == 10
    assert table.loc[("layer", "post"), "test accuracy, %"] == pytest.approx(92)
    assert table.loc[("batch", "peri"), "with moving statistics"] == pytest.approx(92)


@pytest.mark.parametrize("places", [PLACEMENTS, ("pre", "peri")])
def test_the_picture_has_a_panel_a_placement(places):
    figure = transformers.draw(planted((95.0, 91.0, 93.0), places=places))
    assert [axes.get_title() for axes in figure.axes] == [f"{place}-norm" for place in places]
    for axes in figure.axes:
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["batch", "layer", "RMS", "none"]
