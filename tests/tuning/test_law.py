"""The search along a line of the best learning rate over depth, on planted laws."""

import math

import keras_tuner
import numpy as np
import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState
from test_oracle import search
from untrained import SPACE, leave_out_training, quiet, study

from bnzoo import tuning
from bnzoo.tuning.law import LawPlan

DEPTHS = [8, 14, 20, 32]
RATES = [float(f"{rate:.4g}") for rate in np.geomspace(1e-3, 3, 7)]


def hyperparameters(depths=DEPTHS, rates=RATES, norms=("batch", "none")):
    hp = keras_tuner.HyperParameters()
    hp.Choice("depth", list(depths))
    hp.Choice("norm", list(norms))
    hp.Choice("learning_rate", list(rates))
    return hp


def replayed(score, hp, limit=1000, **options):
    """Return the points that a plan proposes, in order, each with the score of the function."""
    plan, history = LawPlan(hp, StudyDirection.MINIMIZE, **options), []
    while len(history) < limit and (trial := plan.configuration(len(history), history)) is not None:
        value = score(**trial.params)
        history.append(optuna.create_trial(value=value, params=trial.params, distributions=trial.distributions))
    return [trial.params for trial in history]


def law(depth, norm, learning_rate, slope=-0.5, best=0.3):
    """A bowl around the rate of a power law; without a norm the rates are a tenth, and too high ones diverge."""
    optimum = best * (depth / 8) ** slope * (0.1 if norm == "none" else 1)
    distance = math.log10(learning_rate / optimum)
    if norm == "none" and distance > 0.7:
        return 4.6
    return 0.1 + 0.3 * distance**2 + (0.01 if norm == "none" else 0) + abs(depth - 14) / 300


def random_law(random):
    """Return a table of scores: laws with random slopes, heights, widths, depths of choice, and noise."""
    slopes = {"batch": random.uniform(-0.7, 0.5), "none": random.uniform(-1.5, 0.0)}
    best = {"batch": 0.3 * 10 ** random.normal(0, 0.3), "none": 0.03 * 10 ** random.normal(0, 0.3)}
    width, base, by_depth = (random.uniform(0.1, 0.8) for _ in range(3))
    noise, favourite = random.uniform(0, 0.2), random.choice(DEPTHS)
    table = {}
    for norm, slope in slopes.items():
        for depth in DEPTHS:
            for rate in RATES:
                distance = math.log10(rate / (best[norm] * (depth / 8) ** slope))
                score = 0.2 * base + width * distance**2 + 0.1 * by_depth * abs(math.log(depth / favourite))
                score = 4.6 if distance > (0.6 if norm == "none" else 1.5) else min(2.3, score)  # diverged, guessing
                table[depth, norm, rate] = min(4.6, score * math.exp(random.normal(0, noise)))
    return table


def test_the_best_of_a_grid_is_found_in_half_of_its_trials():
    """In 19 of 20 random laws the best point of the grid is tried, or the rate beside it is the best of those tried."""
    random, hits, trials = np.random.default_rng(0), [], []
    hp = hyperparameters()
    for _ in range(100):
        table = random_law(random)
        points = [tuple(p.values()) for p in replayed(lambda of=table, **values: of[tuple(values.values())], hp)]
        (depth, norm, rate), found = min(table, key=table.get), min(points, key=table.get)
        hits.append(found[:2] == (depth, norm) and abs(RATES.index(found[2]) - RATES.index(rate)) <= 1)
        trials.append(len(points))
        assert len(set(points)) == len(points)
    assert np.mean(hits) >= 0.95
    assert np.mean(trials) <= len(table) / 2


def test_the_first_depth_is_searched_widely_and_the_next_ones_beside_the_line():
    points = replayed(law, hyperparameters(norms=("batch",)))
    by_depth = {depth: [RATES.index(p["learning_rate"]) for p in points if p["depth"] == depth] for depth in DEPTHS}
    assert by_depth[8][:3] == [3, 5, 1]
    for depth, tried in by_depth.items():
        score = [law(depth, "batch", rate) for rate in RATES]
        best = score.index(min(score))
        assert min(tried, key=score.__getitem__) == best
        assert {best - 1, best + 1} <= set(tried) or score[best] > law(14, "batch", 0.2)
    assert max(len(by_depth[depth]) for depth in DEPTHS[1:]) <= 3


@pytest.mark.parametrize("slope", [-3.0, 2.0])
def test_a_wrong_line_is_left_step_by_step(slope):
    points = replayed(lambda **values: law(**values, slope=slope, best=0.05), hyperparameters(norms=("batch",)))
    for depth in DEPTHS:
        tried = [p["learning_rate"] for p in points if p["depth"] == depth]
        score = {rate: law(depth, "batch", rate, slope, 0.05) for rate in RATES}
        places = [RATES.index(min(rates, key=score.get)) for rates in (tried, RATES)]
        assert abs(places[0] - places[1]) <= 1


