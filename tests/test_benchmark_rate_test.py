import json

import numpy as np
import pandas as pd
import pytest
import typer

from recipes.benchmarks import rate_test as benchmark


def row(best, family="mlp", depth=1, norm="batch", usable=True):
    """Return the row of a test with an interval from about 0.01 to 0.3, and of a grid with this best rate."""
    rates = np.geomspace(1e-6, 10, 141)
    losses = np.interp(np.log10(rates), [-3, -1, -0.5, 0], [2.3, 0.5, 0.5, 50])
    grid = (1e-3, 0.1, 1.0)
    trials = [[rate, "ok" if usable else "stalled", 0.1 if rate == best else 0.5, 1 - rate / 10] for rate in grid]
    return {
        "architecture": [family, depth, norm],
        "seconds": [1.0, 9.0],
        "rates": rates.tolist(),
        "losses": [losses.tolist()],
        "trials": trials,
    }


def test_there_are_over_forty_architectures_the_shallowest_first():
    every = benchmark.architectures()
    assert len({*every}) == len(every) == 45
    assert every[:4] == [("resnet", 8, "batch"), ("resnet", 8, "group"), ("resnet", 8, None), ("mlp", 1, "batch")]
    assert every[-1] == ("vit", 6, None)


def test_the_best_rate_is_inside_or_not():
    lines = [benchmark.result(row(best, norm=norm)) for best, norm in ((0.1, "batch"), (1.0, "batch"), (0.1, None))]
    lines.append(benchmark.result(row(0.1, usable=False)))
    assert [line["inside"] for line in lines] == [True, False, True, None]
    assert [line["best"] for line in lines[:3]] == [0.1, 1.0, 0.1]
    assert lines[1]["accuracy"] == 90
    assert lines[1]["at suggested"] == 99
    words = benchmark.summary(pd.DataFrame(lines)).splitlines()
    assert words[0].startswith("all: 2 of 3 intervals hold the best rate (67 %, 95 % interval 21 to 94 %)")
    assert words[1].startswith("batch: 1 of 2 ")
    assert words[2].startswith("none: 1 of 1 ")
    assert words[3] == "without a usable rate in the grid: 1"
    assert words[4] == "median seconds: 1.0 of a test, 9.0 of a grid"


def test_it_continues_with_what_is_missing(monkeypatch, tmp_path, capsys):
    measured = []

    def measure(architecture, digits, epochs):
        measured.append(architecture)
        return row(0.1, *architecture)

    monkeypatch.setattr(benchmark, "measure", measure)
    path = tmp_path / "new" / "rows.jsonl"
    benchmark.main(only=2, rows=path)
    assert "2 of 2 intervals hold the best rate" in capsys.readouterr().out
    benchmark.main(only=3, rows=path)
    assert measured == benchmark.architectures()[:3]
    rows = list(map(json.loads, path.read_text().splitlines()))
    assert [tuple(row["architecture"]) for row in rows] == measured
    assert {row["epochs"] for row in rows} == {benchmark.EPOCHS}


def test_rows_with_other_epochs_are_refused(monkeypatch, tmp_path):
    path = tmp_path / "rows.jsonl"
    monkeypatch.setattr(benchmark, "measure", lambda architecture, digits, epochs: row(0.1, *architecture))
    benchmark.main(only=1, rows=path, epochs=2)
    before = path.read_text()
    with pytest.raises(typer.BadParameter, match=r"has a row with epochs=2, but this command measures epochs=9\. Pass"):
        benchmark.main(only=2, rows=path)
    path.write_text(json.dumps(row(0.1)))
    with pytest.raises(typer.BadParameter, match="epochs=None"):
        benchmark.main(only=2, rows=path)
    path.write_text(before)
    benchmark.main(only=2, rows=path, epochs=2)
    assert path.read_text().startswith(before)
