import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time

import keras
import numpy as np
import pandas as pd
import pytest

from bnzoo import tuning
from bnzoo.data import load

SPACE = {"depths": (1, 2), "learning_rates": (0.01, 1.0, 2), "norms": ("batch", None), "width": 16, "batch_size": 16}


def study(data, directory, space=None, **options):
    space = space or tuning.MLPSpace(**SPACE)
    return tuning.Study(space, data, directory, **{"epochs": 2, "seeds": 2, **options})


def quiet(study, event):
    pass


def comparable(results):
    """All that a trial found, without the seconds."""
    rows = results.frame().drop(columns=["compile_seconds", "train_seconds", "started", "worker"])
    return rows.to_csv() + json.dumps([trial.history for trial in results.trials])


@pytest.fixture(scope="module")
def finished(few_digits, tmp_path_factory):
    whole = study(few_digits, tmp_path_factory.mktemp("whole") / "study")
    whole.run(quiet)
    return whole


def test_a_study_runs_its_whole_grid(finished):
    assert finished.finished
    assert [trial.trial for trial in finished.results.trials] == list(range(16))
    assert finished.results.counts["ok"] > 8
    files = {path.name for path in finished.directory.iterdir()}
    assert files >= {"study.json", "journal.log", "results.csv", "results.json", "best.keras"}
    assert not [name for name in files if name.startswith(".draft")]
    assert not list((finished.directory / ".running").iterdir()), "no lock is left"
    compiled = [trial.trial for trial in finished.results.trials if trial.compile_seconds > 0.05]
    assert compiled == [0, 4, 8, 12], "one compiled model an architecture"
    assert finished.results.trials[0].versions["keras"] == keras.__version__


def test_the_best_model_is_the_one_that_was_scored(finished, few_digits):
    best = finished.results.best
    for model in (finished.best_model(), keras.saving.load_model(finished.directory / "best.keras")):
        loss, accuracy = model.evaluate(*few_digits.validation, verbose=0)
        assert (loss, accuracy) == (pytest.approx(best.loss, rel=1e-5), pytest.approx(best.accuracy))
    assert [path.name for path in (finished.directory / "checkpoints").iterdir()] == [
        f"{best.trial:05d}.keras"
    ]  # the trials were started in their order


def counted(model, data):
    """What a study is asked to keep of each trained model."""
    _, accuracy = model.evaluate(*data.test, verbose=0)
    return {"test_accuracy": accuracy, "layers": len(model.layers)}


@pytest.mark.slow
def test_what_else_is_measured_is_kept(few_digits, tmp_path):
    space = tuning.MLPSpace(**{**SPACE, "depths": (1,), "learning_rates": (0.1, 1e30, 2)})
    first = study(few_digits, tmp_path / "s", space, seeds=1, measure=counted)
    first.run(quiet)
    best = first.results.best
    _, accuracy = first.best_model().evaluate(*few_digits.test, verbose=0)
    assert best.measured == {"test_accuracy": pytest.approx(accuracy), "layers": len(first.best_model().layers)}
    table = pd.read_csv(tmp_path / "s/results.csv")
    assert table["test_accuracy"].between(0, 1).all(), "of what diverged too"
    assert len(table) == 4

    again = study(few_digits, tmp_path / "s", space, seeds=1, measure=counted)
    assert again.finished
    assert [trial.measured for trial in again.results.trials] == [trial.measured for trial in first.results.trials]
    with pytest.raises(ValueError, match=r"measure: .*counted there, None asked for"):
        study(few_digits, tmp_path / "s", space, seeds=1)


@pytest.mark.slow
def test_several_checkpoints_are_kept_where_that_is_asked_for(few_digits, tmp_path):
    kept = study(few_digits, tmp_path / "s", checkpoints=3)
    kept.run(quiet)
    assert len(list((tmp_path / "s/checkpoints").iterdir())) == 3
    for row in kept.results.usable.head(3).to_dict("records"):
        values = {axis: row[axis] for axis in ("depth", "norm", "learning_rate")}
        trial = min(kept.results.of(values), key=lambda trial: trial.score)
        loss, _ = kept.model(trial).evaluate(*few_digits.validation, verbose=0)
        assert loss == pytest.approx(trial.loss, rel=1e-5)
    with pytest.raises(FileNotFoundError, match="the checkpoint of this trial is not there"):
        kept.model(max(kept.results.trials, key=lambda trial: trial.score))


