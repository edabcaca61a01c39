import json
import os
import runpy
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from portable import ON_LINUX

import bnzoo

ROOT = Path(__file__).parent.parent
memory = SimpleNamespace(**runpy.run_path(str(ROOT / "recipes" / "benchmarks" / "memory.py")))


def planted(kind, peaks, milliseconds, network="N") -> list[dict]:
    """Return the steps of a process with 1000 MB before the first step."""
    return [
        {
            "network": network,
            "kind": kind,
            "step": step,
            "before": 1000.0,
            "peak": peak,
            "seconds": time / 1000,
            "cpu_seconds": time / 500,
        }
        for step, (peak, time) in enumerate(zip(peaks, milliseconds, strict=True))
    ]


def test_the_table_has_peaks_medians_and_ratios_to_plain():
    steps = pd.DataFrame(
        [
            *planted("plain", [1200, 1700, 1800, 1750], [9999, 10, 20, 40]),
            *planted("efficient", [1300, 1400, 1380, 1390], [9999, 11, 30, 44]),
            *planted("plain", [1100, 1500], [9999, 7], network="M"),
            *planted("lighter", [2000, 1250], [9999, 14], network="M"),
        ]
    )
    table = memory.table(steps)
    assert list(table.index) == [("N", "plain"), ("N", "efficient"), ("M", "plain"), ("M", "lighter")]
    assert table["process MB"].tolist() == [1800, 1400, 1500, 2000]
    assert table["graph MB"].tolist() == [200, 300, 100, 1000]
    assert table["step MB"].tolist() == [800, 400, 500, 250]
    assert table["step of plain"].tolist() == [1.0, 0.5, 1.0, 0.5]
    assert table["ms"].tolist() == [20, 30, 7, 14]
    # the paired ratios are 1.1, 1.5 and 1.1; the ratio of the medians would be 1.5
    assert table["ms of plain"].tolist() == [1.0, 1.1, 1.0, 2.0]
    assert table["CPU ms"].tolist() == [40, 60, 14, 28]
    assert table["CPU ms of plain"].tolist() == [1.0, 1.1, 1.0, 2.0]


@ON_LINUX
def test_the_peak_of_a_call_is_measured_though_it_is_over():
    before = memory.resident("VmRSS")
    found = memory.measured(lambda: np.ones(25_000_000).sum())
    assert found["peak"] - before == pytest.approx(200, rel=0.2)
    assert found["seconds"] > 0
    assert found["cpu_seconds"] > 0


@ON_LINUX
def test_the_peak_before_a_call_is_not_its_own():
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("the mark cannot be set back here")
    before = memory.resident("VmRSS")
    np.ones(25_000_000)
    assert memory.measured(lambda: None)["peak"] - before < 40


# the large tensors that the backward pass reads: the images and four exponentials
TRAINING = """
import itertools, json, keras
from recipes.benchmarks.memory import training

x = inputs = keras.Input((512, 512, 3))
x = keras.layers.Dense(3)(x)
for _ in range(4):
    x = keras.layers.Activation("exponential")(x)
model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
print(json.dumps(list(itertools.islice(training(model, batch=32), 4))))
"""


@pytest.mark.slow
@ON_LINUX
def test_the_memory_of_a_training_step_is_what_its_backward_pass_reads():
    """The test needs a new process, because TensorFlow reuses the memory of other tests."""
    out = subprocess.run([sys.executable, "-c", TRAINING], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    traced, *steps = json.loads(out.splitlines()[-1])
    tensor = 32 * 512 * 512 * 3 * 4 / 1e6
    peak = max(step["peak"] for step in steps) - traced["peak"]
    # these five, and two for the gradient
    assert peak == pytest.approx(7 * tensor, rel=0.2)
    assert all(step["before"] == traced["before"] for step in steps)


class Here:
    """A pool that runs in this process, and appends the cases to `asked`."""

    def __init__(self, workers, context):
        assert workers == 1

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def submit(self, step, *case):
        Here.asked.append(case)
        future = Future()
        future.set_result(step(*case))
        return future


@pytest.mark.slow
@ON_LINUX
def test_a_run_in_this_process(tmp_path, monkeypatch, capsys):
    small = SimpleNamespace(Small=lambda **options: bnzoo.DenseNet((1, 1), 4, stem="cifar", classes=3, **options))
    replaced = {"bnzoo": small, "KINDS": {"Small": ("plain", "memory_efficient")}, "EDGE": 8, "BATCH": 2, "STEPS": 3}
    for name, value in {**replaced, "ProcessPoolExecutor": Here}.items():
        monkeypatch.setitem(memory.main.__globals__, name, value)
    monkeypatch.setattr(Here, "asked", [], raising=False)
    memory.main(tmp_path / "new" / "memory")
    kinds = [kind for _, kind, *_ in Here.asked]
    # both trace first, then they alternate in being first
    assert kinds == ["plain", "memory_efficient"] * 2 + ["memory_efficient", "plain"] + ["plain", "memory_efficient"]
    assert {case[2:] for case in Here.asked} == {(8, 2)}
    steps = pd.read_csv(tmp_path / "new" / "memory" / "memory.csv")
    assert steps.groupby("kind")["step"].apply(list).to_dict() == {kind: [0, 1, 2, 3] for kind in kinds}
    assert (steps["peak"] > 0).all()
    out = capsys.readouterr().out
    assert "plain" in out
    assert "memory_efficient" in out
    assert "memory.csv, 8 steps" in out


@pytest.mark.nightly
@ON_LINUX
def test_the_quick_run(tmp_path):
    command = [sys.executable, "-m", "recipes.benchmarks.memory", str(tmp_path / "new" / "memory"), "--quick"]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    steps = pd.read_csv(tmp_path / "new" / "memory" / "memory.csv")
    assert list(tmp_path.glob("new/memory/*")) == [tmp_path / "new" / "memory" / "memory.csv"]
    assert steps.groupby("kind")["step"].apply(list).to_dict() == {"plain": [0, 1, 2], "memory_efficient": [0, 1, 2]}
    assert (steps["peak"] > steps["before"]).all()
    assert "\nDenseNet121 plain " in out
    assert "\n            memory_efficient " in out
