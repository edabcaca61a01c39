import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bnzoo
from recipes.benchmarks import accuracy
from recipes.benchmarks.training import race, results
from recipes.benchmarks.training.contestants import NETWORKS, batch, keras_model, with_keras_norm

ROOT = Path(__file__).parent.parent

# seconds of the steps of each kind in three pairs. The machine was busy during the second.
STEPS = {
    "bnzoo": [1.0, 3.0, 1.1],
    "without norms": [0.8, 2.4, 1.0],
    "Keras": [1.25, 4.0, 1.1],
    "PyTorch": [2.0, 6.0, 2.2],
}
MACS, RATE = 1e9, 4e11


def planted() -> pd.DataFrame:
    """Return the times of a ResNet-50 with batch size 16."""
    times = [
        {"kind": kind, "what": "step", "pair": pair, "value": value}
        for kind, values in STEPS.items()
        for pair, value in enumerate(values)
    ]
    for kind, first in {"bnzoo": 10.0, "without norms": 5.0, "Keras": 20.0, "PyTorch": 40.0}.items():
        times += [{"kind": kind, "what": "first_step", "pair": 0, "value": first}]
        times += [{"kind": kind, "what": "build", "pair": 0, "value": first / 10}]
    times += [
        {"kind": kind, "what": "optimizer_first", "pair": 0, "value": v} for kind, v in (("bnzoo", 4), ("Keras", 8))
    ]
    times += [{"kind": "bnzoo", "what": "matrix_rate", "pair": pair, "value": RATE} for pair in range(3)]
    times += [{"kind": "bnzoo", "what": "macs", "pair": 0, "value": MACS}]
    return pd.DataFrame(times).assign(network="ResNet-50", precision="float32", round=0)


def test_the_table_has_medians_and_ratios_in_pairs():
    table = results.table(planted()).loc["ResNet-50", "float32"]
    assert list(table.index) == list(STEPS)
    np.testing.assert_allclose(table["step_ms"], [1100, 1000, 1250, 2200])
    # 1.1 / 1.25 would be the ratio of the medians
    np.testing.assert_allclose(table["bnzoo_ratio"], [1, 1.25, 0.8, 0.5])
    np.testing.assert_allclose(table["bnzoo_first_ratio"], [1, 2, 0.5, 0.25])
    np.testing.assert_allclose(table["optimizer_first_s"], [4, np.nan, 8, np.nan])
    assert table.loc["bnzoo", "quartiles"] == "1050 to 2050"
    # three passes with two operations per multiplication, 16 images, in the median time
    assert table.loc["bnzoo", "matrix_share"] == pytest.approx(6 * MACS * 16 / 1.1 / RATE)


def test_the_norm_tax_is_paid_by_bnzoo_and_keras():
    taxes = results.norm_taxes(planted())
    assert dict(taxes.loc["ResNet-50", "float32"]) == pytest.approx({"bnzoo": 1.25, "Keras": 1.5625})


def test_kinds_take_part_where_they_exist():
    assert NETWORKS["ResNet-50"].kinds == ["bnzoo", "without norms", "Keras", "PyTorch"]
    assert NETWORKS["CIFAR ResNet-20"].kinds == ["bnzoo", "without norms", "Keras"]
    assert NETWORKS["ViT-Ti/16"].kinds == ["bnzoo", "without norms", "PyTorch"]


def test_without_pytorch_the_others_run(monkeypatch):
    monkeypatch.setattr(race.importlib.util, "find_spec", lambda name: None)
    assert race.kinds_here("ResNet-50") == ["bnzoo", "without norms", "Keras"]


def test_keras_norm_makes_the_same_function():
    import keras

    network = NETWORKS["CIFAR ResNet-20"]
    keras.utils.set_random_seed(1)
    ours = keras_model(network, "bnzoo")
    theirs = with_keras_norm(ours)
    kinds = [type(layer) for layer in theirs.layers]
    assert bnzoo.layers.BatchNormalization not in kinds
    assert kinds.count(keras.layers.BatchNormalization) == 19
    images = batch(network)[0][:4]
    np.testing.assert_allclose(theirs(images, training=True), ours(images, training=True), rtol=1e-4, atol=1e-6)


def test_batches_are_whole_and_each_epoch_is_another_order():
    batches = accuracy.batches(100, seed=2)
    assert batches.shape == (accuracy.EPOCHS, accuracy.BATCH)
    assert all(len(set(chosen)) == accuracy.BATCH for chosen in batches)
    assert (batches[0] != batches[1]).any()
    np.testing.assert_array_equal(batches, accuracy.batches(100, seed=2))


def test_a_contestant_that_dies_is_told(monkeypatch):
    monkeypatch.chdir(ROOT)
    with race.Worker("no such network", "bnzoo", "float32") as worker, pytest.raises(RuntimeError, match="echo build"):
        worker.ask("build")


@pytest.mark.slow
def test_the_quick_run(tmp_path):
    command = [sys.executable, "-m", "recipes.benchmarks.training", str(tmp_path), "--quick"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "norm tax" in printed
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert list(summary["kind"]) == ["bnzoo", "without norms", "Keras"]
    assert (summary[["step_ms", "first_step_s", "build_s"]] > 0).all(axis=None)
    assert (summary["matrix_share"] > 0).all()
    assert {path.name for path in tmp_path.iterdir()} == {"training.csv", "summary.csv", "training.png"}
