"""Plans of made-up seconds, and the measurement of real ones."""

from types import SimpleNamespace

import pytest
from untrained import SPACE, study

from bnzoo import tuning
from bnzoo.tuning import timing as timings
from bnzoo.tuning.planning import StudyPlan, Timing, announcement, duration, plan_budget
from bnzoo.tuning.timing import planned


def timing(step=(0.05, 0.1, 0.15), steps=437, **changes):
    """Return the seconds of three networks on 56,000 images in batches of 128."""
    usual = {"evaluation": 2.0, "compilation": 6.0, "export": 40.0, "configurations": 42, "architectures": 3}
    return Timing(dict(zip((8, 14, 20), step, strict=True)), steps=steps, **{**usual, **changes})


def seconds_of(plan, of):
    """Return the seconds of the trials of a plan, with each depth equally often."""
    trial = [plan.epochs * plan.steps[depth] * step + of.evaluation for depth, step in of.step.items()]
    return plan.trials * sum(trial) / len(trial) + (of.architectures - 2) * of.compilation


@pytest.mark.parametrize("seconds", [180, 600, 3600])
def test_the_parts_of_a_plan_fill_the_budget(seconds):
    of = timing()
    plan = plan_budget(of, seconds, epochs=15)
    assert plan.search + plan.final + plan.export == pytest.approx(seconds, abs=0.2)
    assert 0.55 * seconds < plan.final + plan.export < 0.75 * seconds
    assert 0.8 * plan.search < seconds_of(plan, of) < 1.1 * plan.search
    assert plan.epochs * plan.steps[8] >= 100 or plan.trials == 1
    assert all(count <= of.steps for count in plan.steps.values())
    assert plan.export == 40.0
    assert plan_budget(timing(export=1000.0), seconds, epochs=15).export == seconds / 4, "on a slow machine"
    assert plan_budget(timing(export=seconds + 1.0), seconds, epochs=15).trials == 1, "the command ends late anyway"


def test_a_larger_budget_has_more_trials_and_longer_ones():
    small, large = (plan_budget(timing(), seconds, epochs=15) for seconds in (600, 3600))
    assert small.trials < large.trials <= 42
    assert small.epochs * small.steps[8] < large.epochs * large.steps[8]


def test_depths_are_compared_as_in_their_final_training():
    """In 6 minutes a network of depth 20 takes a third of the steps; in a day all depths train to the end."""
    short, long = (plan_budget(timing(), seconds, epochs=15).steps for seconds in (600, 86_400))
    assert short[8] / short[20] == pytest.approx(3, rel=0.1)
    assert long[8] == long[20] == 437


def test_an_epoch_that_takes_longer_than_the_budget():
    plan = plan_budget(timing(step=(20.0, 40.0, 60.0)), 600, epochs=15)
    assert plan.trials == 1
    assert all(count >= 1 for count in plan.steps.values())
    assert plan.final > 300


def test_a_network_that_is_compiled_for_long_has_few_trials_of_useful_length():
    plan = plan_budget(timing(compilation=60.0), 240, epochs=15)
    assert 1 < plan.trials <= 12
    assert plan.epochs * plan.steps[8] >= 100
    assert seconds_of(plan, timing(compilation=0.0)) < 1.1 * plan.search


def test_workers_start_and_compile_in_the_time_of_the_search():
    """Together two workers do as many steps as one process, which has compiled two of the three networks already."""
    of = timing()
    one, two = (plan_budget(of, 600, epochs=15, workers=workers, start=15.0) for workers in (1, 2))
    assert (one.search, one.final) == (two.search, two.final)
    assert seconds_of(two, of) + 15 + 2 * of.compilation == pytest.approx(seconds_of(one, of), rel=0.05)
    assert plan_budget(of, 600, epochs=15, workers=2, start=60.0) == one, "the start takes too much of the search"


def test_no_final_training_and_several_seeds():
    plan = plan_budget(timing(), 600, epochs=15, seeds=2, final=False)
    assert plan.final == 0
    assert plan.search > 500
    assert plan.trials % 2 == 0
    assert plan_budget(timing(configurations=2), 86_400, epochs=15).trials == 2
    assert plan_budget(timing(), 86_400, epochs=3).epochs == 3


def test_a_confirmation_is_a_part_of_the_search():
    """Nine more trials, and three networks are compiled again, in the same time."""
    of = timing()
    without, plan = (plan_budget(of, 600, epochs=15, confirm=confirm) for confirm in (0, 3))
    assert plan.seconds == pytest.approx(without.seconds, abs=0.2)
    assert (plan.final, plan.export) == (without.final, without.export)
    assert 0.2 * without.search < plan.confirmation < 0.6 * without.search
    trial = (plan.confirmation - 3 * of.compilation) / 9
    assert trial * plan.trials + of.compilation == pytest.approx(plan.search, abs=1), "a trial takes as long as it did"
    assert 1 < plan.trials < without.trials or plan.steps[8] < without.steps[8]
    assert f"the confirmation in {duration(plan.confirmation)}, the final training in" in str(plan)
    assert StudyPlan.from_config(plan.get_config()) == plan
    assert "confirmation" not in without.get_config(), "an earlier version reads it"
    assert plan_budget(of, 120, epochs=15, confirm=3) == plan_budget(of, 120, epochs=15), "no time for it"


