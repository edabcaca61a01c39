import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recipes.claims.statistics import at_best_rate, exponent, interval, paired


def test_the_rate_with_the_best_mean_score_is_chosen_for_each_arm():
    rows = pd.DataFrame(
        {
            "norm": ["batch"] * 4 + ["none"] * 4,
            "learning_rate": [0.1, 0.1, 1.0, 1.0] * 2,
            "seed": [0, 1] * 4,
            "score": [0.5, 0.5, 0.1, 0.8, 0.2, 0.4, 0.3, 0.5],  # the lowest of all is not the lowest mean
        }
    )
    best = at_best_rate(rows, ["norm"])
    assert best["learning_rate"].tolist() == [1.0, 1.0, 0.1, 0.1]
    assert best["seed"].tolist() == [0, 1, 0, 1]


def test_the_exponent_of_a_power_law_is_found_with_an_interval_that_covers_the_grid():
    depths = np.array([7, 13, 25, 49, 97])
    law = pd.DataFrame([3.0 * depths**-1.5] * 4, columns=depths)
    found = exponent(law, step=1.0)
    assert (found.mean, found.low, found.high) == pytest.approx((-1.5, -1.5, -1.5))
    on_a_grid = 4 ** np.round(np.log(law) / np.log(4))  # all seeds agree: only the grid makes the exponent uncertain
    found = exponent(on_a_grid, step=4.0)
    assert found.low < -1.5 < found.high
    assert 0.3 < found.high - found.low < 1.2
    noisy = law * np.exp(np.random.default_rng(0).normal(0, 0.2, law.shape))
    slopes = [np.polyfit(np.log(depths), np.log(row), 1)[0] for row in noisy.to_numpy()]
    peer = stats.ttest_1samp(slopes, 0).confidence_interval()
    found = exponent(noisy, step=1.0)
    assert (found.low, found.high) == pytest.approx((peer.low, peer.high)), "without a grid, that of the slopes"
    law.iloc[0, 1] = np.nan
    assert exponent(law, step=1.0).mean == pytest.approx(-1.5), "a depth without a rate is left out"
    assert exponent(law.iloc[:, :3], step=1.0) is None


@given(st.lists(st.floats(-50, 50), min_size=3, max_size=12), st.floats(-10, 10))
def test_an_interval_has_its_mean_inside_and_moves_with_the_values(values, shift):
    found, moved = interval(values), interval([value + shift for value in values])
    assert found.low - 1e-9 <= found.mean <= found.high + 1e-9
    assert moved.low == pytest.approx(found.low + shift, abs=1e-6)
    assert moved.high == pytest.approx(found.high + shift, abs=1e-6)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_an_interval_covers_the_true_mean_in_95_percent_of_the_cases(seeds):
    samples = np.random.default_rng(0).normal(3, 2, (2000, seeds))
    found = [interval(sample) for sample in samples]
    covered = np.mean([each.low <= 3 <= each.high for each in found])
    assert covered == pytest.approx(0.95, abs=0.015)
    peer = stats.ttest_1samp(samples[0], 0).confidence_interval()
    assert (found[0].low, found[0].high) == pytest.approx((peer.low, peer.high))


def test_one_seed_has_no_interval():
    found = interval([2.0])
    assert (found.mean, found.low, found.high) == (2.0, -np.inf, np.inf)
    assert found.text() == "+2.0 (one seed: no interval)"
    assert interval([1.0, 1.0, 1.0]).text() == "+1.0 [+1.0, +1.0]"


def test_differences_are_those_of_the_same_seed():
    rows = pd.DataFrame(
        {"norm": ["none", "batch", "batch", "none"], "seed": [1, 0, 1, 0], "accuracy": [0.1, 0.9, 0.8, 0.5]}
    )
    difference = paired(rows, "norm", "batch", "none", "accuracy")
    assert difference.to_dict() == {0: pytest.approx(0.4), 1: pytest.approx(0.7)}
