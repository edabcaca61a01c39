"""The local search in a grid, on planted scores."""

import math

import keras_tuner
import pytest
from test_oracle import Categories, search

RATES = [0.001, 0.01, 0.1, 1.0, 10.0]


def score(depth, norm, learning_rate):
    """A bowl, lowest at depth 20, without a norm, at a rate of 1."""
    return 0.1 * (20 - depth) / 6 + (norm == "batch") + abs(math.log10(learning_rate))


def run(folder, trials, **options):
    space = Categories(lambda hp: hp.Choice("learning_rate", RATES))
    return search(folder, score, space, sampler="local", cheap=("learning_rate",), max_trials=trials, **options).ran


def test_each_category_comes_once_then_the_neighbours_of_the_best(tmp_path):
    ran = run(tmp_path / "whole", 12)
    assert [(values["depth"], values["norm"]) for values in ran[:3]] == [(8, "batch"), (14, "none"), (20, "batch")]
    assert {values["learning_rate"] for values in ran[:3]} == {0.1}
    assert ran[3] == {"depth": 14, "norm": "none", "learning_rate": 1.0}, "the next rate of the best so far"
    assert min(range(12), key=lambda i: score(**ran[i])) <= 7
    assert min(ran, key=lambda values: score(**values)) == {"depth": 20, "norm": "none", "learning_rate": 1.0}
    assert run(tmp_path / "stopped", 5) == ran[:5]
    assert run(tmp_path / "stopped", 12) == ran[5:], "a search that was stopped continues"


def test_an_entry_of_the_start_is_one_point_with_the_middle_rate(tmp_path):
    ran = run(tmp_path, 5, enqueue=[{"depth": 14}, {"learning_rate": 10.0}])
    assert [tuple(values[name] for name in ("depth", "norm", "learning_rate")) for values in ran] == [
        (14, "batch", 0.1),
        (8, "batch", 10.0),
        (8, "batch", 0.1),
        (14, "none", 0.1),
        (20, "batch", 0.1),
    ]


def test_every_point_comes_once_in_the_end(tmp_path):
    ran = run(tmp_path, 1000)
    assert len(ran) == len({tuple(sorted(values.items())) for values in ran}) == 3 * 2 * len(RATES)


def test_the_direction_of_the_objective_counts(tmp_path):
    from bnzoo.tuning import OptunaOracle

    space = Categories(lambda hp: hp.Choice("learning_rate", RATES))
    oracle = OptunaOracle(keras_tuner.Objective("loss", "max"), 12, sampler="local", cheap=("learning_rate",), seed=0)
    from test_oracle import Toy

    tuner = Toy(oracle, lambda **values: -score(**values), tmp_path, space)
    tuner.search(verbose=0)
    assert max(-score(**values) for values in tuner.ran) == pytest.approx(0)
