import json
import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_the_examples_run_as_they_stand(tmp_path, monkeypatch, digits):
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
    assert (tmp_path / "runs/readme/report.html").exists()
    accuracy = (namespace["probabilities"].numpy().argmax(-1) == digits.test.y).mean()
    assert accuracy > 0.95


@pytest.mark.slow
def test_the_guide_to_studies_runs(tmp_path, monkeypatch):
    """The code runs as printed, except for a smaller number of trials in the first example."""
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/studies.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 5
    assert "trials=40" in blocks[0]
    for block in blocks:
        exec(compile(block.replace("trials=40", "trials=3"), "studies.md", "exec"), namespace)
    assert len(namespace["study"].results) == 3
    assert namespace["study"].results.trials[0].learning_rate == 0.2
    assert len(namespace["oracle"].study.trials()) == 6
    low, high = namespace["found"].interval
    assert low < float(namespace["model"].optimizer.learning_rate) < high
    assert (tmp_path / "rates.png").exists()
    assert 1 <= len(namespace["costs"].front("latency")) <= 3


def test_the_first_screen_has_the_two_commands():
    screen = TEXT.splitlines()[:24]
    assert 'pip install -e ".[tune]" && bnzoo tune' in screen
    assert 'pip install -e ".[tune,test]" && pytest' in screen


def test_the_first_command_reaches_97_percent():
    """CI runs `bnzoo tune` before the tests, and this test reads its result."""
    note = ROOT / "runs/resnet-digits/export.json"
    if not note.exists():
        pytest.skip("`bnzoo tune` has not been run here")
    found = json.loads(note.read_text())
    assert found["test_accuracy"] >= 0.97
    assert found["test_examples"] == 359


@pytest.mark.slow
def test_a_recipe_runs_from_the_command_line(tmp_path, monkeypatch, capsys):
    """The recipe runs with its default settings. `test_recipes.py` runs shorter versions of the others."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["mlp_lr_depth", "--data", "wine", "--folder", str(tmp_path / "study")])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "recipes/mlp_lr_depth.py"), run_name="__main__")
    assert not ended.value.code
    out = capsys.readouterr().out
    assert "Best: depth" in out
    # There are 36 examples. Rounding decides between several configurations with 100 % validation accuracy.
    assert float(re.search(r"test accuracy ([\d.]+)%", out)[1]) >= 90
