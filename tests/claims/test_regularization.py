"""The verdict on regularization follows from the gaps; a fixed share of labels is wrong, and the test's are right."""

import numpy as np
import pandas as pd
import pytest

from bnzoo import MLP
from bnzoo.data import Split
from recipes.claims.regularization import (
    NAMES,
    RATE,
    at_rate,
    draw,
    generalization,
    judge,
    noisy,
    table,
    with_wrong_labels,
    wrong,
)


def planted(**gaps: float) -> pd.DataFrame:
    """Return rows of three similar seeds. At the low rate the gap of every arm is 2 points."""
    return pd.DataFrame(
        [
            {
                "norm": NORMS[arm],
                "learning_rate": rate,
                "seed": seed,
                "score": 1.0 if rate < RATE else 2.0,
                "gap": (0.02 if rate < RATE else gap) + 0.001 * seed,
                "train_accuracy": 0.7 + gap,
                "memorised": 2 * gap,
                "test_accuracy": 0.95 - gap,
            }
            for arm, gap in gaps.items()
            for rate in (RATE / 10, RATE)
            for seed in range(3)
        ]
    )


NORMS = {"none": "none", "ghost_4": "ghost_batch(batch=4)", "ghost_8": "ghost_batch(batch=8)", "batch": "batch"}


@pytest.mark.parametrize(
    ("gaps", "word"),
    [
        ({"none": 0.30, "ghost_4": 0.05, "ghost_8": 0.10, "batch": 0.20}, "holds"),
        ({"none": 0.15, "ghost_4": 0.05, "ghost_8": 0.10, "batch": 0.20}, "holds with a condition"),
        ({"none": 0.30, "ghost_4": 0.20, "ghost_8": 0.20, "batch": 0.20}, "does not hold"),
        ({"none": 0.15, "ghost_4": 0.25, "ghost_8": 0.10, "batch": 0.20}, "does not hold"),
    ],
)
def test_the_verdict_follows_from_the_gaps(gaps, word):
    assert judge(planted(**gaps)).word == word


def test_the_numbers_are_those_of_the_rows():
    verdict = judge(planted(none=0.15, ghost_4=0.05, ghost_8=0.10, batch=0.20))
    assert "changes by -15.0 [-15.0, -15.0] points" in verdict.sentence
    assert "by +5.0 [+5.0, +5.0] points" in verdict.sentence
    assert "no norm 15.1, 4 examples 5.1, 8 examples 10.1, 128 examples 20.1" in verdict.notes[0]
    assert "no norm 80.0, 4 examples 90.0, 8 examples 85.0, 128 examples 75.0" in verdict.notes[1]
    assert "early stopping: no norm 2.1, 4 examples 2.1, 8 examples 2.1, 128 examples 2.1" in verdict.notes[2]


def test_one_seed_proves_nothing():
    rows = planted(none=0.30, ghost_4=0.05, batch=0.20)
    assert judge(rows[rows["seed"] == 0]).word == "does not hold"


def test_the_table_has_a_row_an_arm_in_the_order_of_the_sizes():
    found = table(planted(batch=0.20, ghost_8=0.10, ghost_4=0.05, none=0.15)).set_index("normalized together")
    assert list(found.index) == ["no norm", "4", "8", "128"]
    assert found.loc["4", "gap, points"] == pytest.approx(5.1)
    assert found.loc["128", "wrong labels learned, %"] == pytest.approx(40)
    assert (found["best rate"] == RATE / 10).all()


def test_the_picture_has_every_seed_of_every_arm():
    rows = planted(none=0.15, ghost_4=0.05, ghost_8=0.10, batch=0.20)
    figure = draw(rows)
    assert [axes.get_title() for axes in figure.axes] == [
        "training minus validation, points",
        "wrong labels learned, %",
        "accuracy on the test, %",
    ]
    for axes in figure.axes:
        assert [label.get_text() for label in axes.get_xticklabels()] == ["no norm", "4", "8", "128"]
    points = figure.axes[0].lines[0].get_ydata()
    assert sorted(points) == pytest.approx(sorted(100 * at_rate(rows).query("norm == 'none'")["gap"]))


def test_a_fifth_of_the_labels_is_wrong_and_no_other(digits):
    found = noisy(digits)
    for before, after in ((digits.train, found.train), (digits.validation, found.validation)):
        changed = np.flatnonzero(before.y != after.y)
        assert len(changed) == round(0.2 * len(before.y))
        assert list(changed) == list(wrong(len(before.y)))
        assert after.y.dtype == before.y.dtype
        assert after.x is before.x
        assert set(after.y) <= set(range(10))
    assert found.test is digits.test
    assert found.fingerprint == noisy(digits).fingerprint != digits.fingerprint


def test_every_other_class_is_as_likely():
    many = 100_000
    y = with_wrong_labels(Split(np.zeros((many, 1)), np.full(many, 3, np.int32)), 10).y
    shares = np.bincount(y[wrong(many)], minlength=10) / len(wrong(many))
    assert shares[3] == 0
    assert np.delete(shares, 3) == pytest.approx(1 / 9, abs=0.01)


def test_what_is_measured_is_counted_by_hand(digits):
    data = noisy(digits)
    model = MLP(depth=1, width=16, input_shape=(8, 8, 1), classes=10, classifier_activation=None)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    def right(split: Split) -> np.ndarray:
        return np.argmax(model(split.x, training=False), axis=-1) == split.y

    found = generalization(model, data)
    assert found["test_accuracy"] == pytest.approx(right(data.test).mean(), abs=1e-6)
    assert found["gap"] == pytest.approx(right(data.train).mean() - right(data.validation).mean(), abs=1e-6)
    assert found["memorised"] == pytest.approx(right(data.train)[data.train.y != digits.train.y].mean(), abs=1e-6)


def test_every_arm_has_a_name():
    assert set(NORMS.values()) <= set(NAMES)
