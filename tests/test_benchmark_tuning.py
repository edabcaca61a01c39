import re
import subprocess
import sys
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from turns_here import WorkerHere

from bnzoo.tuning import MLPSpace, Results, Study
from recipes.benchmarks import tuning

ROOT = Path(__file__).parent.parent
# finished trials and accuracies of three seeds. RandomSearch has no model in the third.
PLANTED = {
    "bnzoo": ([30, 20, 40], [98.0, 97.0, 99.0], [97.0, 96.0, 98.0]),
    "RandomSearch": ([10, 5, 0], [98.0, 96.0, np.nan], [97.5, 95.0, np.nan]),
    "Hyperband": ([15, 20, 16], [99.0, 97.5, 99.5], [90.0, 90.0, 90.0]),
}


def planted() -> pd.DataFrame:
    return pd.DataFrame(
        {"seed": seed, "arm": arm, "finished": finished, "complete": 2 * seed, "configurations": 1, "epochs": 9}
        | {"validation": validation, "test": test, "compiling": 10.0 * seed if arm == "bnzoo" else np.nan, "note": ""}
        for arm, figures in PLANTED.items()
        for seed, (finished, validation, test) in enumerate(zip(*figures, strict=True), 1)
    )


def test_the_table_has_medians_and_compares_seed_by_seed():
    table = tuning.summary(planted())
    assert list(table.index) == ["bnzoo", "RandomSearch", "Hyperband"]
    assert table["finished"].tolist() == [30, 5, 16]
    assert table["complete"].tolist() == [4, 4, 4]
    assert table["validation"].tolist() == [98, 97, 99]
    # the ratios of the medians would be 6 and 1.875
    assert table["times finished"].tolist() == [1, 4, 2]
    assert table["at least"].tolist() == [1, 3, 1]
    assert table["validation not below"].tolist() == [3, 3, 0]
    assert table["test not below"].tolist() == [3, 2, 3]
    assert table["compiling"].tolist() == pytest.approx([20, np.nan, np.nan], nan_ok=True)


def test_the_difference_has_the_interval_of_the_seeds():
    """The reference is the one-sample t-test of SciPy, over the seeds in which both arms have a model."""
    table = tuning.summary(planted())
    for name, place in (("validation", 1), ("test", 2)):
        for arm in ("RandomSearch", "Hyperband"):
            differences = np.subtract(PLANTED["bnzoo"][place], PLANTED[arm][place])
            known = differences[np.isfinite(differences)]
            expected = [known.mean(), *stats.ttest_1samp(known, 0).confidence_interval()]
            found = table.loc[arm, [f"{name} difference", f"{name} low", f"{name} high"]]
            np.testing.assert_allclose(found.astype(float), expected)


def test_a_seed_in_which_bnzoo_has_no_model_does_not_count_for_it():
    """In the third seed RandomSearch has no model either."""
    frame = planted()
    frame.loc[(frame["arm"] == "bnzoo") & (frame["seed"] == 3), ["validation", "test"]] = np.nan
    table = tuning.summary(frame)
    assert table["validation not below"].tolist() == [2, 2, 0]
    assert table["test not below"].tolist() == [2, 1, 2]


def test_a_run_in_a_line():
    row = planted().iloc[3].to_dict() | {"note": "3 failed (KeyError: 'a')"}
    line = tuning.line(row)
    assert line.startswith("seed 1 RandomSearch   10 finished,    2 complete,    1 configurations,    9 epochs; best")
    assert line.endswith("best 98.00 % validation, 97.50 % test; 3 failed (KeyError: 'a')")


