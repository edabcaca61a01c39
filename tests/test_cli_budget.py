"""The budget of `bnzoo tune` and its final training."""

import io
import json
import os
import time
import types
import warnings
from contextlib import contextmanager
from dataclasses import replace

import optuna
import pytest
import rich.console
from optuna.trial import TrialState
from planted import planted
from test_cli import SMALL, bnzoo  # noqa: F401

from bnzoo import tuning
from bnzoo.cli import clock as clocks
from bnzoo.cli import final, progress
from bnzoo.cli.console import UserError, quietly
from bnzoo.cli.latency import measure_latency
from bnzoo.cli.space import axes_of, space_of
from bnzoo.cli.waiting import waiting
from bnzoo.data import load
from bnzoo.training.endings import DivergedError
from bnzoo.tuning.planning import StudyPlan
from bnzoo.tuning.plans import make_plan
from bnzoo.tuning.records import find_definition
from bnzoo.tuning.shared import INDEX, SharedStudy

PLAN = StudyPlan(trials=12, epochs=5, steps={8: 40}, search=180.0, final=360.0, export=40.0)


@pytest.fixture
def clock(monkeypatch):
    """The time of the commands, in seconds."""
    now = types.SimpleNamespace(seconds=0.0)
    fake = types.SimpleNamespace(monotonic=lambda: now.seconds)
    monkeypatch.setattr(clocks, "process_seconds", lambda: 5.0)
    monkeypatch.setattr(clocks, "time", fake)
    times = (1.0, 0.5, 3.0, 0.5, now.seconds)  # of the process, and of the workers that it has started
    monkeypatch.setattr(clocks, "os", types.SimpleNamespace(times=lambda: times))
    monkeypatch.setattr(progress, "time", fake)
    monkeypatch.setattr("bnzoo.silence.time", fake)
    return now


def test_the_budget_counts_from_the_start_of_the_process(clock, monkeypatch):
    clock.seconds = 105.0
    found = clocks.Clock(600.0)
    assert found.deadline == 700.0, "five seconds of work were before"
    assert found.training_deadline == 685.0
    assert clocks.Clock(100.0).training_deadline == 195.0
    monkeypatch.setattr(clocks, "process_seconds", lambda: 10.0)
    assert found.training_deadline == 670.0, "half of the time went to other processes"
    monkeypatch.setattr(clocks, "process_seconds", lambda: 5.0)
    assert clocks.Clock(None).deadline is clocks.Clock(None).training_deadline is None
    found.check()
    clock.seconds = 700.0
    with pytest.raises(UserError, match="--budget 600s is too short: the start and reading the data took 5 s"):
        found.check()


@pytest.mark.parametrize(("needed", "left", "measured"), [(45.0, 200.0, True), (55.0, 200.0, False), (1e4, None, True)])
def test_the_latency_takes_at_most_a_quarter_of_the_rest_of_the_budget(monkeypatch, capfd, needed, left, measured):
    formats = []
    monkeypatch.setattr("bnzoo.tuning.latency.seconds_to_measure", lambda study, format: needed)
    measure_latency(types.SimpleNamespace(measure_latency=formats.append), "onnx", left)
    assert formats == ["onnx"] * measured
    warning = "warning: the latency was not measured: it takes about 55 s, more than a quarter of the 3.3 min that"
    assert (warning in capfd.readouterr().err) is not measured


def test_a_study_that_has_begun_keeps_its_plan(clock):
    definition = {"space": {}, "data": {"name": "d"}, "seeds": 1, "epochs": 5, "sampler": {}, "plan": PLAN.get_config()}
    found = clocks.Clock(290.0)
    assert found.plans(definition)
    assert (found.plan, found.trials) == (PLAN, 12)
    assert found.of_search() == pytest.approx(285 * 180 / 580), "the share of the search in a smaller budget"
    assert clocks.Clock(6000.0).plans(definition)
    study = types.SimpleNamespace()
    assert found.timed(study, "auto") is study, "nothing is timed again"
    del definition["plan"]
    assert not clocks.Clock(600.0).plans(definition), "a study of an earlier version"
    assert clocks.Clock(600.0).plans(None)
    assert not clocks.Clock(None).plans(None), "a new study without a budget"
    assert clocks.Clock(605.0).of_search() == pytest.approx(0.35 * 540), "the final training and the export follow"
    assert clocks.Clock(605.0, final=False).of_search() == 540


