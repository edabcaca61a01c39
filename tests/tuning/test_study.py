import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time

import filelock
import keras
import numpy as np
import pytest

from bnzoo import tuning
from bnzoo.data import load

SPACE = {"depths": (1, 2), "learning_rates": (0.01, 1.0, 2), "norms": ("batch", None), "width": 16}


def study(data, directory, space=None, **options):
    space = space or tuning.MLPSpace(**SPACE)
    return tuning.Study(space, data, directory, **{"epochs": 2, "batch_size": 16, "seeds": 2, **options})


def quiet(study, event):
    pass


def comparable(results):
    """All that a trial found, without the seconds."""
    rows = results.frame().drop(columns=["compile_seconds", "train_seconds"])
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
    assert files >= {"study.json", "trials", "results.csv", "results.json", "best.keras"}
    assert not [name for name in files if name.endswith(".tmp") or name.startswith(".best")]
    compiled = [trial.trial for trial in finished.results.trials if trial.compile_seconds > 0.05]
    assert compiled == [0, 4, 8, 12], "one compiled model an architecture"
    assert finished.results.trials[0].versions["keras"] == keras.__version__


def test_the_best_model_is_the_one_that_was_scored(finished, few_digits):
    best = finished.results.best
    for model in (finished.best_model(), keras.saving.load_model(finished.directory / "best.keras")):
        loss, accuracy = model.evaluate(*few_digits.validation, verbose=0)
        assert (loss, accuracy) == (pytest.approx(best.loss, rel=1e-5), pytest.approx(best.accuracy))
    assert [path.name for path in (finished.directory / "checkpoints").iterdir()] == [f"{best.trial:05d}.keras"]


def test_the_same_study_twice_gives_the_same_table(finished, few_digits, tmp_path):
    again = study(few_digits, tmp_path / "again")
    again.run(quiet)
    assert comparable(again.results) == comparable(finished.results)
    for a, b in zip(again.best_model().get_weights(), finished.best_model().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_seeds_differ_and_only_in_what_is_random(finished):
    first, second = finished.results.of(1, "batch", 0.01)
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
    assert started == list(range(16)), "no finished trial is run again"
    assert comparable(last.results) == comparable(finished.results)
    assert last.results.best == finished.results.best or repr(last.results.best.score) == repr(
        finished.results.best.score
    )


def test_a_finished_study_does_nothing_when_run_again(finished, few_digits):
    before = {path: path.stat().st_mtime_ns for path in finished.directory.rglob("*") if path.is_file()}
    before.pop(finished.directory / ".lock", None)
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
    space = tuning.MLPSpace(depths=(3,), learning_rates=(1e-2, 1e6, 5), norms=(None,), width=32)
    wild = study(few_digits, tmp_path / "s", space, seeds=1)
    wild.run(quiet)
    assert len(wild.results) == 5
    assert wild.results.counts["diverged"] >= 3
    assert np.isfinite(wild.results.frame()["score"]).all()
    assert wild.results.best.learning_rate == 0.01


def test_two_processes_do_not_run_the_same_study(finished, few_digits):
    with filelock.FileLock(finished.directory / ".lock"), pytest.raises(BlockingIOError, match="another process"):
        study(few_digits, finished.directory).run(quiet)


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


@pytest.mark.parametrize("option", ["seeds", "epochs", "batch_size"])
def test_counts_must_be_positive(few_digits, tmp_path, option):
    tmp_path = tmp_path / "s"
    with pytest.raises(ValueError, match=f"`{option}` must be a positive integer"):
        study(few_digits, tmp_path, **{option: 0})
    with pytest.raises(ValueError, match="`batch_size` must be at least 2"):
        study(few_digits, tmp_path, batch_size=1)


SCRIPT = """
    import sys, time
    from bnzoo import data, tuning

    def slowly(study, event):
        print(len(study.results), flush=True)

    space = tuning.MLPSpace(depths=(1, 2), learning_rates=(0.01, 1.0, 2), norms=("batch", None), width=16)
    study = tuning.Study(space, data.load(sys.argv[1]), sys.argv[2], epochs=2, batch_size=16, seeds=2)
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
        for path in (tmp_path / "s" / "trials").glob("[!.]*"):
            json.loads(path.read_text())
    assert kills >= 3
    last = study(few_digits, tmp_path / "s")
    last.run(quiet)
    assert comparable(last.results) == comparable(finished.results)
    hidden = {path.name for path in (tmp_path / "s").rglob(".*")}
    assert hidden <= {".lock"}, "a draft was left"
