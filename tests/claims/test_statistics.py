import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    law.iloc[0, 1] = np.nan
    assert exponent(law, step=1.0).mean == pytest.approx(-1.5), "a depth without a rate is left out"
    assert exponent(law.iloc[:, :3], step=1.0) is None


@given(st.lists(st.floats(-50, 50), min_size=3, max_size=12), st.floats(-10, 10))
def test_an_interval_has_its_mean_inside_and_moves_with_the_values(values, shift):
    found, moved = interval(values), interval([value + shift for value in values])
    assert found.low - 1e-9 <= found.mean <= found.high + 1e-9
    assert min(values) - 1e-9 <= found.low
    assert found.high <= max(values) + 1e-9
    assert moved.low == pytest.approx(found.low + shift, abs=1e-6)
    assert moved.high == pytest.approx(found.high + shift, abs=1e-6)


def test_an_interval_of_three_values_is_from_the_lowest_to_the_highest():
    found, of_more = interval([0.5, 0.1, 0.4]), interval([0.5, 0.1, 0.4, 0.3])
    assert (found.low, found.high) == pytest.approx((0.1, 0.5))
    assert 0.1 < of_more.low < of_more.high < 0.5


def test_an_interval_is_that_of_the_normal_distribution_for_many_values():
    values = np.random.default_rng(0).normal(3, 2, 400)
    found, half = interval(values), 1.96 * values.std() / 20
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)
    assert interval(values) == found, "the same for the same values"


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