def test_the_confirmation_has_its_share_of_a_budget(clock, capsys):
    plan = replace(PLAN, search=120.0, confirmation=60.0)
    found = clocks.Clock(585.0, confirm=3)
    assert found.plans({"plan": plan.get_config()})
    found.warn_unless_confirming()
    assert (found.of_search(), found.of_confirmation()) == (120.0, 60.0)
    clock.seconds = 350.0
    assert found.of_confirmation() == pytest.approx(230 * 60 / 460), "the search has ended late"
    late = clocks.Clock(585.0, confirm=3)
    late.plans({"plan": PLAN.get_config()})
    assert capsys.readouterr().err == ""
    late.warn_unless_confirming()
    assert late.of_confirmation() == 0
    assert capsys.readouterr().err.startswith("bnzoo: warning: the plan has no time for --confirm 3. The same command")
    assert clocks.Clock(None, confirm=3).of_confirmation() is None
    clocks.Clock(None, confirm=3).warn_unless_confirming()
    assert clocks.Clock(605.0, confirm=3).of_confirmation() == pytest.approx(0.35 * 540), "a study without a plan"


def test_a_second_machine_reads_the_plan_in_the_storage(clock, tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    found = clocks.Clock(600.0)
    assert found.plans(find_definition(tmp_path / "one", url, "mine")), "a new study"
    definition = {"space": {}, "data": {"name": "d"}, "seeds": 1, "epochs": 5, "sampler": {}, "plan": PLAN.get_config()}
    SharedStudy(url, tmp_path, "mine").set_first("bnzoo:definition", definition)
    for seconds, search in ((290.0, 285 * 180 / 580), (None, None)):
        found = clocks.Clock(seconds)
        assert found.plans(find_definition(tmp_path / "two", url, "mine"))
        assert (found.plan, found.trials) == (PLAN, 12)
        assert found.of_search() == (search and pytest.approx(search)), "each machine has its own deadline"
    assert clocks.Clock(600.0).plans(find_definition(tmp_path / "mine", url, None)), (
        "the name of the study is that of the folder"
    )
    SharedStudy(url, tmp_path, "other").set_first("bnzoo:definition", {"space": 3})
    with pytest.raises(ValueError, match="study 'other' of the storage has no valid definition"):
        find_definition(tmp_path / "two", url, "other")


def test_a_short_search_is_not_spent_on_the_start_of_workers(clock, capsys):
    for seconds, workers in ((585.0, 2), (50.0, 1)):
        found = clocks.Clock(seconds, workers=2)
        found.plans({"plan": PLAN.get_config()})
        assert found.workers(found.of_search()) == workers
    assert capsys.readouterr().err.endswith(": one process does the search of 14 s: 2 workers take 5 s to start\n")
    assert clocks.Clock(None, workers=2).workers(None) == 2


def test_a_study_that_was_begun_without_a_budget_has_no_plan(clock, capsys):
    found = clocks.Clock(585.0)
    assert not found.plans({"name": "an earlier study"})
    study = types.SimpleNamespace(directory="runs/old", epochs=15)
    assert found.timed(study, "auto") is study
    message = "bnzoo: warning: the study in runs/old has no plan for a budget, so its trials keep their 15 epochs."
    assert capsys.readouterr().err.startswith(message)
    unlimited = clocks.Clock(None)
    assert not unlimited.plans({"name": "an earlier study"})
    assert unlimited.timed(study, "auto") is study
    assert not capsys.readouterr().err


def test_an_export_that_takes_longer_than_the_budget_is_announced(clock, capsys, monkeypatch, tmp_path):
    found, asked = clocks.Clock(585.0, final=False, workers=3, confirm=2), []
    assert found.plans(None)
    study = types.SimpleNamespace(directory=tmp_path, epochs=5, seeds=1, plan=PLAN, precision="float32")
    study.store_plan = lambda plan, precision: study
    monkeypatch.setattr("bnzoo.tuning.planning.announcement", lambda *arguments: "")
    for export, warned in ((580.0, False), (600.0, True)):
        timing = types.SimpleNamespace(export=export)

        def planned(*arguments, of=timing):
            asked.append(arguments)
            return PLAN, "float32", of

        monkeypatch.setattr("bnzoo.tuning.timing.planned", planned)
        found.timed(study, "auto")
        message = "bnzoo: warning: --budget 585s is too short: 580 s are left, and the export takes about 600 s."
        assert capsys.readouterr().err.startswith(message) == warned
    assert asked == [(study, 580.0, False, 3, 5.0, "auto", 2)] * 2


def test_warnings_of_a_training_are_lines(capsys):
    with progress.shown(rich.console.Console(file=io.StringIO())):
        warnings.warn("too\nshort", stacklevel=1)
        assert capsys.readouterr().err == "bnzoo: warning: too short\n", "at once"


def test_work_without_steps_is_named_each_minute(clock, capfd, monkeypatch):
    reminders = []

    @contextmanager
    def repeated(remind):
        reminders.append(remind)
        yield

    monkeypatch.setattr("bnzoo.silence.repeated", repeated)
    with waiting("reading [data]"), quietly():
        os.write(2, b"a message of TensorFlow")
        for clock.seconds, line in ((59.0, ""), (60.0, "reading [data]\n"), (119.0, ""), (120.0, "reading [data]\n")):
            reminders[0]()
            assert capfd.readouterr().err == line
    os.write(2, b"stderr is open")
    assert capfd.readouterr().err == "stderr is open"


def test_work_without_steps_has_a_spinner_on_a_terminal(capfd, monkeypatch):
    monkeypatch.setattr("os.isatty", lambda descriptor: True)
    with waiting("reading [data]"), quietly():
        os.write(2, b"a message of TensorFlow")
        print("a result")
    out, err = capfd.readouterr()
    assert out == "a result\n", "it may go into a file"
    assert "reading [data]" in err
    assert "TensorFlow" not in err


def moment(**changes):
    usual = {"epoch": 1, "epochs": 4, "step": 10, "steps": 20, "logs": {"loss": 0.5}, "epoch_ended": False}
    return types.SimpleNamespace(**{**usual, **changes})


def test_the_progress_of_the_final_training(clock):
    console = rich.console.Console(file=io.StringIO(), width=80)
    lines = progress.Lines(console)
    clock.seconds = 40.0
    lines(moment(step=6))
    clock.seconds = 59.0
    lines.remind()
    assert console.file.getvalue() == ""
    clock.seconds = 60.0
    lines(moment())
    lines.remind()
    assert console.file.getvalue() == "epoch 2/4 step 10/20: loss 0.5 | 250 s left\n", "four steps took 20 s"
    lines(moment(epoch=2, step=0, logs={"loss": 0.4, "val_loss": 0.3, "val_accuracy": 0.9}, epoch_ended=True))
    assert console.file.getvalue().splitlines()[1] == "epoch 2/4: loss 0.4 val_loss 0.3 val_accuracy 0.9 | 57 s left"
    for ended in (moment(epoch=3, step=7, epoch_ended=True), moment(epoch=4, step=0, epoch_ended=True)):
        lines(ended)
        assert "export" in lines._last
    assert console.file.getvalue().splitlines()[2].startswith("epoch 4/4 step 7/20: loss 0.5")
    clock.seconds = 120.0
    lines.remind()
    assert "export" in console.file.getvalue().splitlines()[-1]
    for event, shown in (
        (None, "preparing"),
        (moment(), "30/80"),
        (moment(step=7, epoch_ended=True), "27/27"),
        (moment(step=7, epoch_ended=True), "statistics, figures and the export follow"),
    ):
        terminal = rich.console.Console(file=io.StringIO(), width=80, force_terminal=True)
        with progress.shown(terminal) as show:
            if event is not None:
                show(event)
        assert shown in terminal.file.getvalue()


def test_a_larger_budget_for_a_finished_study_is_warned_about(capsys, monkeypatch):
    artefact = types.SimpleNamespace(check=lambda: None)
    results = types.SimpleNamespace(candidate=object())
    study = types.SimpleNamespace(results=results, artefact_of=lambda _: artefact, plan=PLAN, directory="runs/old")
    monkeypatch.setattr(final, "_is_whole", lambda *arguments: True)
    for seconds, warned in ((PLAN.seconds + 10, False), (6 * PLAN.seconds, True)):
        assert final.trained(study, time.monotonic() + seconds) is artefact
        message = "bnzoo: warning: the study in runs/old is finished, with a plan for 580 s, and a larger budget"
        assert capsys.readouterr().err.startswith(message) == warned


def test_the_final_training_has_the_deadline_and_the_options_of_the_command(capsys):
    asked = []

    def train(**options):
        asked.append(options)
        raise DivergedError("The training diverged")

    candidate = types.SimpleNamespace(values={"depth": 2, "learning_rate": 0.1})
    results = types.SimpleNamespace(candidate=candidate, text=str)
    study = types.SimpleNamespace(results=results, artefact_of=lambda _: None, train=train)
    assert final.trained(study, 123.0, "bfloat16", "flip") is None
    [options] = asked
    assert callable(options.pop("progress"))
    assert options == {"deadline": 123.0, "trial": candidate, "precision": "bfloat16", "augment": "flip"}
    assert "final training: depth 2, learning rate 0.1\n" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "trials"), [((), 12), (("--trials", 5), 5)])
