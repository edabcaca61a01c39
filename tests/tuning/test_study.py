"""The records of a study without training. `test_study_training.py` has the tests with training."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
from untrained import SPACE, TRIALS, comparable, loss_in, loss_of, quiet, study

from bnzoo import tuning
from bnzoo.data import load
from bnzoo.tuning.planning import StudyPlan
from bnzoo.tuning.records import find_definition
from bnzoo.tuning.results import Results
from bnzoo.tuning.shared import SharedStudy
from bnzoo.tuning.verdict import verdict

pytestmark = pytest.mark.usefixtures("training_left_out")


@pytest.fixture(scope="module")
def finished(training_left_out, few_digits, tmp_path_factory):
    whole = study(few_digits, tmp_path_factory.mktemp("whole") / "study")
    whole.run(quiet)
    return whole


def test_a_study_runs_its_whole_grid(finished):
    assert finished.finished
    assert [trial.trial for trial in finished.results.trials] == list(range(TRIALS))
    assert finished.results.counts["ok"] == TRIALS
    assert all(trial.loss == loss_of(trial.values, trial.seed) for trial in finished.results.trials)
    files = {path.name for path in finished.directory.iterdir()}
    assert files >= {"study.json", "journal.log", "results.csv", "results.json", "best.keras"}
    assert not [name for name in files if name.startswith(".draft")]
    assert not list((finished.directory / ".running").iterdir()), "no lock is left"
    assert finished.results.trials[0].versions["keras"] == keras.__version__


def test_the_best_model_is_the_one_that_was_scored(finished):
    best = finished.results.best
    assert best.loss == min(trial.loss for trial in finished.results.trials)
    for model in (finished.best_model(), keras.saving.load_model(finished.directory / "best.keras")):
        assert loss_in(model) == pytest.approx(best.loss)
    assert [path.name for path in (finished.directory / "checkpoints").iterdir()] == [
        f"{best.trial:05d}.keras"
    ]  # the trials were started in their order


def test_the_counts_of_the_network_are_in_every_table(finished, few_digits):
    """The network of these trials is one dense layer without a bias."""
    size = math.prod(few_digits.input_shape) * few_digits.classes
    assert finished.best_model().count_params() == size
    written = pd.read_csv(finished.directory / "results.csv")
    stored = json.loads((finished.directory / "results.json").read_text())["trials"]
    for table in (finished.results.frame(), finished.results.table(), written, pd.DataFrame(stored)):
        assert set(table["parameters"]) == set(table["multiplications"]) == {size}


def counted(model, data):
    """Return two measurements of a trained model."""
    return {"test_examples": len(data.test.x), "loss_in_weights": loss_in(model)}


def test_what_else_is_measured_is_kept(few_digits, tmp_path):
    space = tuning.MLPSpace(**{**SPACE, "learning_rates": (0.1, 1e30, 2)})
    first = study(few_digits, tmp_path / "s", space, measure=counted)
    first.run(quiet)
    best = first.results.best
    assert best.measured == {"test_examples": len(few_digits.test.x), "loss_in_weights": pytest.approx(best.loss)}
    table = pd.read_csv(tmp_path / "s/results.csv")
    np.testing.assert_allclose(table["loss_in_weights"], table["loss"], rtol=1e-6)
    assert list(table["outcome"]).count("diverged") == TRIALS / 2, "what diverged is measured too"
    assert len(table) == TRIALS

    again = study(few_digits, tmp_path / "s", space, measure=counted)
    assert again.finished
    assert [trial.measured for trial in again.results.trials] == [trial.measured for trial in first.results.trials]
    with pytest.raises(ValueError, match=r"measure: .*counted stored, None requested"):
        study(few_digits, tmp_path / "s", space)


@pytest.mark.parametrize("checkpoints", [1, 2])
def test_of_equal_scores_the_first_wins_though_it_ran_later(few_digits, tmp_path, monkeypatch, checkpoints):
    """A grid begins in the middle of the learning rates."""
    monkeypatch.setattr("untrained.loss_of", lambda values, seed: 0.5)
    space = tuning.MLPSpace(**{**SPACE, "learning_rates": (0.01, 1.0, 3), "norms": ("batch",)})
    started = []
    equal = study(few_digits, tmp_path / "s", space, seeds=1, checkpoints=checkpoints)
    equal.run(lambda study, event: started.append(event.trial) if isinstance(event, tuning.TrialResult) else None)
    assert started == [1, 2, 0]
    assert equal.results.best.trial == 0
    assert loss_in(equal.best_model()) == 0.5
    assert len(list((tmp_path / "s/checkpoints").iterdir())) == checkpoints
    assert pd.read_csv(tmp_path / "s/results.csv")["outcome"].tolist() == ["ok"] * 3


def test_the_model_of_an_interrupted_trial_is_removed(few_digits, tmp_path):
    """A trial that ends after its model was saved and before its result was is run again under another number."""

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bnzoo.tuning.oracle.OptunaOracle.set_attribute", interrupted)
        with pytest.raises(KeyboardInterrupt):
            study(few_digits, tmp_path / "s").run(quiet)
    assert [path.name for path in (tmp_path / "s/checkpoints").iterdir()] == ["00000.keras"]
    again = study(few_digits, tmp_path / "s")
    again.run(quiet)
    assert again.finished
    (kept,) = (tmp_path / "s/checkpoints").iterdir()
    assert (again.results.best.trial, kept.name) == (0, f"{TRIALS:05d}.keras")
    assert loss_in(again.best_model()) == pytest.approx(again.results.best.loss)


def test_several_checkpoints_are_kept_where_that_is_asked_for(few_digits, tmp_path):
    kept = study(few_digits, tmp_path / "s", checkpoints=3)
    kept.run(quiet)
    assert len(list((tmp_path / "s/checkpoints").iterdir())) == 3
    for row in kept.results.usable.head(3).to_dict("records"):
        values = {axis: row[axis] for axis in ("depth", "norm", "learning_rate")}
        trial = min(kept.results.of(values), key=lambda trial: trial.score)
        assert loss_in(kept.model(trial)) == pytest.approx(trial.loss)
    with pytest.raises(FileNotFoundError, match="the checkpoint of this trial was not kept"):
        kept.model(max(kept.results.trials, key=lambda trial: trial.score))


def test_an_interrupted_study_goes_on(finished, few_digits, tmp_path):
    """A study that is interrupted after three and after seven trials has the results of an uninterrupted run."""
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
    assert sorted(started) == list(range(TRIALS)), "no finished trial is run again"
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
        ({"epochs": 3}, "epochs: 2 stored, 3 requested"),
        ({"seeds": 1}, "seeds: 2 stored, 1 requested"),
        (
            {"space": tuning.MLPSpace(**{**SPACE, "depths": (1, 3)})},
            r"space.depths: \[1\] stored, \[1, 3\] requested",
        ),
        ({"space": tuning.MLPSpace(**{**SPACE, "width": 8})}, "space.width: 4 stored, 8 requested"),
    ],
)
def test_another_study_in_the_same_folder_is_refused(finished, few_digits, change, message):
    with pytest.raises(ValueError, match=message):
        study(few_digits, finished.directory, **change)


def test_a_folder_with_other_things_is_refused(few_digits, tmp_path):
    (tmp_path / "results.csv").write_text("somebody's own")
    with pytest.raises(ValueError, match="is not empty and has no study"):
        study(few_digits, tmp_path)
    assert (tmp_path / "results.csv").read_text() == "somebody's own"


def test_other_data_in_the_same_folder_is_refused(finished, digits):
    with pytest.raises(ValueError, match=r"Differences: .*the examples or their splits"):
        study(digits, finished.directory)


class Faulty(tuning.MLPSpace):
    """A space that raises an error in every trial of one architecture."""

    def build(self, hp):
        if (hp.get("depth"), hp.get("norm")) == (1, "batch"):
            raise MemoryError("no room for <this>")
        return super().build(hp)


def test_a_trial_that_raises_is_failed_and_the_study_goes_on(few_digits, tmp_path):
    broken = study(few_digits, tmp_path / "s", Faulty(**SPACE))
    broken.run(quiet)
    failed = broken.results.trials[:4]
    assert broken.results.counts["failed"] == 4
    assert all(trial.outcome == "failed" and trial.score == 2 * math.log(10) for trial in failed)
    assert failed[0].reason == "MemoryError: no room for <this>"
    assert "in build" in failed[0].traceback
    assert broken.results.best.trial >= 4


def test_another_sampler_or_pruner_is_another_study(finished, few_digits):
    with pytest.raises(ValueError, match=r"pruner\.name: None stored, median requested"):
        study(few_digits, finished.directory, pruner="median")
    with pytest.raises(ValueError, match=r"sampler\.name: grid stored, tpe requested"):
        study(few_digits, finished.directory, sampler="tpe")


def test_a_bound_and_what_was_not_tried(finished, few_digits, tmp_path):
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
    again.run(quiet)
    assert comparable(again.results) == comparable(finished.results)


def test_the_oracle_of_a_search_has_the_arguments_of_the_study(few_digits, tmp_path, monkeypatch):
    asked = []

    def oracle(objective, trials, **options):
        asked.append((trials, options))
        raise KeyboardInterrupt

    monkeypatch.setattr("bnzoo.tuning.tuner.OptunaOracle", oracle)
    start = [{"norm": "none"}]
    new = study(few_digits, tmp_path / "s", seeds=3, sampler="tpe", sampler_seed=5, enqueue=start)
    with pytest.raises(KeyboardInterrupt):
        new.run(quiet, budget=60.0, trials=6)
    [(trials, options)] = asked
    expected = {"sampler": "tpe", "enqueue": start, "seeds": 3, "seed": 5, "budget": 60.0, "cheap": ("learning_rate",)}
    assert trials == 6
    assert {name: options[name] for name in expected} == expected


def test_the_bounds_of_a_search_with_a_progress_bar_are_those_asked_for(few_digits, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("bnzoo.tuning.study.run_trials", lambda *arguments, **bounds: asked.append(bounds))
    monkeypatch.setattr(
        "bnzoo.tuning.study.run_workers", lambda study, show, *bounds, **more: asked.append((bounds, more))
    )
    new = study(few_digits, tmp_path / "s")
    new.run(budget=60.0, trials=6)
    new.run(budget=60.0, trials=6, workers=3)
    bounds = {"budget": 60.0, "trials": 6}
    assert asked == [bounds, ((3,), bounds)]


@pytest.mark.slow
def test_a_better_trial_is_the_next_version_of_the_export(few_digits, tmp_path, verified_here):
    """The first four trials have no norm, and a higher loss."""
    found = study(few_digits, tmp_path / "s", tuning.MLPSpace(**{**SPACE, "norms": (None, "batch")}))
    found.run(quiet, trials=4)
    first = found.export()
    assert (first.trial, first.path) == (0, str(tmp_path / "s/best/1"))
    found.run(quiet)
    second = found.export()
    assert (second.trial, second.path) == (4, str(tmp_path / "s/best/2"))
    assert found.results.best.trial == 4
    assert found.export() == second
    assert sorted(path.name for path in (tmp_path / "s/best").iterdir()) == ["1", "2"]


def test_the_verdict_names_the_values_that_no_trial_has(few_digits, tmp_path):
    space = tuning.MLPSpace(depths=(1, 2, 3), learning_rates=(0.01, 1.0), norms=("batch", None), width=4)
    sampled = study(few_digits, tmp_path / "s", space, sampler="random", seeds=1)
    sampled.run(quiet, trials=2)
    assert {trial.norm for trial in sampled.results.trials} == {"batch", "none"}
    assert sampled.results.never_tried == {"depth": [3]}
    assert "no trial has depth 3: more trials" in str(sampled.verdict)
    left = [{**sampled.results.trials[0].values, "seed": 1}]
    waiting = Results(sampled.results.trials, sampled.definition, left, values=sampled.results.values)
    assert "no trial has depth 3: more trials" in str(verdict(waiting)), "another seed of a configuration waits"
    planned = Results(sampled.results.trials, sampled.definition, [{**left[0], "depth": 3}], values=waiting.values)
    assert "no trial has depth" not in str(verdict(planned)), "it is going to be tried"
    sampled.run(quiet, trials=3)
    assert "no trial has" not in str(sampled.verdict)


@pytest.mark.parametrize(
    ("options", "bounds", "message"),
    [
        ({"sampler": "tpe"}, {}, "sampler='tpe' needs a limit. Pass `budget`, `trials` or both"),
        ({}, {"trials": 0}, "`trials` must be a positive integer"),
        ({}, {"workers": 0}, "`workers` must be a positive integer"),
        ({}, {"budget": 0}, "`budget` must be a number above 0"),
        ({}, {"budget": "20s"}, "`budget` must be a number above 0"),
        ({"sampler": "tp"}, {}, "Unknown `sampler`: 'tp'"),
        ({"pruner": "halving"}, {}, "Unknown `pruner`: 'halving'"),
        ({"sampler_seed": -1}, {}, "`sampler_seed` must be an integer from 0"),
        ({"enqueue": [{"depth": 3}]}, {}, "depth must be one of 1. Received: depth=3"),
        ({"checkpoints": 0}, {}, "`checkpoints` must be a positive integer"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(few_digits, tmp_path, options, bounds, message):
    with pytest.raises(ValueError, match=message):
        study(few_digits, tmp_path / "s", **options).run(quiet, **bounds)
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_a_pruned_study_with_a_sampler_goes_on_as_if_it_had_not_stopped(few_digits, tmp_path):
    options = {"sampler": "tpe", "pruner": "successive_halving", "seeds": 1, "epochs": 4}
    whole = study(few_digits, tmp_path / "a", **options)
    whole.run(quiet, trials=10)
    assert whole.results.counts["pruned"] >= 2
    assert "outcome" in whole.results.frame()
    for trials in (3, 10):
        stopped = study(few_digits, tmp_path / "b", **options)
        stopped.run(quiet, trials=trials)
    assert comparable(stopped.results) == comparable(whole.results)


@pytest.mark.slow
def test_a_study_in_a_database(few_digits, tmp_path):
    """SQLite represents any database. It holds the checkpoints, and the folder of a second machine is empty."""
    url = f"sqlite:///{tmp_path / 'study.db'}"
    space = tuning.MLPSpace(**{**SPACE, "depths": (1,), "learning_rates": (0.1, 1.0, 2)})
    alone = study(few_digits, tmp_path / "alone", space, seeds=1)
    alone.run(quiet)
    first = study(few_digits, tmp_path / "one", space, seeds=1, storage=url, name="mine")
    first.run(quiet, trials=2)
    second = study(few_digits, tmp_path / "two", space, seeds=1, storage=url, name="mine")
    assert len(second.results) == 2
    second.run(quiet)
    assert comparable(second.results) == comparable(alone.results)
    for file in (tmp_path / "two/checkpoints").iterdir():
        file.unlink()
    assert loss_in(second.best_model()) == pytest.approx(second.results.best.loss)
    with pytest.raises(ValueError, match="study 'mine' of the storage has another study"):
        study(few_digits, tmp_path / "three", space, storage=url, name="mine", epochs=5)
    assert len(study(few_digits, tmp_path / "four", space, storage=url, name="other").results) == 0


@pytest.fixture(params=["journal", "sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request, tmp_path):
    """The URL of an empty storage, `None` for the journal in the folder."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres").new_database()
    return f"sqlite:///{tmp_path / 'study.db'}" if request.param == "sqlite" else None


