"""The latencies of the networks of a study: measured once, and kept."""

import json

import keras
import pandas as pd
import pytest
from untrained import SPACE, loss_in, quiet, study

from bnzoo import tuning
from bnzoo.export.formats import FORMATS
from bnzoo.export.verification import Verification
from bnzoo.tuning import latency
from bnzoo.tuning.records import Records

pytestmark = pytest.mark.usefixtures("training_left_out")
WIDER = {**SPACE, "depths": (1, 2), "batch_size": (16, 32), "learning_rates": (0.1, 0.1, 1)}


class Formats:
    """A replacement of the formats: an artefact is its folder, and its latency the order of the exports in ms."""

    def __init__(self, patch):
        self.exported, self.fails_at = [], None
        patch.setattr(latency, "FORMATS", {"saved_model": self, "onnx": self})
        patch.setattr(latency, "verify", self.verify)
        patch.setattr(latency, "open_calls", lambda format, folder: lambda size: folder)
        patch.setattr(latency, "medians", lambda calls, seconds: {n: self.order(f) / 1e3 for n, f in calls.items()})

    def require(self):
        pass

    def export(self, model, folder):
        if len(self.exported) == self.fails_at:
            raise KeyboardInterrupt
        folder.mkdir(parents=True)
        self.exported.append(folder)

    def verify(self, folder, checksums_only):
        return [Verification(folder, "fake", 1, problems=list(map(str, folder.iterdir())))]

    def order(self, folder):
        return self.exported.index(folder) + 1


@pytest.fixture
def formats(monkeypatch):
    return Formats(monkeypatch)


def finished(data, folder):
    found = study(data, folder, tuning.MLPSpace(**WIDER), seeds=1)
    found.run(quiet)
    return found


@pytest.mark.slow
def test_each_network_is_measured_once_and_a_call_goes_on(few_digits, tmp_path, formats):
    """Four networks in eight trials: the batch size does not change a network."""
    first = finished(few_digits, tmp_path / "s")
    formats.fails_at = 3
    with pytest.raises(KeyboardInterrupt):
        first.measure_latency()
    formats.fails_at = None
    results = first.measure_latency()
    assert len(formats.exported) == 4, "no artefact is written twice"
    assert set(results.frame()["saved_model_ms"]) == {1.0, 2.0, 3.0, 4.0}
    assert not (tmp_path / "s" / ".latency").exists()
    written = pd.read_csv(tmp_path / "s/results.csv")
    groups = written.groupby(["depth", "norm"])["saved_model_ms"]
    assert set(groups.nunique()) == {1}
    stored = json.loads((tmp_path / "s/results.json").read_text())["latency"]["saved_model"]
    assert stored[0] == {"network": {"depth": 1, "norm": "batch"}, "milliseconds": 1.0}

    (tmp_path / "s").rename(tmp_path / "moved")
    again = study(few_digits, tmp_path / "moved", tuning.MLPSpace(**WIDER), seeds=1)
    again.measure_latency("saved_model")
    assert len(formats.exported) == 4
    assert again.results.table().equals(results.table())
    assert latency.seconds_to_measure(again, "saved_model") == 0
    assert latency.seconds_to_measure(again, "onnx") > 4 * 9
    again.measure_latency("onnx")
    assert again.results.costs == ["parameters", "multiplications", "saved_model_ms", "onnx_ms"]
    assert again.front("latency")["onnx_ms"].tolist() == [5.0, 5.0], "two batch sizes are equally good"


def test_a_damaged_artefact_is_written_again_and_what_another_process_measured_counts(few_digits, tmp_path, formats):
    first = study(few_digits, tmp_path / "s")
    first.run(quiet, trials=1)
    late = study(few_digits, tmp_path / "s")
    artefact = tmp_path / "s/.latency/saved_model" / latency._name(first, first.results.trials[0]) / "1"
    artefact.mkdir(parents=True)
    (artefact / "damaged").touch()
    first.measure_latency()
    assert formats.exported == [artefact]
    late.measure_latency()
    assert formats.exported == [artefact]
    assert len(late.results.latencies.formats["saved_model"]) == 1


def test_the_best_model_is_that_of_trials_that_ended_during_the_measurement(few_digits, tmp_path, formats, monkeypatch):
    space = tuning.MLPSpace(**{**SPACE, "norms": (None, "batch")})  # the first trial is not the best one
    first, second = (study(few_digits, tmp_path / "s", space, seeds=1) for _ in range(2))
    first.run(quiet, trials=1)
    worse = first.results.best.loss
    export = formats.export

    def end_the_search(model, folder):
        second.work(budget=None, trials=None)
        export(model, folder)

    monkeypatch.setattr(formats, "export", end_the_search)
    best = first.measure_latency().best
    assert best.loss < worse
    assert len(json.loads((tmp_path / "s/results.json").read_text())["trials"]) == 4
    second.run(quiet)
    assert loss_in(keras.saving.load_model(tmp_path / "s/best.keras")) == pytest.approx(best.loss)


def test_mistakes(few_digits, tmp_path, formats):
    new = study(few_digits, tmp_path / "s")
    with pytest.raises(ValueError, match="no trial has run"):
        new.measure_latency()
    with pytest.raises(ValueError, match="Unknown `format`: 'tflite'"):
        new.measure_latency("tflite")
    new.run(quiet, trials=1)
    records = Records(new.definition, new.directory, None, new.name, None)
    records.shared.set_attribute("bnzoo:latencies", {"onnx": [{"network": 3}]})
    with pytest.raises(ValueError, match="its latencies are damaged"):
        study(few_digits, tmp_path / "s")


@pytest.mark.slow
@pytest.mark.usefixtures("verified_here")
def test_real_artefacts(few_digits, tmp_path):
    one = study(few_digits, tmp_path / "s", tuning.MLPSpace(**{**SPACE, "norms": ("batch",)}), seeds=1)
    one.run(quiet)
    times = one.measure_latency().frame()["saved_model_ms"]
    assert times.nunique() == 1
    assert 0 < times[0] < 1000
    assert set(FORMATS) == {"litert", "onnx", "openvino", "saved_model"}, "the docstring names them"