def test_every_arm_is_first_in_turn(monkeypatch):
    class Worker:
        def __init__(self, kind, module, *arguments):
            assert (module, arguments) == ("recipes.benchmarks.tuning", (kind,))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def ask(self, question):
            return {"question": question}

    monkeypatch.setattr(tuning, "Worker", Worker)
    rows = list(tuning.runs(7.5, 3, 2))
    assert {row["arm"] for row in rows[::3]} == set(tuning.ARMS)
    assert all({row["arm"] for row in rows[i : i + 3]} == set(tuning.ARMS) for i in (0, 3, 6))
    assert [row["question"] for row in rows[::3]] == ["run 7.5 1 2", "run 7.5 2 2", "run 7.5 3 2"]


class Small(keras_tuner.HyperModel):
    """A small space instead of the space of the benchmark."""

    def for_data(self, digits):
        return self

    def build(self, hp):
        hp.Float("learning_rate", 1e-3, 1.0, sampling="log")
        model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model


class Quick(Small):
    """A space without training. A higher learning rate is better, and the bias identifies the best model."""

    epochs = 0

    def fit(self, hp, model, *args, callbacks, epochs, initial_epoch=0, **kwargs):
        rate = hp.get("learning_rate")
        model.layers[-1].bias.assign(np.full(10, rate))
        for callback in callbacks:
            callback.set_model(model)
            callback.on_epoch_end(epochs - 1, {"val_accuracy": rate})
        Quick.epochs += epochs - initial_epoch
        return {"val_accuracy": rate}


def search(kind, space, budget, folder, digits, monkeypatch, **options):
    monkeypatch.setattr(tuning, "new_space", space)
    return tuning.stock_search(kind, **options)(digits, str(folder), budget, 1, 1)


@pytest.mark.slow
def test_hyperband_is_counted_as_keras_tuner_counts(tmp_path, digits, monkeypatch):
    monkeypatch.setattr(tuning, "EPOCHS", 3)
    monkeypatch.setattr(Quick, "epochs", 0)
    options = {"max_epochs": 3, "hyperband_iterations": 1}
    found = search(keras_tuner.Hyperband, Quick, tuning.Budget(600), tmp_path, digits, monkeypatch, **options)
    # three trials of one epoch, one of them continued to three epochs, and two trials of three epochs
    assert tuning.counts(found.trials) == {
        "finished": 3 + 1 + 2,
        "complete": 1 + 2,
        "configurations": 3 + 2,
        "epochs": Quick.epochs,
    }
    assert Quick.epochs == 3 * 1 + 1 * 2 + 2 * 3
    best = max(trial.values["learning_rate"] for trial in found.trials)
    np.testing.assert_allclose(found.model.layers[-1].bias, best, rtol=1e-6)
    assert re.fullmatch(r"ended \d{3} s early", found.note)


@pytest.mark.slow
def test_a_trial_that_ends_too_late_does_not_count(tmp_path, digits, monkeypatch):
    budget = tuning.Budget(600)

    class Slow(Quick):
        def fit(self, hp, model, *args, **kwargs):
            if (tmp_path / "untitled_project" / "trial_0002").exists():
                budget.end = 0
            return super().fit(hp, model, *args, **kwargs)

    found = search(keras_tuner.RandomSearch, Slow, budget, tmp_path, digits, monkeypatch, max_trials=1000)
    assert tuning.counts(found.trials) == {"finished": 2, "complete": 2, "configurations": 2, "epochs": 18}
    best = max(trial.values["learning_rate"] for trial in found.trials)
    np.testing.assert_allclose(found.model.layers[-1].bias, best, rtol=1e-6)
    assert found.note == ""