def test_processes_that_plan_at_the_same_moment_agree_on_a_plan(few_digits, tmp_path, url):
    folders = [tmp_path / ("one" if url is None else name) for name in ("one", "two")]
    plans = [StudyPlan(trials, 2, {1: 4}, 10.0, 20.0, 5.0) for trials in (3, 4)]
    options = {"seeds": 1, "sampler": "local", "storage": url, "name": "mine"}
    both = [study(few_digits, folder, **options) for folder in folders]
    different = study(few_digits, folders[1], **options, sampler_seed=1)
    both = [each.store_plan(plan, "float32") for each, plan in zip(both, plans, strict=True)]
    assert [each.plan for each in both] == [plans[0]] * 2
    assert find_definition(folders[1], url, "mine")["plan"] == plans[0].get_config()
    with pytest.raises(ValueError, match=r"has another study\. Differences: sampler\.seed: 0 .* 1 requested\. Choose"):
        different.store_plan(plans[1], "float32")
    other = study(few_digits, tmp_path / "three", seeds=1, sampler="local", storage=url, name="other")
    assert other.store_plan(plans[1], "float32").plan == plans[1]


def test_the_first_of_several_values_stays(tmp_path, url):
    with ThreadPoolExecutor(4) as pool:
        processes = list(pool.map(lambda number: SharedStudy(url, tmp_path, "mine"), range(4)))
        list(pool.map(lambda number: processes[number].set_first("x", number), range(4)))
    stored = {shared.get_attribute("x") for shared in processes}
    assert len(stored) == 1
    processes[0].set_first("x", 7)
    assert {processes[1].get_attribute("x")} == stored < {0, 1, 2, 3}


