"""The comparison of the search along the law over depth with full grids."""

import pytest
import untrained

from bnzoo import data, tuning
from recipes.benchmarks import law


@pytest.fixture
def grids(monkeypatch, few_digits):
    """Studies of the recipe without training."""
    untrained.leave_out_training(monkeypatch)
    space = {"depths": (1, 2, 3, 4), "norms": ("batch", None), "width": 4}
    monkeypatch.setattr(law, "SPACES", ((tuning.MLPSpace, space),))
    monkeypatch.setattr(data, "load", lambda name, seed: few_digits)
    run = tuning.Study.run
    monkeypatch.setattr(tuning.Study, "run", lambda study: run(study, untrained.quiet))


@pytest.mark.slow
def test_grids_are_run_once_and_replayed(grids, monkeypatch, tmp_path, capsys):
    law.main(tmp_path, studies=1, epochs=1)
    out = capsys.readouterr().out
    assert "the same best within one step of the learning rate: 1 of 1 studies; trials: " in out
    row = law.replay(tmp_path / "0-mlp" / "results.csv")
    assert row["grid"] == 56
    assert row["law"] <= 28
    assert row["best of the grid"].startswith("1 batch 0.0")
    assert row["behind"] == 0
    monkeypatch.setattr(law, "run_grid", pytest.fail)
    law.main(tmp_path, studies=0)
    assert capsys.readouterr().out == out


def test_a_best_configuration_that_was_missed_is_no_hit(tmp_path):
    """One cell far from the line has the best score."""
    (tmp_path / "odd").mkdir()
    rates = [0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]
    rows = [
        (depth, rate, 0.1 if (depth, rate) == (32, 1000.0) else 1 + abs(place - 1))
        for depth in (8, 16, 32)
        for place, rate in enumerate(rates)
    ]
    lines = [f"{number},{depth},{rate},0,{score}" for number, (depth, rate, score) in enumerate(rows)]
    (tmp_path / "odd" / "results.csv").write_text("\n".join(["trial,depth,learning_rate,seed,score", *lines]))
    row = law.replay(tmp_path / "odd" / "results.csv")
    assert not row["hit"]
    assert row["behind"] == pytest.approx(0.9)
    assert (row["best of the grid"], row["best of the law"]) == ("32 1000", "8 0.01")