def test_the_same_study_twice_gives_the_same_table(finished, few_digits, tmp_path):
    again = study(few_digits, tmp_path / "again")
    again.run(quiet)
    assert comparable(again.results) == comparable(finished.results)
    for a, b in zip(again.best_model().get_weights(), finished.best_model().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_seeds_differ_and_only_in_what_is_random(finished):
    first, second = finished.results.of({"depth": 1, "norm": "batch", "learning_rate": 0.01})
    assert (first.seed, second.seed) == (0, 1)
    assert first.history != second.history


def test_an_interrupted_study_goes_on(finished, few_digits, tmp_path):
    """Stopped after three trials, then in the middle of a trial; the result is that of an uninterrupted run."""
    started = []

    def stop_after(count):
        def progress(study, event):
            if isinstance(event, tuning.TrialResult):
                started.append(event.trial)
            elif len(started) == count:
                raise KeyboardInterrupt

        return progress

    for count in (3, 7):
        with pytest.raises(KeyboardInterrupt):
            study(few_digits, tmp_path / "s").run(stop_after(count))
        assert len(study(few_digits, tmp_path / "s").results) == count
    last = study(few_digits, tmp_path / "s")
    last.run(stop_after(None))
    assert sorted(started) == list(range(16)), "no finished trial is run again"
    assert comparable(last.results) == comparable(finished.results)
    assert last.results.best == finished.results.best or repr(last.results.best.score) == repr(
        finished.results.best.score
    )


def test_a_finished_study_does_nothing_when_run_again(finished, few_digits):
    before = {path: path.stat().st_mtime_ns for path in finished.directory.rglob("*") if path.is_file()}
    locks = {finished.directory / name for name in (".finish.lock", ".journal.lock")}
    before = {path: time for path, time in before.items() if path not in locks}
    again = study(few_digits, finished.directory)
    again.run(lambda study, event: pytest.fail("a trial was run"))
    assert again.results.table().equals(finished.results.table())
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 3}, "epochs: 2 there, 3 asked for"),
        ({"seeds": 1}, "seeds: 2 there, 1 asked for"),
        (
            {"space": tuning.MLPSpace(**{**SPACE, "depths": (1, 3)})},
            r"space.depths: \[1, 2\] there, \[1, 3\] asked for",
        ),
        ({"space": tuning.MLPSpace(**{**SPACE, "width": 8})}, "space.width: 16 there, 8 asked for"),
    ],
)
def test_another_study_in_the_same_folder_is_refused(finished, few_digits, change, message):
    with pytest.raises(ValueError, match=message):
        study(few_digits, finished.directory, **change)


def test_a_folder_with_other_things_is_refused(few_digits, tmp_path):
    (tmp_path / "results.csv").write_text("somebody's own")
    with pytest.raises(ValueError, match="is not empty and holds no study"):
        study(few_digits, tmp_path)
    assert (tmp_path / "results.csv").read_text() == "somebody's own"


def test_other_data_in_the_same_folder_is_refused(finished, digits):
    with pytest.raises(ValueError, match=r"data.fingerprint: .*there"):
        study(digits, finished.directory)


class Faulty(tuning.MLPSpace):
    """Raises in every trial of one architecture."""

    def build(self, hp):
        if (hp.get("depth"), hp.get("norm")) == (1, "batch"):
            raise MemoryError("no room for <this>")
        return super().build(hp)


class FaultyFit(tuning.MLPSpace):
    """Raises in the middle of one trial, on a compiled model that the next trial needs."""

    def fit(self, hp, model, *args, **kwargs):
        history = super().fit(hp, model, *args, **kwargs)
        rate = float(np.asarray(model.optimizer.learning_rate))
        if hp.get("depth") == 1 and kwargs["epochs"] > 1 and rate < 0.1:
            model.stop_training = True
            raise OSError("lost")
        return history


def test_a_trial_that_raises_is_failed_and_the_study_goes_on(few_digits, tmp_path):
    broken = study(few_digits, tmp_path / "s", Faulty(**SPACE))
    broken.run(quiet)
    failed = broken.results.trials[:4]
    assert broken.results.counts["failed"] == 4
    assert all(trial.outcome == "failed" and trial.score == 2 * math.log(10) for trial in failed)
    assert failed[0].reason == "MemoryError: no room for <this>"
    assert "in build" in failed[0].traceback
    assert broken.results.best.trial >= 4


def test_a_failure_leaves_no_trace_in_the_next_trial(finished, few_digits, tmp_path):
    broken = study(few_digits, tmp_path / "s", FaultyFit(**SPACE))
    broken.run(quiet)
    assert [trial.trial for trial in broken.results.trials if trial.outcome == "failed"] == [0, 1, 4, 5]
    for trial in broken.results.trials:
        if trial.outcome != "failed":
            assert trial.history == finished.results.trials[trial.trial].history


