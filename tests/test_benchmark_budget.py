import io
import json
import subprocess

import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image

from recipes.benchmarks import budget


def test_the_files_are_jpeg_of_six_classes(tmp_path):
    paths = budget.write_files(tmp_path, 12, 16)
    assert sorted({path.parent.name for path in paths}) == sorted(budget.CLASSES)
    assert {Image.open(io.BytesIO(path.read_bytes())).format for path in paths} == {"JPEG"}
    assert Image.open(paths[0]).size == (16, 16)


def test_another_seed_is_another_order_of_the_same_examples(tmp_path):
    x, y = np.arange(20).reshape(20, 1), np.arange(20)
    np.savez(tmp_path / "all.npz", x=x, y=y)
    (tmp_path / "other").mkdir()
    with np.load(budget.shuffled(tmp_path / "all.npz", 1, tmp_path / "other")) as content:
        assert (content["x"][:, 0] == content["y"]).all()
        assert content["y"].tolist() != y.tolist()
        assert sorted(content["y"].tolist()) == y.tolist()


def test_the_command_and_its_figures(monkeypatch, tmp_path):
    def run(command, **options):
        assert command[-6:] == ["--data", "x.npz", "--budget", "10m", "--output", str(tmp_path)]
        (tmp_path / "export.json").write_text(json.dumps({"test_accuracy": 0.933}))
        (tmp_path / "results.csv").write_text("trial,outcome\n0,ok\n1,failed\n2,diverged\n")
        said = "a step: 1 s\nmore\nBest: depth 8.\n", "epoch 1\n9 steps, last weights (x)\n"
        return subprocess.CompletedProcess(command, 0, *said)

    monkeypatch.setattr(budget.subprocess, "run", run)
    row = budget.tune("x.npz", "10m", tmp_path)
    assert row["trials"] == 2
    assert (round(row["test"], 6), row["note"]) == (93.3, "a step: 1 s; Best: depth 8.; 9 steps, last weights (x)")
    monkeypatch.setattr(
        budget.subprocess, "run", lambda command, **options: subprocess.CompletedProcess(command, 2, "", "a\nwrong\n")
    )
    assert budget.tune("x.npz", "10m", tmp_path)["note"] == "status 2: wrong"
    monkeypatch.setattr(
        budget.subprocess, "run", lambda command, **options: subprocess.CompletedProcess(command, -9, "", "")
    )
    with pytest.raises(RuntimeError, match="killed by the signal 9"):
        budget.tune("x.npz", "10m", tmp_path)
    assert [budget.seconds_of(text) for text in ("90s", "3m", "1h")] == [90, 180, 3600]


# trials and test accuracies of three seeds
PLANTED = {
    "bnzoo": ([30, 20, 40], [93.0, 92.0, 94.0]),
    "RandomSearch": ([10, 5, 8], [92.0, 91.5, 94.0]),
    "Hyperband": ([15, 20, 16], [93.5, 92.0, float("nan")]),
}


@pytest.fixture
def arms(monkeypatch, tmp_path):
    """Replace the arms by planted figures, and return the list of the runs and the arguments of `arrays`."""
    ran, at = [], {}
    np.savez(tmp_path / "all.npz", x=np.arange(20).reshape(20, 1), y=np.arange(20))

    def shuffled(file, seed, folder):
        at["seed"] = seed
        return folder / file.name

    def row(arm):
        if len(ran) == at.get("killed"):
            raise KeyboardInterrupt
        ran.append((at["seed"], arm))
        trials, test = (values[at["seed"] - 1] for values in PLANTED[arm])
        return {"seconds": 60.5, "trials": trials, "test": test, "note": ""}

    class Worker:
        def __init__(self, kind, *arguments):
            self.kind = kind

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def ask(self, question):
            assert question == f"run 60.0 {at['seed']}"
            return row(self.kind)

    monkeypatch.setattr(budget, "shuffled", shuffled)
    monkeypatch.setattr(budget, "contestants", lambda: list(PLANTED))
    monkeypatch.setattr(budget, "tune", lambda *arguments: row("bnzoo"))
    monkeypatch.setattr(budget, "Worker", Worker)
    return ran, at, {"file": tmp_path / "all.npz", "budget": "1m", "rows": tmp_path / "runs" / "budget.jsonl"}


