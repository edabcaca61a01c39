import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from turns_here import WorkerHere

import bnzoo
from bnzoo.export import latency
from recipes.benchmarks import report
from recipes.benchmarks.inference import __main__ as command_line
from recipes.benchmarks.inference import artefacts, race, results, worker
from recipes.benchmarks.training.contestants import Network
from recipes.benchmarks.turns import Worker

ROOT = Path(__file__).parent.parent

# seconds of the calls of each kind in three pairs. The machine was busy during the second.
CALLS = {"Keras": [0.010, 0.040, 0.012], "ONNX": [0.005, 0.010, 0.009], "PyTorch": [0.020, 0.060, 0.024]}


def planted() -> pd.DataFrame:
    """Return the times of a network with batch size 1, and of another with batch size 8."""
    times = [
        {"kind": kind, "what": "call", "batch": 1, "round": number, "value": value}
        for kind, values in CALLS.items()
        for number, value in enumerate(values)
    ]
    known = [("Keras", "size", [4e6]), ("ONNX", "size", [2e6]), ("Keras", "difference", [np.nan])]
    known += [("ONNX", "difference", [1e-6]), ("Keras", "load", [1, 8]), ("ONNX", "load", [0.5, 2])]
    known += [("Keras", "first", [3, 5]), ("ONNX", "first", [1, 2])]
    times += [
        {"kind": kind, "what": what, "batch": 0, "round": number, "value": value}
        for kind, what, values in known
        for number, value in enumerate(values)
    ]
    small = [{"kind": "Keras", "what": "call", "batch": 8, "round": 0, "value": 1.0}]
    return pd.concat([pd.DataFrame(times).assign(network="big"), pd.DataFrame(small).assign(network="small")])


def test_the_table_has_medians_and_ratios_in_pairs():
    table = results.table(planted())
    assert list(table.index) == [*(("big", 1, kind) for kind in CALLS), ("small", 8, "Keras")]
    big = table.loc["big", 1]
    np.testing.assert_allclose(big["ms"], [12, 9, 24])
    # 9 / 12 would be the ratio of the medians
    np.testing.assert_allclose(big["ratio"], [1, 0.5, 2])
    np.testing.assert_allclose(big["size_mb"], [4, 2, np.nan])
    np.testing.assert_allclose(big["load_s"], [4.5, 1.25, np.nan])
    np.testing.assert_allclose(big["load_ratio"], [1, 0.375, np.nan])
    np.testing.assert_allclose(big["first_s"], [4, 1.5, np.nan])
    np.testing.assert_allclose(big["difference"], [np.nan, 1e-6, np.nan])
    assert big.loc["ONNX", "quartiles"] == "7 to 9.5"


def test_the_chart_has_a_bar_for_each(tmp_path):
    table = results.table(planted())
    figure = results.chart(table)
    [axes] = figure.axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([1, 0.5, 2, 1])
    report.save(tmp_path / "new", {"a.csv": table.reset_index()}, {"a.png": figure})
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"a.csv", "a.png"}


@pytest.mark.slow
def test_both_models_compute_the_same():
    small = Network(32, 1, "DenseNet121", "DenseNet121")
    stock, ours = artefacts.models(small, 32, 3)
    assert "bnzoo" not in type(stock.layers[3]).__module__
    x = artefacts.images(4, 32)
    np.testing.assert_allclose(ours(x), stock([x]), atol=1e-5)


def test_the_statistics_are_those_of_the_images():
    model = artefacts.settled(bnzoo.ResNetCifar(8, input_shape=(32, 32, 3), classes=3))
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    out = keras.Model(model.inputs, [norm.output for norm in norms])([artefacts.images(artefacts.SAMPLES, 32)])
    for norm, values in zip(norms, out, strict=True):
        np.testing.assert_allclose(np.std(values, (0, 1, 2)), norm.gamma, rtol=0.05)
        assert np.std(norm.gamma) > 0.05


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(artefacts.SIZES, "tiny", (16, 3))
    monkeypatch.setitem(artefacts.NETWORKS, "tiny", Network(16, 1, "Tiny"))
    monkeypatch.setattr(bnzoo, "Tiny", lambda **options: bnzoo.ResNetCifar(8, **options), raising=False)
    monkeypatch.setattr(artefacts, "FORMATS", {"SavedModel": "saved_model", "ONNX": "onnx"})
    return "tiny"