def test_the_plan_of_a_new_study_reaches_its_parts(bnzoo, monkeypatch, words, trials):  # noqa: F811
    """Nothing is timed or trained: the plan and the results are planted, and the final training is interrupted."""
    plan, asked = replace(PLAN, confirmation=20.0), {}

    def timed(self, study, *options):
        self.plan = plan
        return study

    def run(self, **bounds):
        asked["search"] = bounds
        self._results = planted(lambda depth, norm, rate, seed: rate, depths=(8,), norms=("batch",))

    def measure(study, format, left):
        asked["latency"] = format, left

    def train(self, deadline, **options):
        asked["left"] = deadline - time.monotonic()
        raise KeyboardInterrupt

    monkeypatch.setattr(clocks.Clock, "timed", timed)
    monkeypatch.setattr(tuning.Study, "run", run)
    monkeypatch.setattr(tuning.Study, "confirm", lambda self, top, **bounds: asked.update(confirm=(top, bounds)))
    monkeypatch.setattr(tuning.Study, "train", train)
    monkeypatch.setattr("bnzoo.cli.tune.measure_latency", measure)
    monkeypatch.setattr("bnzoo.cli.tune.write_report", lambda study: None)
    arguments = ["tune", *SMALL[:-2], "--data", "wine", "--budget", "10h", "--confirm", 2]
    status, _, err = bnzoo(*arguments, "--latency", "saved_model", *words)
    assert status == 130, err
    format, left = asked["latency"]
    assert format == "saved_model"
    assert 0 < asked["left"] < left < 10 * 3600, "without the time that has passed, and that of the report"
    assert asked["search"] == {"workers": 1, "budget": plan.search, "trials": trials}
    assert asked["confirm"] == (2, {"workers": 1, "budget": plan.confirmation})


