"""Batch norm at small batches: the verdict on planted numbers, and learning rates that grow with the batch."""

import itertools
import math

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest

from recipes.claims import batch_size
from recipes.claims.batch_size import GHOST, GHOST_LABEL, SIZES, ProportionalRateMLPSpace
from recipes.claims.claim import CONDITION, HOLDS, NOT
from recipes.claims.statistics import at_best_rate


def planted(batch_loss, group_loss=0.0, moving_loss=None, spread=0.002, sizes=SIZES):
    """Return rows in which norms lose the given points from any other size to 2. The lower of two rates is better."""
    losses = {"batch": batch_loss, "group": group_loss, GHOST_LABEL: 0.0, "layer": 0.5, "none": 1.5}
    rows = []
    for norm, size, rate, seed in itertools.product(losses, sizes, (0.1, 0.4), range(4)):
        if norm == GHOST_LABEL and size <= GHOST:
            continue
        lost = losses[norm] / 100 if size == 2 else 0.002 * (size != 16)
        found = 0.95 - lost - 0.1 * (rate == 0.4) + spread * seed * (1 if size == 2 else -1)
        moving = found
        if norm == "batch" and size == 2 and moving_loss is not None:
            moving = 0.95 - moving_loss / 100 + spread * seed
        rows.append(
            {
                "norm": norm,
                "batch_size": size,
                "learning_rate": rate,
                "seed": seed,
                "outcome": "ok",
                "score": 1 - found,
                "accuracy": found,
                "moving_accuracy": moving,
                "test_accuracy": found,
            }
        )
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        (planted(batch_loss=20.0), HOLDS),
        (planted(batch_loss=20.0, group_loss=9.0), CONDITION),  # group norm loses too
        (planted(batch_loss=3.0), CONDITION),
        (planted(batch_loss=1.5, moving_loss=1.5), NOT),  # the best of six sizes leads by chance
        (planted(batch_loss=0.0, moving_loss=12.0), CONDITION),  # the moving statistics alone
        (planted(batch_loss=0.0), NOT),
        (planted(batch_loss=20.0)[lambda rows: rows["seed"] == 0], NOT),  # one seed shows nothing
    ],
)
def test_the_verdict_follows_from_what_is_lost_at_two(rows, word):
    assert batch_size.judge(rows).word == word


def test_the_sentence_has_the_numbers():
    verdict = batch_size.judge(planted(batch_loss=20.0, group_loss=1.0, moving_loss=30.0, spread=0.0))
    assert (
        "batch norm loses 20.0 [20.0, 20.0] points of test accuracy from its best batch size (16)" in verdict.sentence
    )
    assert "group norm loses 1.0 [1.0, 1.0] points from its best batch size (16)" in verdict.sentence
    best_at_two = batch_size.judge(planted(batch_loss=20.0, group_loss=-1.0)).sentence
    assert "group norm is best at batch size 2." in best_at_two, "a loss from 2 to 2 would be 0 by construction"
    recovered, ghosts, others, ends = verdict.notes
    assert "batch norm 0.1 at 2, 0.1 at 4" in ends
    assert "Of the 28 best rates of all norms 28 are at an end of the grid." in ends
    assert "65.0 % with moving statistics and 75.0 % with recalibrated" in recovered
    assert "+10.0 points, 33 % of the loss from batch size 16" in recovered
    assert "94.8 % with statistics of 4 examples (ghost batch norm)" in ghosts
    assert "In batches of 4, it is 94.8 % with batch norm" in ghosts
    assert "layer norm loses 0.5" in others
    assert "no norm loses 1.5" in others


def test_the_best_size_is_chosen_for_each_kind_of_statistics():
    """With recalibrated statistics 2 is the best size, with moving statistics the worst."""
    best = at_best_rate(planted(batch_loss=-1.0, moving_loss=12.0, spread=0.0), ["norm", "batch_size"])
    assert batch_size.best_size(best, "batch") == 2
    assert batch_size.loss(best, "batch").mean == 0
    assert batch_size.loss(best, "batch", "moving_accuracy").mean == pytest.approx(12)


def test_the_loss_is_the_mean_of_the_differences_of_seeds():
    best = at_best_rate(planted(batch_loss=20.0), ["norm", "batch_size"])
    found = batch_size.loss(best, "batch")
    each = [20.0 - 0.4 * seed for seed in range(4)]
    assert found.mean == pytest.approx(np.mean(each))
    assert found.low < found.mean < found.high


def test_the_table_has_each_norm_and_both_statistics():
    table = batch_size.table(planted(batch_loss=20.0, moving_loss=30.0, spread=0.0)).set_index(["norm", "accuracy, %"])
    assert list(table.columns) == [str(size) for size in SIZES]
    assert table.loc[("batch norm", "validation, moving statistics"), "2"] == pytest.approx(65)
    assert table.loc[("batch norm", "test, recalibrated"), "2"] == pytest.approx(75)
    assert math.isnan(table.loc[(f"ghost batch norm of {GHOST}", "test, recalibrated"), "4"])
    assert ("layer norm", "validation, moving statistics") not in table.index


def test_the_picture_has_dashes_where_there_are_moving_statistics():
    (axes,) = batch_size.draw(planted(batch_loss=20.0, moving_loss=30.0, spread=0.0)).axes
    lines = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert len(lines) == 7
    assert lines["batch norm, moving statistics"].get_linestyle() == "--"
    assert lines["batch norm"].get_ydata()[0] == pytest.approx(25)  # at 2
    assert axes.get_xlim()[0] > axes.get_xlim()[1]  # the batch falls to the right


def test_it_works_on_the_smallest_rows():
    rows = planted(batch_loss=20.0, sizes=(2, 128))
    rows = rows[rows["seed"] == 0].assign(test_accuracy=np.nan)
    assert batch_size.judge(rows).word == NOT
    assert len(batch_size.draw(rows).axes) == 1
    assert len(batch_size.table(rows)) == 12


def test_the_learning_rate_grows_with_the_batch():
    """The rate of the first epoch is the trial's rate times the batch size over 32, as in one SGD step by hand."""
    space = ProportionalRateMLPSpace(
        depths=(1,),
        learning_rates=(0.064, 0.064, 1),
        norms=(None,),
        batch_size=(8, 64),
        momentum=0.0,
        weight_decay=0.0,
        width=2,
        input_shape=(3,),
        classes=2,
    )
    hp = keras_tuner.HyperParameters()
    hp.values.update(depth=1, norm="none", learning_rate=0.064, batch_size=8)
    model = space.build(hp)
    x, y = np.random.default_rng(0).normal(size=(8, 3)).astype("float32"), np.arange(8) % 2
    hidden, output = (layer for layer in model.layers if isinstance(layer, keras.layers.Dense))
    h = np.maximum(x.astype(float) @ hidden.kernel.numpy() + hidden.bias.numpy(), 0)
    before, bias = output.kernel.numpy().astype(float), output.bias.numpy()
    share = np.exp(h @ before + bias)
    share /= share.sum(1, keepdims=True)
    gradient = h.T @ (share - np.eye(2)[y]) / 8
    space.fit(hp, model, x, y, epochs=1, verbose=0)
    np.testing.assert_allclose(before - output.kernel.numpy(), 0.064 * 8 / 32 * gradient, rtol=1e-3, atol=1e-7)
    assert hp.get("learning_rate") == 0.064


def test_studies_at_scaled_rates_are_told_apart():
    assert ProportionalRateMLPSpace().get_config()["learning_rate_of_examples"] == 32
