"""Studies with training. `test_study.py` tests their records."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import untrained
from portable import ON_POSIX
from untrained import comparable, quiet

from bnzoo import tuning
from bnzoo.data import load
from bnzoo.tuning.tuner import compile_model

SPACE = {"depths": (1,), "learning_rates": (0.01, 1.0, 2), "norms": ("batch", None), "width": 16, "batch_size": 16}


def study(data, directory, space=None, **options):
    return untrained.study(data, directory, space or tuning.MLPSpace(**SPACE), **options)


@pytest.fixture(scope="module")
def compilations():
    """The norms of the architectures that `finished` has compiled."""
    return []


@pytest.fixture(scope="module")
def finished(few_digits, tmp_path_factory, compilations):
    whole = study(few_digits, tmp_path_factory.mktemp("whole") / "study")

    def counted(study, hp, seed):
        compilations.append(hp.get("norm"))
        return compile_model(study, hp, seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bnzoo.tuning.tuner.compile_model", counted)
        whole.run(quiet)
    return whole


@pytest.mark.slow
def test_a_budget_ends_the_running_trial(few_digits, tmp_path, monkeypatch):
    """The clock that the training reads is late by a day."""
    monkeypatch.setattr("bnzoo.training.endings.time", SimpleNamespace(monotonic=lambda: time.monotonic() + 86_400))
    part = study(few_digits, tmp_path / "s", seeds=1)
    part.run(quiet, budget=600, trials=1)
    assert part.results.trials[0].reason.startswith("ended at the deadline after 1 of ")
    part.run(quiet, trials=2)
    assert not part.results.trials[1].reason, "without a budget there is no deadline"


@pytest.mark.slow
def test_an_architecture_is_compiled_once(finished, compilations):
    assert compilations == ["batch", "none"]
    assert finished.results.counts["ok"] > 4


@pytest.mark.slow
def test_the_best_model_is_the_one_that_was_scored(finished, few_digits):
    best = finished.results.best
    for model in (finished.best_model(), keras.saving.load_model(finished.directory / "best.keras")):
        loss, accuracy = model.evaluate(*few_digits.validation, verbose=0)
        assert (loss, accuracy) == (pytest.approx(best.loss, rel=1e-5), pytest.approx(best.accuracy))


@pytest.mark.slow
def test_the_same_study_twice_gives_the_same_table(finished, few_digits, tmp_path):
    again = study(few_digits, tmp_path / "again")
    again.run(quiet)
    assert comparable(again.results) == comparable(finished.results)
    for a, b in zip(again.best_model().get_weights(), finished.best_model().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_seeds_differ_and_only_in_what_is_random(finished):
    first, second = finished.results.of({"depth": 1, "norm": "batch", "learning_rate": 0.01})
    assert (first.seed, second.seed) == (0, 1)
    assert first.history != second.history


@pytest.mark.slow
def test_an_interrupted_study_goes_on(finished, few_digits, tmp_path):
    """A study that is interrupted at the start of a trial has the results of an uninterrupted run."""
    ended = []

    def stop(study, event):
        if isinstance(event, tuning.TrialResult):
            ended.append(event.trial)
        elif len(ended) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study(few_digits, tmp_path / "s").run(stop)
    last = study(few_digits, tmp_path / "s")
    assert len(last.results) == 5
    last.run(quiet)
    assert comparable(last.results) == comparable(finished.results)


class FaultyFit(tuning.MLPSpace):
    """A space that raises an error during one trial, on a compiled model that the next trial needs."""

    def fit(self, hp, model, *args, **kwargs):
        history = super().fit(hp, model, *args, **kwargs)
        rate = float(np.asarray(model.optimizer.learning_rate))
        if hp.get("depth") == 1 and kwargs["epochs"] > 1 and rate < 0.1:
            model.stop_training = True
            raise OSError("lost")
        return history


@pytest.mark.slow
def test_a_failure_leaves_no_trace_in_the_next_trial(finished, few_digits, tmp_path):
    broken = study(few_digits, tmp_path / "s", FaultyFit(**{**SPACE, "norms": ("batch",)}))
    broken.run(quiet)
    assert [trial.trial for trial in broken.results.trials if trial.outcome == "failed"] == [0, 1]
    for trial in broken.results.trials[2:]:
        assert trial.history == finished.results.trials[trial.trial].history


@pytest.mark.slow
def test_a_row_that_diverges_ends_nothing(few_digits, tmp_path):
    space = tuning.MLPSpace(depths=(3,), learning_rates=(1e-2, 1e6, 5), norms=(None,), width=32, batch_size=16)
    wild = study(few_digits, tmp_path / "s", space, seeds=1)
    wild.run(quiet)
    assert len(wild.results) == 5
    assert wild.results.counts["diverged"] >= 3
    assert np.isfinite(wild.results.frame()["score"]).all()
    assert wild.results.best.learning_rate == 0.01


class HighRatesDiverge(tuning.MLPSpace):
    """A space in which the loss is infinite from the first epoch at learning rates above 0.3."""

    def fit(self, hp, model, *args, **kwargs):
        history = super().fit(hp, model, *args, **kwargs)
        if hp.get("learning_rate") > 0.3:
            history.history["loss"] = [math.inf for _ in history.history["loss"]]
        return history


@pytest.mark.slow
def test_the_best_is_found_and_promoted_though_four_of_five_diverge(few_digits, tmp_path):
    """Keras Tuner's Hyperband promotes nothing if half of the configurations fail."""
    space = HighRatesDiverge(depths=(1,), learning_rates=(0.1, 1e9, 11), norms=("batch",), width=32, batch_size=16)
    options = {"epochs": 9, "pruner": "successive_halving", "enqueue": [{"learning_rate": 0.1}]}
    wild = study(few_digits, tmp_path / "s", space, seeds=1, **options)
    wild.run(quiet)
    counts = wild.results.counts
    ended = counts["diverged"] + counts["pruned"] + counts["stalled"]  # some are given up before they diverge
    assert counts["ok"] + ended == 11
    assert ended >= 9
    best = wild.results.best
    assert best.learning_rate == 0.1
    assert len(best.history["loss"]) == 9
    assert best.accuracy > 0.8


