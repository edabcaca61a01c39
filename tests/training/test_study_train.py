import dataclasses
import math
import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import untrained

import bnzoo
from bnzoo import tuning
from bnzoo.training.batches import training_batches
from bnzoo.training.endings import DivergedError
from bnzoo.tuning.planning import StudyPlan


@pytest.mark.slow
def test_the_best_configuration_of_a_study_is_trained_and_exported(few_digits, tmp_path, verified_here, monkeypatch):
    space = tuning.MLPSpace(depths=(1,), learning_rates=(0.05, 0.05, 1), norms=("batch",), width=16, batch_size=16)
    study = tuning.Study(space, few_digits, tmp_path / "study", epochs=1)
    study.run(progress=lambda *event: None)
    moments = []
    training = study.train(epochs=2, precision="float32", progress=moments.append)
    assert [len(moments), moments[-1].epoch, moments[-1].epochs] == [2 * training.steps // 2 + 2, 2, 2]
    assert training.artefact.trial == study.results.best.trial
    assert training.artefact.training["epochs"] == 2
    assert training.learning_rate == 0.05
    assert study.export() == training.artefact, "the export of the study is the model that was trained to the end"
    kept = (tmp_path / "study" / "training" / "1" / "checkpoint.npz").stat().st_mtime_ns
    again = study.train(epochs=2, precision="float32")
    assert again.artefact == training.artefact
    assert again.history == training.history
    assert (tmp_path / "study" / "training" / "1" / "checkpoint.npz").stat().st_mtime_ns == kept, "nothing was trained"
    file = tmp_path / "study" / "best.keras"
    best = file.read_bytes()
    (tmp_path / "study" / "results.json").unlink()  # as if there were more trials
    monkeypatch.setattr("sys.argv", ["search.py"])
    study.run(progress=lambda *event: None)
    assert file.read_bytes() == best, "the model of the training stays"
    monkeypatch.setattr("sys.argv", ["training.py"])
    report = study.report().read_text()
    assert ("search.py" in report, "training.py" in report) == (True, False), "the command that repeats the search"
    other = study.train(epochs=1, precision="float32", trial={"depth": 1, "norm": "batch"})
    assert other.learning_rate == 0.1
    assert other.artefact.path.endswith("best/2")
    assert other.artefact.trial is None
    exported = study.export()
    assert (exported.path[-6:], exported.training) == ("best/3", None), "that of the best trial"
    outputs = [model.predict(few_digits.test.x, verbose=0) for model in (study.best_model(), bnzoo.load_model(file))]
    np.testing.assert_array_equal(*outputs)
    probabilities = other.model.predict(few_digits.test.x, verbose=0)
    assert other.measures.test["accuracy"].value == pytest.approx(
        (np.argmax(probabilities, -1) == few_digits.test.y).mean()
    )


@pytest.mark.slow
def test_validation_examples_that_judge_no_trial_are_training_data(few_digits, tmp_path, verified_here, monkeypatch):
    monkeypatch.setattr("bnzoo.tuning.study.VALIDATION", 10)
    space = tuning.MLPSpace(depths=(1,), learning_rates=(0.05, 0.05, 1), norms=("batch",), width=16, batch_size=2)
    plan = StudyPlan(trials=1, epochs=1, steps={1: 5}, search=10.0, final=10.0, export=20.0)
    study = tuning.Study(space, few_digits, tmp_path / "study").store_plan(plan, "float32")
    x, y = study.trial_data.validation
    assert len(x) == 10
    options = {"trial": {"depth": 1, "norm": "batch"}, "epochs": 1, "precision": "float32"}
    training = study.train(**options)
    assert training.steps == (len(few_digits.train.x) + len(few_digits.validation.x) - 10) // 2
    right = training.model.predict(x, verbose=0).argmax(-1) == y
    assert training.measures.validation["accuracy"] == pytest.approx(right.mean())
    assert study.train(**options, all_data=True).steps == training.steps + 5


@pytest.mark.slow
def test_a_process_without_a_measured_precision_finds_the_training(few_digits, tmp_path, monkeypatch, verified_here):
    """The process that has planned the study knows the precision; the one that goes on after a kill does not."""
    monkeypatch.setattr("bnzoo.tuning.final._SHORT", 0)
    space = tuning.MLPSpace(depths=(1,), learning_rates=(0.05, 0.05, 1), norms=("batch",), width=16, batch_size=16)
    plan = StudyPlan(trials=1, epochs=1, steps={1: 5}, search=10.0, final=10.0, export=20.0)
    planning = tuning.Study(space, few_digits, tmp_path / "study").store_plan(plan, "float32")
    planning.run(untrained.quiet)
    training = planning.train(epochs=1)
    later = tuning.Study(space, few_digits, tmp_path / "study", plan=plan, epochs=1)
    assert (planning.has_measured_precision, later.has_measured_precision) == (True, False)
    assert later.train(epochs=1).artefact == training.artefact
    assert [path.name for path in (tmp_path / "study" / "training").glob("[0-9]")] == ["1"]


@pytest.mark.slow
def test_the_final_training_has_the_optimizer_and_the_schedule_of_the_trial(few_digits, tmp_path, verified_here):
    options = {"optimizer": ("sgd", "schedule_free_adamw"), "schedule": ("linear", "constant"), "width": 16}
    space = tuning.MLPSpace(depths=(1,), learning_rates=(0.05, 0.05, 1), norms=("batch",), batch_size=16, **options)
    study = tuning.Study(space, few_digits, tmp_path / "study", epochs=1)
    chosen = {"depth": 1, "norm": "batch", "optimizer": "schedule_free_adamw", "schedule": "constant"}
    described = study.train(epochs=1, precision="float32", trial=chosen).artefact.training
    assert (described["optimizer"]["name"], described["schedule"]) == ("ScheduleFreeAdamW", "constant")
    assert (described["learning_rate"], described["weights"]) == (0.0025, "averaged")
    assert "warmup" not in described


@pytest.mark.parametrize(
    ("space", "trial", "given", "expected"),
    [
        ({}, {}, {}, ("warmup_cosine", None)),
        ({"schedule": "half_cosine"}, {}, {"warmup": 0.2}, ("warmup_cosine", 0.2)),
        ({"schedule": "constant"}, {}, {}, ("constant", None)),
        ({"schedule": "constant", "warmup": 0.2}, {}, {}, ("constant", 0.2)),
        ({"schedule": "constant", "warmup": 0.2}, {}, {"warmup": 0.1}, ("constant", 0.1)),
        ({"schedule": "constant", "warmup": 0.2}, {}, {"schedule": "linear"}, ("linear", None)),
        ({"schedule": ("linear", "constant"), "warmup": 0.2}, {"schedule": "linear"}, {}, ("linear", 0.2)),
        ({"schedule": ("linear", "half_cosine")}, {"schedule": "half_cosine"}, {}, ("half_cosine", None)),
        ({"schedule": "linear", "warmup": (0.0, 0.2)}, {"warmup": 0.0}, {}, ("linear", 0.0)),
        ({"optimizer": "schedule_free_adamw"}, {}, {}, ("constant", 0.05)),
        ({"optimizer": ("sgd", "schedule_free_adamw")}, {"optimizer": "sgd"}, {}, ("warmup_cosine", None)),
    ],
)
def test_the_final_training_has_the_schedule_of_the_trial(
    few_digits, tmp_path, monkeypatch, space, trial, given, expected
):
    options = []
    monkeypatch.setattr("bnzoo.tuning.final.run", lambda model, data, recipe, chosen, **others: options.append(chosen))
    study = tuning.Study(tuning.MLPSpace(depths=(1,), width=4, norms=(None,), **space), few_digits, tmp_path / "study")
    study.train(trial={"depth": 1, "norm": "none", **trial}, **given)
    assert [(each.schedule, each.warmup) for each in options] == [expected]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("of_data", "given", "expected"),
    [
        ((), {}, ["crop"]),
        (("flip",), {}, ["flip"]),
        (("flip",), {"augment": "none"}, []),
        ((), {"augment": "flip,crop"}, ["flip", "crop"]),
    ],
)
def test_the_final_training_of_images_is_augmented_and_says_so(
    few_digits, tmp_path, monkeypatch, verified_here, of_data, given, expected
):
    used = []

    def batches(data, *arguments, **options):
        used.append(list(data.augment))
        return training_batches(data, *arguments, **options)

    monkeypatch.setattr("bnzoo.training.session.training_batches", batches)
    space = tuning.MLPSpace(depths=(1,), width=4, norms=("batch",), batch_size=64)
    study = tuning.Study(space, dataclasses.replace(few_digits, augment=of_data), tmp_path / "study")
    options = {"trial": {"depth": 1, "norm": "batch"}, "epochs": 1, "precision": "float32", "average": False}
    training = study.train(**options, **given)
    assert used[-1] == list(training.augment) == expected
    words = f", augmented by {' and '.join(expected)}" if expected else ""
    assert f"in float32{words}, last weights" in str(training)
    assert training.artefact.augmentation == words