def test_without_a_norm_the_next_depth_starts_lower():
    """At first the slope is that of the literature: -3/2 without a norm, 0 with one."""
    rates = [float(f"{rate:.4g}") for rate in np.geomspace(1e-3, 1, 13)]  # four steps of a decade
    hp = hyperparameters(depths=[8, 38], rates=rates, norms=("batch", "none"))
    points = replayed(lambda depth, norm, learning_rate: abs(math.log10(learning_rate) + 1), hp)
    first = {p["norm"]: p["learning_rate"] for p in reversed(points) if p["depth"] == 38}
    assert first["batch"] == pytest.approx(0.1, rel=0.01)
    assert first["none"] == pytest.approx(0.1 * (38 / 8) ** -1.5, rel=0.4)


def test_what_diverges_at_a_depth_is_tried_with_lower_rates():
    points = replayed(lambda depth, norm, learning_rate: 4.6 if depth > 8 and learning_rate > 0.005 else learning_rate,
                      hyperparameters(norms=("batch",), rates=RATES[1:]))  # fmt: skip
    assert min(p["learning_rate"] for p in points if p["depth"] == 14) < 0.005


def test_a_search_that_was_stopped_continues_and_starts_where_it_is_told(tmp_path):
    class Laws(keras_tuner.HyperModel):
        def build(self, hp):
            hp.merge(hyperparameters())

    start = [{"depth": 32, "learning_rate": 3.0}, {"norm": "none"}]
    options = {"sampler": "law", "cheap": ("learning_rate",), "enqueue": start}
    whole = search(tmp_path / "whole", law, Laws(), **options).ran
    assert whole == replayed(law, hyperparameters(), start=start), "it ends without a limit"
    assert [(p["depth"], p["norm"], p["learning_rate"]) for p in whole[:3]] == [
        (32, "batch", 3.0),
        (8, "none", RATES[3]),
        (8, "batch", RATES[3]),
    ]
    assert search(tmp_path / "stopped", law, Laws(), **options, max_trials=9).ran == whole[:9]
    assert search(tmp_path / "stopped", law, Laws(), **options).ran == whole[9:]


def test_a_proposal_waits_for_the_results_that_it_depends_on():
    hp = hyperparameters(norms=("batch",))
    plan = LawPlan(hp, StudyDirection.MINIMIZE)
    running = []
    while (trial := plan.configuration(len(running), running)) is not None:
        running.append(
            optuna.create_trial(state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions)
        )
    assert [RATES.index(trial.params["learning_rate"]) for trial in running] == [3, 5, 1]
    ended = [
        optuna.create_trial(value=law(**trial.params), params=trial.params, distributions=trial.distributions)
        for trial in running
    ]
    assert plan.configuration(3, ended).params["depth"] == 8


def test_the_direction_of_the_objective_and_pruned_trials_count():
    plan, history = LawPlan(hyperparameters(norms=("batch",)), StudyDirection.MAXIMIZE), []
    while (trial := plan.configuration(len(history), history)) is not None:
        value = -law(**trial.params)
        ended = {"state": TrialState.PRUNED, "intermediate_values": {1: 9.0, 3: value}} if len(history) % 2 else {}
        history.append(
            optuna.create_trial(**(ended or {"value": value}), params=trial.params, distributions=trial.distributions)
        )
    tried = [trial.params for trial in history]
    assert min(law(**values) for values in tried) == min(law(d, "batch", r) for d in DEPTHS for r in RATES)


@pytest.mark.parametrize(
    ("depths", "rates", "received"),
    [
        ([8], RATES, r"depth=\[8\]"),
        (DEPTHS, [0.1, 1.0], r"learning_rate=\[0\.1, 1\.0\]"),
        (DEPTHS, [0.0, 0.1, 1.0], r"learning_rate=\[0\.0, "),
        (["deep", "shallow"], RATES, r"depth=\['deep', "),
    ],
)
def test_too_few_depths_or_rates_for_a_line_are_refused(depths, rates, received):
    with pytest.raises(
        ValueError, match=rf"two values of `depth` and three of `learning_rate`.* Received: .*{received}"
    ):
        LawPlan(hyperparameters(depths=depths, rates=rates), StudyDirection.MINIMIZE)


def test_a_space_without_depths_is_refused(few_digits, tmp_path):
    with pytest.raises(ValueError, match=r"Received: depth=\[\], learning_rate=\[\]"):
        LawPlan(keras_tuner.HyperParameters(), StudyDirection.MINIMIZE)
    with pytest.raises(ValueError, match=r"Received: depth=\[1\], learning_rate=\[0.01, 1.0\]"):
        study(few_digits, tmp_path, tuning.MLPSpace(**SPACE), sampler="law")


@pytest.mark.slow
def test_a_study_ends_by_itself(few_digits, tmp_path, monkeypatch):
    leave_out_training(monkeypatch)
    space = tuning.MLPSpace(**{**SPACE, "depths": (1, 2, 3), "learning_rates": (0.001, 1.0, 7), "norms": ("batch",)})
    own = study(few_digits, tmp_path, space, sampler="law", seeds=2)
    results = own.run(quiet)
    assert len(results) < 2 * 21 * 0.55
    assert results.best.values == {"depth": 1, "norm": "batch", "learning_rate": 0.1}
    assert own.finished
    assert len(own.run(quiet)) == len(results)