def test_what_cannot_be_built_is_refused_before_anything_runs(few_digits, tmp_path):
    with pytest.raises(ValueError, match="one value per group"):
        study(few_digits, tmp_path / "s", tuning.MLPSpace(norms=("instance",)))
    with pytest.raises(ValueError, match="Unknown argument of MLP: 'hight'"):
        study(few_digits, tmp_path / "s", tuning.MLPSpace(hight=3))
    np.savez(tmp_path / "tiny.npz", x=np.ones((30, 2, 2)), y=np.arange(30) % 3)
    with pytest.raises(ValueError, match="too small"):
        study(load(tmp_path / "tiny.npz"), tmp_path / "s", tuning.ResNetSpace())
    assert not (tmp_path / "s").exists()


def test_a_longer_training_starts_from_the_best_trial_or_from_one_that_had_no_time(finished):
    assert finished.results.candidate == finished.results.best
    lost, short, worse = (
        replace(trial, outcome=outcome, score=score)
        for trial, outcome, score in zip(
            finished.results.trials[::2], ("diverged", "pruned", "stalled"), (1.0, 2.0, 3.0), strict=False
        )
    )
    definition = finished.definition
    assert tuning.Results([lost, short, worse], definition).candidate == short
    assert tuning.Results([lost], definition).candidate is None


def test_nothing_usable_has_no_best_model(few_digits, tmp_path):
    lost = study(few_digits, tmp_path / "s", Faulty(**{**SPACE, "depths": (1,), "norms": ("batch",)}))
    lost.run(quiet)
    assert lost.results.counts["failed"] == 4
    assert not (tmp_path / "s" / "best.keras").exists()
    with pytest.raises(RuntimeError, match="no trial is usable"):
        lost.export()


@pytest.mark.parametrize("option", ["seeds", "epochs"])
def test_counts_must_be_positive(few_digits, tmp_path, option):
    with pytest.raises(ValueError, match=f"`{option}` must be a positive integer"):
        study(few_digits, tmp_path / "s", **{option: 0})