def test_a_configuration_of_a_few_values_has_the_first_ones_of_the_other_axes(few_digits, tmp_path, monkeypatch):
    values, options = [], []

    def run(model, data, recipe, chosen, **others):
        values.append(others["values"])
        options.append((recipe.learning_rate, chosen.batch_size))

    monkeypatch.setattr("bnzoo.tuning.final.run", run)
    space = tuning.MLPSpace(
        depths=(1, 2), width=4, norms=(None, "batch"), batch_size=(64, 16), optimizer=("adamw", "sgd")
    )
    study = tuning.Study(space, few_digits, tmp_path / "study")
    study.train(trial={"depth": 2})
    study.train(trial={"norm": "batch", "batch_size": 16, "learning_rate": 1, "optimizer": "sgd"})
    assert options == [(0.001, 64), (1.0, 16)]
    first = {"depth": 2, "norm": "none", "batch_size": 64, "optimizer": "adamw", "learning_rate": 0.001}
    second = {"depth": 1, "norm": "batch", "batch_size": 16, "optimizer": "sgd", "learning_rate": 1.0}
    assert values == [first, second]


def test_the_options_of_a_final_training_reach_it(few_digits, tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr("bnzoo.tuning.final.run", lambda model, data, recipe, chosen, **others: found.append(chosen))
    monkeypatch.setattr("bnzoo.tuning.study.time", SimpleNamespace(monotonic=lambda: 100.0))
    space = tuning.MLPSpace(depths=(1,), width=4, norms=(None,), batch_size=32)
    study = tuning.Study(space, few_digits, tmp_path / "study", class_weight="balanced")
    options = {"epochs": 7, "average": False, "patience": 3, "all_data": False, "precision": "bfloat16"}
    study.train(trial={"depth": 1}, budget=60.0, **options)
    study.train(trial={"depth": 1}, deadline=70.0, all_data=True)
    first, second = found
    assert {name: getattr(first, name) for name in options} == options
    assert (first.deadline, first.batch_size, first.class_weight, first.seed) == (160.0, 32, "balanced", 0)
    assert (second.deadline, second.all_data, second.average, second.patience) == (70.0, True, True, None)


class DivergeAbove(keras.callbacks.Callback):
    """Make the weights NaN in the second epoch if the learning rate is above a limit."""

    def __init__(self, limit):
        super().__init__()
        self.limit, self.epochs = limit, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs += 1
        if epoch and float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)) > self.limit:
            for weight in self.model.trainable_variables:
                weight.assign(weight + math.nan)