@pytest.mark.slow
def test_what_is_not_installed_is_told_and_left_out(tmp_path, tiny, monkeypatch, verified_here, capsys):
    def missing(*arguments, **options):
        raise ImportError("no onnx here")

    monkeypatch.setattr(artefacts.export, "onnx", missing)
    stock, ours = artefacts.make(tiny, tmp_path)
    assert (stock.kind, ours.kind) == ("Keras", "SavedModel")
    assert np.isnan(stock.difference)
    assert 0 <= ours.difference < 1e-4
    assert 0 < ours.size < stock.size
    assert "ONNX is skipped: no onnx here" in capsys.readouterr().out

    inputs = tmp_path / "inputs.npz"
    np.savez(inputs, image=artefacts.images(2, 16))
    monkeypatch.chdir(ROOT)
    with Worker(ours.kind, race.WORKER, ours.format, str(ours.folder), str(inputs)) as process:
        assert process.ask("ready")
        assert process.ask("open") > 0
        assert process.ask("call 1") > 0
        assert process.ask("call 2") > 0


def test_only_the_runtime_is_imported(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    np.savez(tmp_path / "inputs.npz", image=np.zeros((1, 2)))
    script = f"""
import sys
from recipes.benchmarks.inference.worker import RUNTIMES, _Worker, _runtimes
RUNTIMES["saved_model"] = "csv"
_Worker("saved_model", "", {str(tmp_path / "inputs.npz")!r})
assert "csv" in sys.modules and "open_artefact" in _runtimes()
assert not {{"keras", "tensorflow", "bnzoo", "torch"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.slow
def test_a_run_in_this_process(tmp_path, tiny, monkeypatch, verified_here, capsys):
    def here(kind, module, *arguments):
        assert module == race.WORKER
        return WorkerHere(kind, lambda: worker._Worker(*arguments))

    monkeypatch.setattr(race, "Worker", here)
    monkeypatch.setattr(race, "latencies", lambda calls, seconds, measure: latency.latencies(calls, 0, measure))
    monkeypatch.setattr(artefacts, "FORMATS", {"SavedModel": "saved_model"})
    command_line.main(network=[tiny], batch=[1, 3], quick=True, output=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"inference.csv", "summary.csv", "inference.png"}
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert list(zip(summary["batch"], summary["kind"], strict=True)) == [
        (batch, kind) for batch in (1, 3) for kind in ("Keras", "SavedModel")
    ]
    assert (summary[["ms", "load_s", "first_s", "size_mb"]] > 0).all(axis=None)
    assert summary["difference"].max() < 1e-4
    times = pd.read_csv(tmp_path / "inference.csv")
    assert set(times["network"]) == {tiny}
    rows = times.groupby(["what", "kind", "batch"])["round"].apply(list).to_dict()
    for kind in ("Keras", "SavedModel"):
        assert rows["load", kind, 0] == rows["first", kind, 0] == [0, 1]
        assert rows["call", kind, 1] == rows["call", kind, 3] == [0, 1, 2, 3, 4]
    assert f"{tiny}: measured after" in capsys.readouterr().out


@pytest.mark.nightly
def test_the_quick_run(tmp_path):
    command = [sys.executable, "-m", "recipes.benchmarks.inference", "--quick", "--output", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert {"Keras", "SavedModel"} <= set(summary["kind"])
    assert (summary[["ms", "load_s", "size_mb"]] > 0).all(axis=None)
    assert summary["difference"].max() < 1e-4
    assert {path.name for path in tmp_path.iterdir()} == {"inference.csv", "summary.csv", "inference.png"}
