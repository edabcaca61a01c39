"""The comparison of the search along the law over depth with full grids."""

import pytest
import typer
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
    assert (
        "1 of 1 studies are hits with at most half of the trials of the grid (1 are hits); share of the trials: " in out
    )
    row = law.replay(tmp_path / "0-mlp" / "results.csv")
    assert row["grid"] == 56
    assert row["law"] <= 28
    assert row["best of the grid"].startswith("1 batch 0.0")
    assert row["behind"] == 0
    monkeypatch.setattr(law, "run_grid", pytest.fail)
    law.main(tmp_path, studies=0)
    assert capsys.readouterr().out == out


def write_grid(folder, depths, odd=None):
    """Write the table of a grid whose second rate is the best, except for a cell with a lower score."""
    rates = [0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]
    rows = [
        (depth, rate, 0.1 if (depth, rate) == odd else 1 + abs(place - 1))
        for depth in depths
        for place, rate in enumerate(rates)
    ]
    lines = [f"{number},{depth},{rate},0,{score}" for number, (depth, rate, score) in enumerate(rows)]
    folder.mkdir()
    (folder / "results.csv").write_text("\n".join(["trial,depth,learning_rate,seed,score", *lines]))


def test_the_criterion_is_a_hit_with_at_most_half_of_the_trials(tmp_path, capsys):
    """Of two depths the law needs over half of the trials, of eight it needs less."""
    write_grid(tmp_path / "few", (8, 16))
    write_grid(tmp_path / "missed", (1, 2, 4, 8, 16, 32), odd=(32, 1000.0))
    write_grid(tmp_path / "many", (1, 2, 3, 4, 6, 8, 16, 32))
    rows = {name: law.replay(tmp_path / name / "results.csv") for name in ("few", "missed", "many")}
    assert [row["hit"] for row in rows.values()] == [True, False, True]
    shares = [row["share"] for row in rows.values()]
    assert shares[0] > 0.5 >= max(shares[1:])
    law.main(tmp_path, studies=0)
    out = capsys.readouterr().out
    assert "\n1 of 3 studies are hits with at most half of the trials of the grid (2 are hits); " in out
    assert out.endswith(f"; share of the trials: mean {sum(shares) / 3:.1%}, at most {shares[0]:.1%}\n")


def test_an_incomplete_grid_is_named_and_left_out(tmp_path, capsys):
    for name, depths in (("copied", (8, 16, 32)), ("shallow", (8,)), ("whole", (8, 16, 32))):
        write_grid(tmp_path / name, depths)
    table = tmp_path / "copied" / "results.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-3]))
    law.main(tmp_path, studies=0)
    out = capsys.readouterr().out
    assert f"{table} is left out: the grid is incomplete: 18 of 21 configurations\n" in out
    assert f"{tmp_path / 'shallow' / 'results.csv'} is left out: sampler='law' needs at least two values" in out
    assert " of 1 studies are hits" in out
    (tmp_path / "whole" / "results.csv").unlink()
    with pytest.raises(typer.BadParameter, match="has no study with a full grid"):
        law.main(tmp_path, studies=0)


def test_a_best_configuration_that_was_missed_is_no_hit(tmp_path):
    """One cell far from the line has the best score."""
    write_grid(tmp_path / "odd", (8, 16, 32), odd=(32, 1000.0))
    row = law.replay(tmp_path / "odd" / "results.csv")
    assert not row["hit"]
    assert row["behind"] == pytest.approx(0.9)
    assert (row["best of the grid"], row["best of the law"]) == ("32 1000", "8 0.01")