@pytest.mark.slow
def test_the_best_model_of_a_study_is_the_best_in_time(tmp_path, digits, monkeypatch):
    limit = tuning.Budget(600)
    ends, studies = [], []

    class FourTrials(Study):
        """A study of four trials. The last one ends after the budget."""

        def run(self, progress, *, workers, budget):
            super().run(progress, trials=4)
            studies.append(self)
            ends.extend(t.started + t.compile_seconds + t.train_seconds for t in self.results.trials)
            limit.end = max(ends) - 1e-3

    monkeypatch.setattr(tuning.tuning, "Study", FourTrials)
    monkeypatch.setattr(tuning, "new_space", lambda: MLPSpace(depths=(2,), norms=("batch",), width=16))
    found = tuning.bnzoo_search(digits, str(tmp_path), limit, seed=1, workers=1)
    in_time = [t for t, end in zip(studies[0].results.trials, ends, strict=True) if end < max(ends)]
    assert [trial.values for trial in found.trials] == [t.values for t in in_time]
    assert tuning.counts(found.trials)["epochs"] == sum(len(t.history["val_loss"]) for t in in_time)
    assert found.compile_seconds == pytest.approx(sum(t.compile_seconds for t in in_time))
    best = Results(in_time, studies[0].definition).best
    arm = tuning.Arm("bnzoo")
    assert arm.accuracies(found.model)["validation"] == pytest.approx(100 * best.accuracy, abs=1e-4)


@pytest.mark.slow
def test_a_budget_that_is_used_up_ends_a_training(tmp_path, digits, monkeypatch):
    found = search(keras_tuner.RandomSearch, Small, tuning.Budget(-1), tmp_path, digits, monkeypatch)
    assert (found.trials, found.model, found.note) == ([], None, "")


@pytest.mark.slow
def test_failures_in_a_row_are_told_with_their_reason(tmp_path, digits, monkeypatch):
    class Broken(Small):
        def fit(self, hp, model, *args, **kwargs):
            raise OSError("no space left")

    found = search(keras_tuner.RandomSearch, Broken, tuning.Budget(600), tmp_path, digits, monkeypatch)
    assert (found.trials, found.model) == ([], None)
    expected = r"3 failed \(OSError: no space left\); ended after consecutive failures, \d{3} s early"
    assert re.fullmatch(expected, found.note)


@pytest.mark.slow
def test_a_run_of_arms_in_this_process(digits, monkeypatch, capsys):
    """Each arm returns as many trials as its seconds, and a model that classifies every digit as zero."""
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.BatchNormalization(), keras.layers.Flatten()])
    model.add(keras.layers.Dense(10, kernel_initializer="zeros"))
    asked = []

    def search(name):
        def found(digits, folder, budget, seed, workers):
            assert Path(folder).is_dir()
            asked.append((name, seed, workers))
            trials = [tuning.Trial({"rate": number}, 0, tuning.EPOCHS) for number in range(round(budget.left))]
            return tuning.SearchResult(trials, model, "", 2.1 if name == "bnzoo" else np.nan)

        return found

    arms = {name: search(name) for name in tuning.ARMS}
    monkeypatch.setattr(tuning, "ARMS", arms)
    monkeypatch.setattr(tuning, "Worker", lambda kind, module, name: WorkerHere(kind, lambda: tuning.Arm(name)))
    tuning.main(seconds=7, seeds=1, workers=3)
    assert sorted(asked) == sorted((name, 1, 3) for name in arms)
    printed = capsys.readouterr().out
    assert printed.count("7 finished,    7 complete,    7 configurations,   63 epochs; best ") == 3
    assert "medians of 1 seeds, 7 s each, 3 worker(s) of bnzoo" in printed
    compiling = next(line.split() for line in printed.splitlines() if line.startswith("compiling"))
    assert compiling[1:] == ["10", "NaN", "NaN"], "2.1 of 3 times 7 seconds"
    for split in ("validation", "test"):
        zeros = 100 * (getattr(digits, split).y == 0).mean()
        assert printed.count(f"{zeros:.2f} % {split}") == 3


@pytest.mark.nightly
def test_a_short_run():
    command = [sys.executable, "-m", "recipes.benchmarks.tuning", "--seconds", "12", "--seeds", "1"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed.count("seed 1 ") == 3
    assert "medians of 1 seeds, 12 s each" in printed
    assert " failed" not in printed
