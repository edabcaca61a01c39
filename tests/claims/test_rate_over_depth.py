"""The claim on the power law of the learning rate over the depth, on planted numbers."""

import itertools

import numpy as np
import pandas as pd
import pytest

from bnzoo.tuning import MLPSpace, ResNetSpace
from recipes.claims import rate_over_depth as claim
from recipes.claims.claim import CONDITION, HOLDS, NOT

GRID = np.geomspace(0.003, 10, 7)


def planted(law, transfer):
    """Return rows whose best rate is 2 at the shallowest depth and follows a power law, on the grid."""
    rows = []
    arms = [(claim.MLP, "none", "no"), (claim.MLP, "none", "yes"), (claim.RESNET, "none", "no")]
    arms += [(claim.ADAMW, scale, "no") for scale in ("none", "1/depth")]
    for (part, scale, warm_up), norm, seed in itertools.product(arms, ("batch", "none"), range(3)):
        for depth in claim.DEPTHS[part]:
            best = 2.0 * (depth / claim.DEPTHS[part][0]) ** (transfer if scale == "1/depth" else law)
            for rate in GRID:
                unstable = rate > 4 * best * (4 if warm_up == "yes" else 1) or (norm == "none" and depth > 60)
                same = {"part": part, "norm": norm, "branch_scale": scale, "warm_up": warm_up, "depth": depth}
                score = abs(np.log(rate / best)) + 0.01 * seed
                outcome = "diverged" if unstable else "ok"
                rows.append(same | {"seed": seed, "learning_rate": rate, "score": score, "outcome": outcome})
    return pd.DataFrame(rows)


def test_a_factor_that_changes_nothing_explains_nothing():
    """The exponent is 0 with AdamW, without the factor too."""
    found = planted(-1.5, 0.0)
    adamw = found["part"] == claim.ADAMW
    found = pd.concat([found[~adamw], planted(0.0, 0.0)[adamw]])
    verdict = claim.judge(found)
    assert verdict.word == CONDITION
    assert verdict.sentence.endswith("only for residual MLP and ResNet.")
    assert "With AdamW the interval contains 0 without the factor too" in verdict.notes[0]
    assert "With AdamW" not in claim.judge(planted(-1.5, 0.0)).notes[0]


@pytest.mark.parametrize(
    ("law", "transfer", "word"), [(-1.5, 0.0, HOLDS), (-0.5, 0.0, CONDITION), (-1.5, -1.0, CONDITION), (-0.5, 1, NOT)]
)
def test_verdict(law, transfer, word):
    verdict = claim.judge(planted(law, transfer))
    assert verdict.word == word
    assert verdict.sentence.count("predicted)") == 3
    assert ("only for" in verdict.sentence) == (word == CONDITION)
    if word == CONDITION:
        only = verdict.sentence.split("only for ")[1]
        assert only == ("residual MLP and ResNet." if law == -1.5 else "residual MLP, AdamW, branches times 1/depth.")
    found = claim.exponents(planted(law, transfer))
    assert found[claim.RESNET, "batch", "none", "no"].mean == pytest.approx(law, abs=0.3)  # the grid is coarse


def test_an_interval_that_contains_both_predictions_decides_nothing():
    rows = planted(-1.5, 0.0)
    coarse = rows[rows["learning_rate"].isin(GRID[::3]) & (rows["depth"] < 30)]
    verdict = claim.judge(coarse)
    assert verdict.word == NOT
    assert "None of the predictions is confirmed" in verdict.sentence


def test_the_largest_stable_rate_and_its_warm_up():
    frame = planted(-1.5, 0.0)
    arm = frame[(frame["part"] == claim.MLP) & (frame["norm"] == "none") & (frame["warm_up"] == "no")]
    stable = claim.largest_stable(arm)
    assert stable.columns.tolist() == list(claim.DEPTHS[claim.MLP])
    assert stable[97].isna().all(), "no rate learned"
    assert stable[7].tolist() == pytest.approx([GRID[GRID <= 8].max()] * 3)
    warm, ends = claim.judge(frame).notes[-2:]
    assert "residual MLP, batch norm -1.4" in warm
    assert "largest stable rate times 3.9" in warm, "four times, on a grid with this step"
    assert "Of 150 networks (arm, depth and seed) 15 learned at no rate" in ends


def test_table_and_picture():
    frame = planted(-1.5, 0.0)
    table = claim.table(frame)
    assert table["network"].tolist() == [claim.MLP] * 4 + [claim.RESNET] * 2 + [claim.ADAMW] * 4
    assert table["best rates"].iloc[1].endswith(", none"), "the deepest network without a norm"
    axes = claim.draw(frame).axes
    assert [each.get_title() for each in axes] == [*claim.PARTS, *["branches times 1/depth"] * 3]
    guide = axes[0].lines[-1]
    slope = np.polyfit(np.log(guide.get_xdata()), np.log(guide.get_ydata()), 1)[0]
    assert slope == pytest.approx(-1.5)


def test_the_networks_of_a_full_run_exist():
    assert ResNetSpace(depths=claim.DEPTHS[claim.RESNET]).depths == claim.DEPTHS[claim.RESNET]
    for part in (claim.MLP, claim.ADAMW):
        assert min(MLPSpace(depths=claim.DEPTHS[part], residual=True).depths) == 7