def test_a_row_that_diverges_ends_nothing(few_digits, tmp_path):
    space = tuning.MLPSpace(depths=(3,), learning_rates=(1e-2, 1e6, 5), norms=(None,), width=32, batch_size=16)
    wild = study(few_digits, tmp_path / "s", space, seeds=1)
    wild.run(quiet)
    assert len(wild.results) == 5
    assert wild.results.counts["diverged"] >= 3
    assert np.isfinite(wild.results.frame()["score"]).all()
    assert wild.results.best.learning_rate == 0.01


def test_another_sampler_or_pruner_is_another_study(finished, few_digits):
    with pytest.raises(ValueError, match=r"pruner\.name: None there, median asked for"):
        study(few_digits, finished.directory, pruner="median")
    with pytest.raises(ValueError, match=r"sampler\.name: grid there, tpe asked for"):
        study(few_digits, finished.directory, sampler="tpe")


def test_a_bound_and_what_was_not_tried(finished, few_digits, tmp_path, verified_here):
    part = study(few_digits, tmp_path / "s")
    part.run(quiet, trials=6)
    assert len(part.results) == 6
    assert not part.finished
    left = [{**trial.values, "seed": trial.seed} for trial in finished.results.trials[6:]]
    assert part.results.not_tried == left
    assert json.loads((tmp_path / "s/results.json").read_text())["not_tried"] == left
    again = study(few_digits, tmp_path / "s")
    again.run(quiet, budget=1e-9)
    assert len(again.results) == 6, "the time was over before the first"
    first = again.export()
    again.run(quiet)
    assert comparable(again.results) == comparable(finished.results)
    second = again.export()
    if again.results.best.trial != first.trial:
        assert second.path.endswith("best/2"), "the better one is the next version"


