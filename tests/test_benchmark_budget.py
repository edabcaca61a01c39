import io
import json
import subprocess

import numpy as np
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
    assert budget.tune("x.npz", "10m", tmp_path)["note"] == "wrong"
    assert [budget.seconds_of(text) for text in ("90s", "3m", "1h")] == [90, 180, 3600]