@pytest.mark.slow
def test_a_regression(tmp_path, verified_here):
    table = load("diabetes")
    space = tuning.MLPSpace(depths=(1,), learning_rates=(0.01, 0.1, 2), norms=("batch",), width=16)
    found = study(table, tmp_path / "s", space, seeds=1, epochs=12)
    found.run(quiet)
    best = found.results.best
    predicted = found.best_model().predict(table.validation.x, verbose=0)[:, 0]
    error = ((predicted - table.validation.y) ** 2).mean()
    assert best.loss == pytest.approx(error / table.train.y.var(), rel=1e-4)
    assert best.accuracy == pytest.approx(1 - error / table.validation.y.var(), rel=1e-3)
    assert best.accuracy > 0.3
    assert "r2" in found.results.frame()
    artefact = found.export()
    truth = table.test.y
    answer = found.best_model().predict(table.test.x, verbose=0)[:, 0]
    assert artefact.test_accuracy == pytest.approx(1 - ((answer - truth) ** 2).mean() / truth.var(), rel=1e-3)
    assert found.report().exists()


@pytest.mark.slow
def test_the_artefact_and_its_figures(finished, few_digits):
    artefact = finished.export()
    model = finished.best_model()
    accuracy = (model.predict(few_digits.test.x, verbose=0).argmax(-1) == few_digits.test.y).mean()
    assert artefact.test_accuracy == pytest.approx(accuracy)
    found = artefact.measures.test["accuracy"]
    assert found.low < found.value == artefact.test_accuracy < found.high
    stored = json.loads((finished.directory / "best/1/MANIFEST.json").read_text())["accuracy"]
    assert stored["interval"] == vars(found)
    assert artefact.test_examples == len(few_digits.test.y)
    assert artefact.trial == finished.results.best.trial
    assert (finished.directory / "best" / "1" / "saved_model.pb").exists()
    assert finished.export() == artefact, "the second time it is read"

    (finished.directory / "export.json").unlink()  # as if killed between the export and its record
    assert finished.export() == artefact


SCRIPT = """
    import sys
    from bnzoo import data, tuning

    def show(study, event):
        print(len(study.results), flush=True)

    space = tuning.MLPSpace(
        depths=(1,), learning_rates=(0.01, 1.0, 2), norms=("batch", None), width=16, batch_size=16
    )
    study = tuning.Study(space, data.load(sys.argv[1]), sys.argv[2], epochs=2, seeds=2)
    study.run(show)
"""


@ON_POSIX
@pytest.mark.parametrize(
    "lines",
    [
        pytest.param((1, 3), marks=pytest.mark.slow, id="2 kills"),
        pytest.param((1, 3, 2, 1, 1), marks=pytest.mark.nightly, id="5 kills"),
    ],
)
def test_killed_at_any_moment_the_study_goes_on(finished, few_digits, tmp_path, lines):
    """A study that is killed after a trial has the results of an uninterrupted run."""
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), few_digits.name, str(tmp_path / "s")]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    kills = 0
    for count in lines:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
        for _ in range(count):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills == len(lines)
    last = study(few_digits, tmp_path / "s")
    last.run(quiet)
    assert comparable(last.results) == comparable(finished.results)
    hidden = {path.name for path in (tmp_path / "s").rglob(".*")}
    assert hidden <= {".definition.lock", ".finish.lock", ".journal.lock", ".running"}, "a draft was left"