@pytest.mark.parametrize(
    ("options", "bounds", "message"),
    [
        ({"sampler": "tpe"}, {}, "sampler='tpe' has no end of its own: give `budget`, `trials` or both"),
        ({}, {"trials": 0}, "`trials` must be a positive integer"),
        ({}, {"workers": 0}, "`workers` must be a positive integer"),
        ({}, {"budget": 0}, "`budget` must be a positive number of seconds"),
        ({"sampler": "tp"}, {}, "Unknown `sampler`: 'tp'"),
        ({"pruner": "halving"}, {}, "Unknown `pruner`: 'halving'"),
        ({"sampler_seed": -1}, {}, "`sampler_seed` must be an integer from 0"),
        ({"enqueue": [{"depth": 3}]}, {}, "depth must be one of 1, 2. Received: depth=3"),
        ({"checkpoints": 0}, {}, "`checkpoints` must be a positive integer"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(few_digits, tmp_path, options, bounds, message):
    with pytest.raises(ValueError, match=message):
        study(few_digits, tmp_path / "s", **options).run(quiet, **bounds)
    assert not (tmp_path / "s").exists()


class HighRatesDiverge(tuning.MLPSpace):
    """Above a learning rate of 0.3 the loss of every network is infinite from the first epoch on."""

    def fit(self, hp, model, *args, **kwargs):
        history = super().fit(hp, model, *args, **kwargs)
        if hp.get("learning_rate") > 0.3:
            history.history["loss"] = [math.inf for _ in history.history["loss"]]
        return history


def test_the_best_is_found_and_promoted_though_four_of_five_diverge(few_digits, tmp_path):
    """Stock Hyperband promotes nothing when half of the configurations fail."""
    space = HighRatesDiverge(depths=(1,), learning_rates=(0.1, 1e9, 11), norms=("batch",), width=32, batch_size=16)
    wild = study(few_digits, tmp_path / "s", space, seeds=1, epochs=9, pruner="successive_halving")
    wild.run(quiet)
    counts = wild.results.counts
    assert counts["ok"] + counts["diverged"] + counts["pruned"] == 11
    assert counts["diverged"] + counts["pruned"] >= 9
    best = wild.results.best
    assert best.learning_rate == 0.1
    assert len(best.history["loss"]) == 9
    assert best.accuracy > 0.8


@pytest.mark.slow
def test_a_pruned_study_with_a_sampler_goes_on_as_if_it_had_not_stopped(few_digits, tmp_path):
    options = {"sampler": "tpe", "pruner": "successive_halving", "seeds": 1, "epochs": 4}
    whole = study(few_digits, tmp_path / "a", **options)
    whole.run(quiet, trials=14)
    assert whole.results.counts["pruned"] >= 2
    assert "outcome" in whole.results.frame()
    for trials in (3, 14):
        stopped = study(few_digits, tmp_path / "b", **options)
        stopped.run(quiet, trials=trials)
    assert comparable(stopped.results) == comparable(whole.results)


@pytest.mark.slow
def test_a_study_in_a_database(finished, few_digits, tmp_path):
    """SQLite stands for any; the checkpoints are in it, and the folder of a second machine is empty."""
    url = f"sqlite:///{tmp_path / 'study.db'}"
    first = study(few_digits, tmp_path / "one", storage=url, name="mine")
    first.run(quiet, trials=7)
    second = study(few_digits, tmp_path / "two", storage=url, name="mine")
    assert len(second.results) == 7
    second.run(quiet)
    assert comparable(second.results) == comparable(finished.results)
    for file in (tmp_path / "two/checkpoints").iterdir():
        file.unlink()
    loss, _ = second.best_model().evaluate(*few_digits.validation, verbose=0)
    assert loss == pytest.approx(second.results.best.loss, rel=1e-5)
    with pytest.raises(ValueError, match="study 'mine' of the storage holds another study"):
        study(few_digits, tmp_path / "three", storage=url, name="mine", epochs=5)
    assert len(study(few_digits, tmp_path / "four", storage=url, name="other").results) == 0


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


def test_what_cannot_be_built_is_refused_before_anything_runs(few_digits, tmp_path):
    with pytest.raises(ValueError, match="one value per group"):
        study(few_digits, tmp_path / "s", tuning.MLPSpace(norms=("instance",)))
    with pytest.raises(ValueError, match="Unknown argument of MLP: 'hight'"):
        study(few_digits, tmp_path / "s", tuning.MLPSpace(hight=3))
    np.savez(tmp_path / "tiny.npz", x=np.ones((30, 2, 2)), y=np.arange(30) % 3)
    with pytest.raises(ValueError, match="too small"):
        study(load(tmp_path / "tiny.npz"), tmp_path / "s", tuning.ResNetSpace())
    assert not (tmp_path / "s").exists()


def test_nothing_usable_has_no_best_model(few_digits, tmp_path):
    space = tuning.MLPSpace(depths=(3,), learning_rates=(1e5, 1e6, 2), norms=(None,))
    lost = study(few_digits, tmp_path / "s", space, seeds=1)
    lost.run(quiet)
    assert not (tmp_path / "s" / "best.keras").exists()
    with pytest.raises(RuntimeError, match="no usable trial"):
        lost.export()


def test_the_artefact_and_its_figures(finished, few_digits):
    artefact = finished.export()
    model = finished.best_model()
    accuracy = (model.predict(few_digits.test.x, verbose=0).argmax(-1) == few_digits.test.y).mean()
    assert artefact.test_accuracy == pytest.approx(accuracy)
    assert artefact.test_examples == len(few_digits.test.y)
    assert artefact.trial == finished.results.best.trial
    assert (finished.directory / "best" / "1" / "saved_model.pb").exists()
    assert finished.export() == artefact, "the second time it is read"

    (finished.directory / "export.json").unlink()  # as if killed between the renaming and the note
    assert finished.export() == artefact


@pytest.mark.parametrize("option", ["seeds", "epochs"])
def test_counts_must_be_positive(few_digits, tmp_path, option):
    with pytest.raises(ValueError, match=f"`{option}` must be a positive integer"):
        study(few_digits, tmp_path / "s", **{option: 0})


SCRIPT = """
    import sys, time
    from bnzoo import data, tuning

    def slowly(study, event):
        print(len(study.results), flush=True)

    space = tuning.MLPSpace(
        depths=(1, 2), learning_rates=(0.01, 1.0, 2), norms=("batch", None), width=16, batch_size=16
    )
    study = tuning.Study(space, data.load(sys.argv[1]), sys.argv[2], epochs=2, seeds=2)
    study.run(slowly)
"""


@pytest.mark.slow
def test_killed_at_any_moment_the_study_goes_on(finished, few_digits, tmp_path):
    """SIGKILL at times that are not chosen with care; the result is that of an uninterrupted run."""
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), few_digits.name, str(tmp_path / "s")]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    kills = 0
    for lines, delay in ((1, 0.0), (3, 0.4), (5, 0.05), (4, 0.9), (2, 0.2)):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
        for _ in range(lines):
            process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 3
    last = study(few_digits, tmp_path / "s")
    last.run(quiet)
    assert comparable(last.results) == comparable(finished.results)
    hidden = {path.name for path in (tmp_path / "s").rglob(".*")}
    assert hidden <= {".finish.lock", ".journal.lock", ".running"}, "a draft was left"