@pytest.mark.slow
def test_a_budget_ends_with_a_trained_model(bnzoo, tmp_path):  # noqa: F811
    arguments = ["tune", *SMALL[:-2], "--data", "wine", "--budget", "60s", "--output", "study"]
    status, out, err = bnzoo(*arguments)
    assert status == 0, err
    assert out.startswith("a step of depth 2 in ")
    assert "this plan: " in out.splitlines()[0]
    definition = json.loads((tmp_path / "study" / "study.json").read_text())
    assert definition["sampler"]["name"] == "local"
    artefact = json.loads((tmp_path / "study" / "export.json").read_text())
    assert artefact["training"]["epochs"] >= 1
    assert "final training: depth " in err
    status, again, err = bnzoo(*arguments)
    assert (status, "final training" in err) == (0, False), err
    assert again.splitlines()[-4:] == out.splitlines()[-4:]


@pytest.mark.slow
def test_a_process_has_a_trial_of_its_own_while_another_one_runs_all_of_the_plan(bnzoo, tmp_path):  # noqa: F811
    url = f"sqlite:///{tmp_path / 'study.db'}"
    axes = axes_of("1,2", "0.01:1:2", None, None, None, "16", None, []) | {"schedule": "half_cosine"}
    study = tuning.Study(
        space_of("mlp", axes), load("wine"), tmp_path / "one", sampler="local", storage=url, name="mine"
    ).store_plan(StudyPlan(trials=1, epochs=2, steps={1: 2, 2: 2}, search=10.0, final=10.0, export=20.0), "float32")
    other = SharedStudy(url, tmp_path, "mine")
    plan = make_plan("local", study.hyperparameters(), 0, other.optuna.direction, [], {"learning_rate"})
    first = plan.configuration(0, [])
    waiting = {"params": first.params, "distributions": first.distributions, "system_attrs": {INDEX: 0}}
    other.optuna.add_trial(optuna.create_trial(state=TrialState.WAITING, **waiting))
    assert other.claim(other.trials()[0])
    arguments = ["--data", "wine", "--budget", "60s", "--storage", url, "--study", "mine", "--output", "two"]
    status, out, err = bnzoo("tune", *SMALL[:-2], *arguments)
    other.backend.release()
    assert status == 0, err
    assert "this plan" not in out, "it has the stored one"
    assert [trial["trial"] for trial in json.loads((tmp_path / "two/results.json").read_text())["trials"]] == [1]
    assert json.loads((tmp_path / "two/study.json").read_text())["plan"] == study.plan.get_config()