def test_a_command_that_was_killed_goes_on_with_the_missing_runs(arms, capsys):
    ran, at, arguments = arms
    at["killed"] = 4
    with pytest.raises(KeyboardInterrupt):
        budget.arrays(**arguments)
    rows = list(map(json.loads, arguments["rows"].read_text().splitlines()))
    assert [(row["seed"], row["arm"]) for row in rows] == ran
    assert len(ran) == 4
    at["killed"] = None
    budget.arrays(**arguments | {"budget": "60s"})
    assert sorted(ran) == sorted((seed, arm) for seed in (1, 2, 3) for arm in PLANTED)
    assert {arm for _, arm in ran[::3]} == set(PLANTED), "each arm is the first of a seed"
    out = capsys.readouterr().out
    assert out.count("seed ") == 9
    budget.arrays(**arguments)
    assert len(ran) == 9
    assert capsys.readouterr().out.split("\n", 2)[2] == out[out.index("60s each") :].split("\n", 1)[1]


def test_rows_of_another_budget_file_or_processor_are_refused(arms, monkeypatch):
    ran, _, arguments = arms
    with pytest.raises(typer.BadParameter, match="'hyperband' is not one of bnzoo, RandomSearch, Hyperband, AutoKeras"):
        budget.arrays(**arguments, only="hyperband")
    budget.arrays(**arguments, seeds=1)
    with pytest.raises(typer.BadParameter, match=r"budget.jsonl has a row with .*budget=60.0, .*budget=600.0"):
        budget.arrays(**arguments | {"budget": "10m"})
    with monkeypatch.context() as patch, pytest.raises(typer.BadParameter, match="processor='another'"):
        patch.setattr(budget, "processor", lambda: "another")
        budget.arrays(**arguments)
    np.savez(arguments["file"], x=np.arange(20).reshape(20, 1), y=np.zeros(20))
    with pytest.raises(typer.BadParameter, match="sha256"):
        budget.arrays(**arguments)
    assert len(ran) == 3


def test_bnzoo_is_compared_with_each_tuner_over_the_seeds_of_both():
    rows = [
        {"arm": arm, "seed": seed, "seconds": 60, "trials": trials, "test": test}
        for arm, figures in PLANTED.items()
        for seed, (trials, test) in enumerate(zip(*figures, strict=True), 1)
    ]
    rows.append({"arm": "bnzoo", "seed": 4, "seconds": 60, "trials": 1, "test": 10.0})
    table = budget.summary(pd.DataFrame(rows))
    assert list(table.index) == list(PLANTED)
    assert table["runs"].tolist() == [4, 3, 3]
    assert table["models"].tolist() == [4, 3, 2]
    assert table["times trials"].tolist() == [1, 4, 2]
    assert table["at least"].tolist() == [1, 3, 1]
    assert table["test not below"].tolist() == [4, 3, 2]
    # differences of 1, 0.5 and 0, with a standard error of 0.5 / sqrt(3) and a quantile of 4.303
    found = table.loc["RandomSearch", ["test difference", "test low", "test high"]]
    np.testing.assert_allclose(found.astype(float), [0.5, 0.5 - 1.242, 0.5 + 1.242], atol=1e-3)
    # -0.5 and 0: the third seed has no model
    found = table.loc["Hyperband", ["test difference", "test low", "test high"]]
    np.testing.assert_allclose(found.astype(float), [-0.25, -0.25 - 3.177, -0.25 + 3.177], atol=1e-3)
    one = budget.summary(pd.DataFrame(rows[:1] + rows[3:4]))
    assert one.loc["RandomSearch", "test difference"] == 1
    assert one[["test low", "test high"]].isna().all(axis=None)
    assert "times trials" not in budget.summary(pd.DataFrame(rows[3:6]))