@pytest.mark.slow
def test_a_training_that_diverges_begins_again_with_a_lower_rate(few_digits, tmp_path, verified_here):
    space = tuning.MLPSpace(depths=(1,), learning_rates=(0.09, 0.09, 1), norms=("batch",), width=16, batch_size=16)
    study = tuning.Study(space, few_digits, tmp_path / "study", epochs=1)
    study.run(progress=lambda *event: None)
    diverge = DivergeAbove(0.05)
    options = {"epochs": 3, "precision": "float32", "schedule": "constant", "callbacks": [diverge]}
    with pytest.warns(UserWarning, match=r"diverged at the learning rate 0\.09\. It begins again at 0\.03\."):
        training = study.train(**options)
    assert diverge.epochs == 2 + 3
    with pytest.warns(UserWarning, match="begins again at 0.03"):
        assert study.train(**options, deadline=0).artefact == training.artefact
    assert diverge.epochs == 2 + 3, "no epoch is trained again, neither of the finished training nor of the other"
    assert training.learning_rate == training.artefact.training["learning_rate"] == pytest.approx(0.03)
    assert training.artefact.training["values"]["learning_rate"] == 0.09, "the trial is the one of the search"
    values = {**study.results.best.values, "learning_rate": 0.03}
    again = study.train(**options, trial=values).history
    assert again["loss"] == pytest.approx(training.history["loss"], rel=1e-5)
    with pytest.raises(DivergedError, match=r"learning rate 0\.09"):
        study.train(**options, trial={**values, "learning_rate": 0.09})