@pytest.mark.slow
def test_a_study_goes_on_with_its_sampler(bnzoo, tmp_path):  # noqa: F811
    """As after a search with a budget whose networks could not be timed: it has no plan, and is not a grid."""
    arguments = ["tune", *SMALL[:-2], "--data", "wine", "--trials", "1", "--no-final", "--output", "study"]
    for sampler in (["--sampler", "local"], []):
        status, _, err = bnzoo(*arguments, *sampler)
        assert status == 0, err
    assert json.loads((tmp_path / "study/study.json").read_text())["sampler"]["name"] == "local"
    assert len(json.loads((tmp_path / "study/results.json").read_text())["trials"]) == 1


@pytest.mark.slow
def test_a_planned_confirmation_is_run_after_the_search(bnzoo, tmp_path):  # noqa: F811
    axes = axes_of("1,2", "0.01:1:2", None, None, None, "16", None, []) | {"schedule": "half_cosine"}
    plan = StudyPlan(2, 5, {1: 7, 2: 7}, search=200.0, final=0.0, export=200.0, confirmation=200.0)
    tuning.Study(space_of("mlp", axes), load("wine"), tmp_path / "study", sampler="local").store_plan(plan, "float32")
    arguments = ["--data", "wine", "--budget", "20m", "--confirm", "2", "--no-final", "--output", "study"]
    status, _, err = bnzoo("tune", *SMALL[:-2], *arguments)
    assert status == 0, err
    assert "no time" not in err
    results = json.loads((tmp_path / "study/results.json").read_text())
    assert len(results["trials"]) == 2
    usable = sum(trial["outcome"] == "ok" for trial in results["trials"])
    assert len(results["confirmation"]["trials"]) == 3 * usable > 0


@pytest.mark.slow
def test_no_final_training(bnzoo, tmp_path):  # noqa: F811
    status, _, err = bnzoo("tune", *SMALL, "--data", "wine", "--no-final", "--output", "study")
    assert status == 0
    assert "final training" not in err
    assert json.loads((tmp_path / "study" / "export.json").read_text())["training"] is None