def test_a_plan_is_read_again_and_a_damaged_one_refused():
    plan = plan_budget(timing(), 600, epochs=15)
    assert StudyPlan.from_config(plan.get_config()) == plan
    for damage in ({}, {"trials": 0}, {"steps": {"8": -1}}, {"search": "x"}, {"steps": 3}):
        with pytest.raises(ValueError, match="its field 'plan' is damaged"):
            StudyPlan.from_config({**plan.get_config(), **damage} if damage else {})


def test_what_is_announced():
    of = timing(step=(0.03, 0.06, 0.094))
    alone = announcement(of, 15, 1, None, "float32")
    assert alone.startswith(
        "a step of depth 20 in float32: 0.094 s, an epoch: 41 s; the grid of 42 trials of 15 epochs: 4.7 h"
    )
    assert "; the final training of 30 epochs: up to about 20.5 min. " in alone
    assert alone.endswith("With --budget 10m and a new --output, the same command takes ten minutes")
    assert "budget" not in announcement(timing(step=(1e-4, 1e-4, 1e-4)), 15, 1, None, "float32")
    few = announcement(of, 15, 1, None, "float32", trials=6, final=False)
    assert few.endswith("; 6 trials of 15 epochs: 40.7 min"), "no grid, and less than an hour"
    assert "budget" in announcement(of, 15, 1, None, "float32", trials=6), "with the final training, over an hour"
    plan = plan_budget(of, 600, epochs=15)
    assert f"; this plan: {plan.trials} trials of " in announcement(of, 15, 1, plan, "float32")
    deep, shallow = (plan.epochs * plan.steps[depth] / of.steps for depth in (20, 8))
    assert announcement(of, 15, 1, plan, "float32").endswith(f"; epochs of a trial: {deep:.1f} to {shallow:.1f}")
    twice = plan_budget(of, 600, epochs=15, seeds=2)
    words = f"; {twice.trials // 2} configurations with 2 seeds each; epochs of a trial: "
    assert words in announcement(of, 15, 2, twice, "float32")
    assert [duration(seconds) for seconds in (0.02, 41, 300, 14_400)] == ["0.02 s", "41 s", "5.0 min", "4.0 h"]


def test_a_plan_has_the_precision_whose_steps_are_clearly_faster(monkeypatch):
    """The shallowest network is timed in each precision, and the plan is made with the times of the fastest."""
    steps, of, timed, measured = {"float32": 1.0, "bfloat16": 0.5}, timing(), [], []

    def time_network(study, depth):
        timed.append((study.precision, depth))
        return study.precision

    def measure(study, known):
        measured.append((study.precision, known))
        study.compiled = {"architecture": "model"}
        return of

    networks = {name: SimpleNamespace(step=step) for name, step in steps.items()}
    monkeypatch.setattr(timings, "_measured", lambda study, depth: networks[time_network(study, depth)])
    monkeypatch.setattr(timings, "candidates", lambda precision, seconds: list(steps))
    monkeypatch.setattr(timings, "measure", measure)
    monkeypatch.setattr(timings, "time", SimpleNamespace(monotonic=lambda: 7.0))
    space = SimpleNamespace(depths=(14, 8, 20))
    new = SimpleNamespace(epochs=15, seeds=2, plan=None, precision="float32", space=space, compiled={})
    assert planned(new, 600.0, False, 2, 15.0, "auto", 3) == (
        plan_budget(of, 600.0, 15, 2, False, 2, 15.0, 3),
        "bfloat16",
        of,
    )
    assert timed == [("float32", 8), ("bfloat16", 8)]
    assert measured == [("bfloat16", {8: networks["bfloat16"]})]
    assert (new.precision, new.plan, new.compiled) == ("float32", None, {"architecture": "model"})


@pytest.mark.slow
def test_a_plan_from_measured_seconds_is_part_of_the_study(few_digits, tmp_path):
    space = tuning.MLPSpace(**{**SPACE, "depths": (1, 2, 3)})
    new = study(few_digits, tmp_path / "s", space, seeds=1, sampler="local")
    plan, precision, measured = planned(new, 30.0)
    ready = new.store_plan(plan, precision)
    assert set(measured.step) == {1, 2, 3}
    assert all(step > 0 for step in measured.step.values())
    assert min(measured.step[1], measured.step[3]) <= measured.step[2] <= max(measured.step[1], measured.step[3])
    assert measured.steps == len(few_digits.train.x) // 16
    assert len(ready.compiled) == 2
    results = ready.run(lambda *event: None, trials=3)
    assert not ready.compiled, "the first trials took the networks that were timed"
    assert all(len(trial.history["loss"]) <= ready.plan.epochs for trial in results.trials)
    again = study(few_digits, tmp_path / "s", space, seeds=1, sampler="local", plan=ready.plan, epochs=ready.epochs)
    assert len(again.results) == 3
    with pytest.raises(ValueError, match=r"plan\.trials"):
        study(few_digits, tmp_path / "s", space, seeds=1, sampler="local", epochs=ready.epochs)