def test_a_short_training_has_the_precision_of_the_trials(few_digits, tmp_path, monkeypatch):
    chosen = []
    monkeypatch.setattr("bnzoo.tuning.final.run", lambda model, data, recipe, options, **others: chosen.append(options))
    with monkeypatch.context() as patch:
        untrained.leave_out_training(patch)
        study = untrained.study(few_digits, tmp_path / "study", seeds=1)
        study.run(untrained.quiet)
    study.train()
    study.train(budget=3600.0)
    study.train(precision="bfloat16")
    assert [(each.precision, each.known_precision) for each in chosen] == [
        ("auto", "float32"),
        ("auto", None),
        ("bfloat16", None),
    ]


@pytest.mark.filterwarnings("ignore:The training diverged")
@pytest.mark.parametrize(
    ("seconds", "left", "rates"), [(None, 0, [0.9, 0.3, 0.1]), (100, 60, [0.9, 0.3, 0.1]), (100, 40, [0.9])]
)
def test_a_training_that_always_diverges_is_an_error(few_digits, tmp_path, monkeypatch, seconds, left, rates):
    """Each training begins with `seconds` and ends with `left` until the deadline."""
    tried, clock = [], [0.0]

    def diverge(model, data, recipe, options, **others):
        tried.append(recipe.learning_rate)
        clock[0] = 100 - left
        raise DivergedError("The training diverged")

    monkeypatch.setattr("bnzoo.tuning.final.run", diverge)
    monkeypatch.setattr("bnzoo.tuning.final.time", SimpleNamespace(monotonic=lambda: clock[0]))
    space = tuning.MLPSpace(depths=(1,), learning_rates=(0.9, 0.9, 1), norms=("batch",), width=4)
    with monkeypatch.context() as patch:
        untrained.leave_out_training(patch)
        study = untrained.study(few_digits, tmp_path / "study", space, seeds=1)
        study.run(untrained.quiet)
    with pytest.raises(DivergedError):
        study.train(deadline=seconds)
    assert tried == pytest.approx(rates)


def test_a_configuration_outside_the_space_is_refused(few_digits, tmp_path):
    space = tuning.MLPSpace(depths=(1,), learning_rates=(0.05, 0.05, 1), norms=("batch",), width=16, batch_size=16)
    study = tuning.Study(space, few_digits, tmp_path / "study", epochs=1)
    for trial, message in (
        ({"deph": 1, "norm": "batch"}, "Unknown `hyperparameter`: 'deph'. Did you mean 'depth'?"),
        ({"depth": 1, "norm": "group"}, "`norm` must be one of batch"),
        ({"depth": 1, "learning_rate": 0}, "`learning_rate` must be a number above 0. Received: learning_rate=0"),
        (3, "`trial` must be a `TrialResult` of the study, or a dict of hyperparameters"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            study.train(trial=trial)


@pytest.mark.slow
def test_a_trial_that_is_clearly_better_than_its_final_training_is_kept(few_digits, tmp_path, verified_here):
    space = tuning.MLPSpace(depths=(1,), learning_rates=(0.05, 0.05, 1), norms=("batch",), width=16, batch_size=16)
    study = tuning.Study(space, few_digits, tmp_path / "study", epochs=20)
    study.run(progress=lambda *event: None)
    outputs = study.best_model().predict(few_digits.test.x, verbose=0)
    training = study.train(epochs=1, precision="float32")
    assert training.weights == training.artefact.training["weights"] == "trial"
    assert training.choice["trial"] == pytest.approx(study.results.best.loss, rel=1e-4)
    np.testing.assert_allclose(training.model.predict(few_digits.test.x, verbose=0), outputs, atol=1e-5)
    (tmp_path / "study" / "best.keras").write_bytes(b"")
    for path in (tmp_path / "study" / "checkpoints").iterdir():
        path.unlink()
    assert study.train(epochs=1, precision="float32", average=False).weights == "last", "the model was not kept"
