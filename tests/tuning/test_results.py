import json
import math

import pandas as pd
import pytest
from planted import planted

from bnzoo.tuning import TrialResult
from bnzoo.tuning.verdict import verdict


def bowl(depth, norm, rate, seed):
    """Best at depth 14, batch, 0.1; without a norm the highest rate diverges."""
    if norm == "none" and rate == 1.0:
        return math.inf
    return 0.1 + abs(math.log10(rate) + 1) + (14 - depth) / 10 + (norm == "none") * 0.2


def test_table():
    table = planted(bowl).table()
    assert list(table["depth"]) == [8, 8, 14, 14]
    assert list(table["norm"]) == ["batch", "none"] * 2
    assert list(table["best learning rate"]) == [0.1] * 4
    assert list(table["largest usable"]) == [1.0, 0.1] * 2
    assert list(table["usable"]) == ["3/3", "2/3"] * 2
    assert table["loss"].tolist() == pytest.approx([0.7, 0.9, 0.1, 0.3])


def test_best_is_the_best_seed_of_the_best_mean():
    def scores(depth, norm, rate, seed):
        return {0.01: (0.5, 0.5), 0.1: (0.3, 0.4), 1.0: (0.1, math.inf)}[rate][seed]

    best = planted(scores, depths=(8,), norms=("batch",), seeds=2).best
    assert (best.learning_rate, best.seed, best.score) == (0.1, 0, 0.3)


def warnings(results):
    return " | ".join(verdict(results).warnings)


def test_a_clear_finding_has_no_warning_but_that_of_one_seed():
    results = planted(bowl, depths=(8, 14, 20))
    assert "one seed" in warnings(planted(lambda d, n, r, s: bowl(d, n, r, s) + (d == 20), depths=(8, 14, 20)))
    found = verdict(planted(lambda d, n, r, s: bowl(d, n, r, s) + (d == 20) + s / 1000, depths=(8, 14, 20), seeds=2))
    assert found.warnings == []
    assert found.sentence.startswith("Best: depth 14, norm batch, learning rate 0.1: validation accuracy 97.99%")
    assert "the best depth 20 is at the edge" in warnings(results)


@pytest.mark.parametrize(("sign", "side"), [(1, "lowest"), (-1, "highest")])
def test_the_edge_of_the_range_is_told(sign, side):
    results = planted(lambda depth, norm, rate, seed: 1 + sign * rate / 2, depths=(8,))
    assert f"is at the edge of the range ({side} tried)" in warnings(results)
    assert "best depth" not in warnings(results), "one depth has no edge"


def test_seeds_that_differ_by_more_than_the_gap_are_told():
    results = planted(lambda d, n, r, s: bowl(d, n, r, s) + 2 * s, seeds=2)
    assert "the seeds differ by more than the gap: 2.0000 between seeds" in warnings(results)
    results = planted(lambda d, n, r, s: bowl(d, n, r, s) + 0.001 * s, seeds=2)
    assert "seeds" not in warnings(results)


def test_moving_statistics_that_choose_otherwise_are_told():
    results = planted(bowl, moving=lambda d, n, r, s: 0.001 if (d, n, r) == (8, "batch", 0.01) else 3.0)
    assert "the moving statistics would have chosen another configuration: depth 8, norm batch" in warnings(results)


def test_failures_and_unfinished_studies_are_told():
    results = planted(lambda *args: "boom" if args[2] == 0.01 else bowl(*args), finished=False)
    assert "4 trials raised an error" in warnings(results)
    assert "not finished: 11 of 12" in warnings(results)


def test_nothing_usable():
    results = planted(lambda *args: math.inf)
    assert verdict(results).sentence.startswith("No configuration is usable")
    assert results.best is None
    assert results.table()["best learning rate"].isna().all()
    assert results.counts == {"ok": 0, "stalled": 0, "diverged": 12, "failed": 0}


def test_files(tmp_path):
    results = planted(bowl)
    results.save(tmp_path, "bnzoo tune")
    table = pd.read_csv(tmp_path / "results.csv")
    assert len(table) == 12
    assert table["score"].max() == pytest.approx(2 * math.log(10)), "scores are finite whatever happens"
    document = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)
    assert document["command"] == "bnzoo tune"
    assert document["trials"][5]["history"]["loss"] == ["nan"]
    assert document["best"] == results.best.trial
    for trial in results.trials:
        trial.save(tmp_path / "trial.json")
        assert repr(TrialResult.load(tmp_path / "trial.json")) == repr(trial)
