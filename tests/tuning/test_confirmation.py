"""The confirmation of the best configurations with new seeds. Its trials train nothing."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import untrained
from planted import planted
from scipy import stats
from untrained import SPACE, comparable, loss_in, quiet, study

from bnzoo import tuning
from bnzoo.metrics import metric_named
from bnzoo.tuning import confirming
from bnzoo.tuning.finalists import Finalists
from bnzoo.tuning.objective import Objective
from bnzoo.tuning.shared import SharedStudy
from bnzoo.tuning.ties import interval, ties, ties_of_shares
from bnzoo.tuning.tuner import StudyTuner
from bnzoo.tuning.verdict import verdict

pytestmark = pytest.mark.usefixtures("training_left_out")

MANY = {**SPACE, "learning_rates": (0.001, 1.0, 8)}  # 16 configurations
FEW = {**SPACE, "learning_rates": (0.01, 1.0, 2)}  # 4 of them


def noise(values, seed):
    """Return a loss that depends on nothing but chance, with a standard deviation of 0.1."""
    state = [round(1e6 * values["learning_rate"]), values["norm"] == "none", values["depth"], seed]
    return 0.5 + 0.1 * np.random.default_rng(state).standard_normal()


@pytest.fixture
def noisy(monkeypatch):
    monkeypatch.setattr(untrained, "loss_of", noise)


def search(data, folder, axes=FEW, **options):
    return study(data, folder, tuning.MLPSpace(**axes), **{"seeds": 1, **options})


@pytest.mark.slow
def test_the_best_of_a_search_by_chance_is_not_confirmed(noisy, few_digits, tmp_path):
    found = search(few_digits, tmp_path / "s", MANY)
    found.run(quiet)
    first, trials, counts = found.results.best, comparable(found.results), found.results.counts
    assert "confirmation" not in json.loads((tmp_path / "s/results.json").read_text())
    best = sorted(found.results.trials, key=lambda trial: trial.score)[:3]
    assert np.mean([trial.score for trial in best]) < 0.4, "the best of 16 by chance"

    results = found.confirm(3, progress=quiet)
    table = results.confirmed
    expected = {trial.learning_rate: [noise(trial.values, seed) for seed in (1, 2, 3)] for trial in best}
    assert set(table["learning_rate"]) == set(expected)
    for row in table.itertuples():
        losses = expected[row.learning_rate]
        assert row.confirmed_score == pytest.approx(np.mean(losses))
        low, high = stats.t.interval(0.95, 2, np.mean(losses), stats.sem(losses))
        assert (row.low, row.high) == pytest.approx((1 - high, 1 - low)), "of the accuracy, which is 1 - loss"
        assert row.searched_score == noise(row._asdict(), 0)
    assert 0.4 < table["confirmed_score"].mean() < 0.6
    assert list(table["confirmed_score"]) == sorted(table["confirmed_score"])

    assert results.best.values["learning_rate"] == table["learning_rate"][0]
    assert results.best.score == min(expected[results.best.learning_rate])
    assert loss_in(found.best_model()) == pytest.approx(results.best.score), "a model of the confirmation"
    sentence, bias = found.verdict.sentence, table["confirmed_score"][0] - table["searched_score"][0]
    assert f"in the search, confirmed {1 - table['confirmed_score'][0]:.2%} (" in sentence
    assert f"the search was optimistic by {100 * bias:.1f} points." in sentence
    assert any("cannot be told apart from the best with 3 seeds" in warning for warning in found.verdict.warnings)

    assert (comparable(results), results.counts, results.size) == (trials, counts, 16), "the search stays as it was"
    document = json.loads((tmp_path / "s/results.json").read_text())
    assert len(document["trials"]) == 16
    assert [trial["seed"] for trial in document["confirmation"]["trials"]] == [1, 2, 3] * 3
    assert len(document["confirmation"]["configurations"]) == 3
    assert document["best"] == results.best.trial != first.trial
    again = search(few_digits, tmp_path / "s", MANY)
    again.run(lambda *event: pytest.fail("a trial was run"))
    again.confirm(3, progress=lambda *event: pytest.fail("a trial was run"))
    assert again.results.best == results.best
    assert len(list((tmp_path / "s/checkpoints").iterdir())) == 1 + 3


@pytest.mark.slow
@pytest.mark.parametrize("in_database", [False, True])
def test_an_interrupted_confirmation_goes_on(few_digits, tmp_path, in_database):
    def stop(study, event):
        if isinstance(event, tuning.TrialResult):
            done.append((event.trial, event.seed))
        elif len(done) == 4:
            raise KeyboardInterrupt

    url = {"storage": f"sqlite:///{tmp_path / 'study.db'}", "name": "mine"} if in_database else {}
    whole = search(few_digits, tmp_path / "whole")
    whole.run(quiet)
    whole.confirm(2, progress=quiet)
    search(few_digits, tmp_path / "s", **url).run(quiet)
    done = []
    with pytest.raises(KeyboardInterrupt):
        search(few_digits, tmp_path / "s", **url).confirm(2, progress=stop)
    partial = search(few_digits, tmp_path / "s", **url)
    assert len(partial.results.confirmation) == 4
    assert "1 of 2 configurations were confirmed (limit of time)" in " ".join(partial.verdict.warnings)
    partial.confirm(2, progress=lambda *event: stop(*event) if isinstance(event[1], tuning.TrialResult) else None)
    assert sorted(done) == [(1_000_000 + number, 1 + number % 3) for number in range(6)], "none is run again"
    assert comparable(partial.results.confirmation) == comparable(whole.results.confirmation)
    assert partial.results.best.score == whole.results.best.score
    partial.confirm(3, progress=quiet)
    assert len(partial.results.confirmation) == 9, "one more configuration"
    with pytest.raises(ValueError, match=r"The confirmation of this study has 3 seeds\. Received: seeds=2"):
        partial.confirm(3, seeds=2, progress=quiet)


@pytest.mark.slow
def test_two_processes_share_a_confirmation(few_digits, tmp_path):
    """They train: the patch of this module is not in them."""
    found = search(few_digits, tmp_path / "s")
    found.run(quiet)
    reported = []
    found.confirm(2, progress=lambda study, event: reported.append(event.trial), workers=2)
    trials = found.results.confirmation.trials
    assert sorted(reported) == [trial.trial for trial in trials] == [1_000_000 + number for number in range(6)]
    assert not found.results.confirmation.not_tried
    assert len({trial.worker for trial in trials}) == 2
    assert [trial.seed for trial in trials] == [1, 2, 3] * 2


@pytest.mark.slow
def test_a_sampler_and_the_number_of_trials_do_not_see_the_confirmation(few_digits, tmp_path):
    one, two = (search(few_digits, tmp_path / name, sampler="tpe", pruner="median") for name in ("one", "two"))
    for each in (one, two):
        each.run(quiet, trials=5)
    one.confirm(2, progress=quiet)
    for each in (one, two):
        each.run(quiet, trials=9)
    assert comparable(one.results) == comparable(two.results)
    assert len(one.results) == 9
    assert {trial.outcome for trial in one.results.confirmation.trials} == {"ok"}, "no pruner ends them"
    reopened = search(few_digits, tmp_path / "one", sampler="tpe", pruner="median")
    assert (reopened.results.size, len(reopened.results.confirmation)) == (9, 6)


@pytest.mark.slow
def test_a_trial_that_the_deadline_has_ended_does_not_count(few_digits, tmp_path, monkeypatch):
    found = search(few_digits, tmp_path / "s")
    found.run(quiet)
    train = untrained.train_and_evaluate

    def ended(*arguments, **options):
        evaluation = train(*arguments, **options)
        evaluation.reason = "ended at the deadline after 3 of 9 steps"
        return evaluation

    monkeypatch.setattr("bnzoo.tuning.tuner.train_and_evaluate", ended)
    with monkeypatch.context() as patch:
        begin = StudyTuner.on_trial_begin

        def once(tuner, trial):
            begin(tuner, trial)
            tuner.oracle.deadline = 0.0

        patch.setattr(StudyTuner, "on_trial_begin", once)
        found.confirm(3, progress=quiet, budget=600)
    assert len(found.results.confirmation) == 0
    assert found.results.best.trial < 1_000_000
    monkeypatch.setattr("bnzoo.tuning.tuner.train_and_evaluate", train)
    assert len(found.confirm(3, progress=quiet).confirmation) == 9


def test_the_budget_of_a_confirmation_reaches_its_trials(monkeypatch):
    asked, added = [], []
    monkeypatch.setattr(confirming, "best_trials", lambda results, top: [4, 2, 7][:top])
    monkeypatch.setattr(confirming, "run_trials", lambda study, records, show, **options: asked.append(options))
    monkeypatch.setattr(confirming, "run_workers", lambda study, show, count, **options: asked.append((count, options)))
    finalists = Finalists(3, [4, 2])
    records = SimpleNamespace(confirm=lambda *arguments: added.append(arguments) or finalists)
    begun = SimpleNamespace(results=None, refresh=lambda: SimpleNamespace(confirmation=None))
    for workers in (1, 5):
        confirming.run_confirmation(begun, records, 2, 3, quiet, workers, 60.0)
    bounds = {"budget": 60.0, "trials": None}
    assert asked == [bounds | {"finalists": finalists}, (5, bounds | {"confirming": True})]
    assert added == [([4, 2], 3)] * 2


def confirmed(searched, again, seeds=3, **axes):
    """Return planted results with a confirmation of the configurations that a function has a score of."""
    results = planted(searched, **axes)
    results.confirmation = planted(again, seeds=seeds, skip=lambda v: not finite(again, v), **axes)
    return results


def finite(scores, values):
    return scores(values["depth"], values["norm"], values["learning_rate"], 0) is not None


def test_the_winner_is_chosen_by_the_confirmed_scores():
    searched = {0.01: 0.3, 0.1: 0.32, 1.0: 0.4}
    again = {0.01: 0.5, 0.1: 0.35, 1.0: 0.36}
    one = {"depths": (8,), "norms": ("batch",)}
    results = confirmed(lambda d, n, r, s: searched[r], lambda d, n, r, s: again[r] + s / 100, **one)
    assert results.winner["learning_rate"] == results.best.learning_rate == 0.1
    assert results.confirmed["tie"].tolist() == [True, True, False]
    found = verdict(results)
    accuracy = [1 - (again[rate] + 0.01) / 5 for rate in (0.1, 0.01)]
    assert found.sentence.startswith(
        "Best: depth 8, norm batch, learning rate 0.1: validation accuracy 93.60% in the search, confirmed "
        f"{accuracy[0]:.2%} ("
    )
    assert found.sentence.endswith("3 new seeds): the search was optimistic by 0.8 points.")
    text = " | ".join(found.warnings)
    assert (
        "1 configuration cannot be told apart from the best with 3 seeds: depth 8, norm batch, learning rate 1" in text
    )
    assert (
        f"the best of the search, depth 8, norm batch, learning rate 0.01, reached accuracy {accuracy[1]:.2%} with new "
        "seeds: the search was optimistic by 4.2 points about it" in text
    )
    results.objective = Objective(1.0, 0.5, metric_named("macro_f1"))
    assert verdict(results).sentence.endswith("; macro-F1 0.6800 in the search, macro-F1 0.6400 confirmed.")
    better = confirmed(lambda d, n, r, s: searched[r], lambda d, n, r, s: searched[r] - 0.1 - s / 1000, **one)
    assert verdict(better).sentence.endswith("the search was not optimistic.")
    assert "cannot be told apart" not in " ".join(verdict(better).warnings)


def test_the_moving_statistics_are_compared_among_the_confirmed_configurations():
    """The rate 0.01 is the best in the search, and 0.1 with new seeds, each with the moving statistics too."""
    one = {"depths": (8,), "norms": ("batch",)}
    results = confirmed(lambda d, n, r, s: r, lambda d, n, r, s: -math.log10(r) / 10 if r < 1 else None, **one)
    assert results.winner["learning_rate"] == 0.1
    assert "moving" not in str(verdict(results))
    results.confirmation = planted(lambda d, n, r, s: r, moving=lambda d, n, r, s: 1 - r, seeds=2, **one)
    words = "with the moving statistics another configuration would be the best: depth 8, norm batch, learning rate 1"
    assert words in str(verdict(results))


def test_the_smallest_network_is_compared_with_the_confirmed_winner():
    """Accuracies in the search: 98 % at depth 20, 97.8 % at 14, 97.7 % at 8; depth 20 is lost with new seeds."""
    searched = {8: 0.115, 14: 0.11, 20: 0.1}

    def smallest(again):
        one = {"depths": (8, 14, 20), "norms": ("batch",), "rates": (0.1,), "counts": lambda v: (1, v["depth"])}
        return verdict(confirmed(lambda d, *_: searched[d], lambda d, *_: again[d], **one)).smallest

    assert smallest({8: None, 14: 0.11, 20: math.inf}) == (
        "The smallest network within half a point of the best: depth 8, norm batch, learning rate 0.1: accuracy 97.70% "
        "with 8 multiplications, 1 parameters, instead of accuracy 97.80% with 14 multiplications, 1 parameters "
        "(figures of the search)."
    )
    none = "No network with fewer multiplications is within half a point of the best."
    assert smallest({8: 0.2, 14: 0.11, 20: 0.5}) == none, "depth 8 is worse with new seeds"
    assert smallest({8: 0.1, 14: 0.11, 20: 0.5}) == "No network has fewer multiplications than the best."


def test_configurations_that_diverge_with_a_new_seed_are_named():
    searched = {0.01: 0.3, 0.1: 0.32, 1.0: 0.4}
    one = {"depths": (8,), "norms": ("batch",)}
    lost = confirmed(
        lambda d, n, r, s: searched[r], lambda d, n, r, s: None if r == 1.0 else math.inf if s == 1 else 0.3, **one
    )
    assert (lost.best.learning_rate, lost.best.seed) == (0.01, 0), "the best of the search"
    found = verdict(lost)
    assert "confirmed" not in found.sentence
    assert "depth 8, norm batch, learning rate 0.01 is not usable with new seeds (diverged)" in found.warnings
    assert lost.confirmed["ok"].tolist() == [False, False]
    part = confirmed(
        lambda d, n, r, s: searched[r],
        lambda d, n, r, s: {0.01: math.inf, 0.1: 0.5, 1.0: None}[r],
        **one,
    )
    assert part.best.learning_rate == 0.1


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_ties_are_those_of_students_test(seeds):
    random = np.random.default_rng(seeds)
    scores = np.sort(random.normal(np.arange(12)[:, None] / 20, 0.1, (12, seeds)), axis=0)
    scores = scores[np.argsort(scores.mean(1))]
    table = pd.DataFrame({"score": scores.mean(1), "deviation": scores.std(1, ddof=1), "seeds": seeds})
    expected = [number for number in range(1, 12) if stats.ttest_ind(scores[0], scores[number]).pvalue > 0.05]
    assert list(ties(table).index) == expected
    assert ties(table.assign(seeds=1)).empty
    assert ties(table.head(1)).empty
    low, high = stats.t.interval(0.95, seeds - 1, scores[0].mean(), stats.sem(scores[0]))
    assert interval(scores[0]) == pytest.approx((low, high))


def test_configurations_of_one_seed_are_compared_on_the_validation_examples():
    """The standard error of the difference of 90 % and 80 % on n examples is 0.5 / sqrt(n)."""
    shares = pd.Series([0.9, 0.8, 0.95, 0.2])
    assert list(ties_of_shares(shares, 90)) == [0.8, 0.95]
    assert list(ties_of_shares(shares, 110)) == [0.95]
    results = planted(lambda d, n, r, s: 0.5 + 0.5 * (r - 0.01), depths=(8,), norms=("batch",))
    assert "one seed: differences between trials may be chance; --confirm 3" in " ".join(verdict(results).warnings)
    results.examples = 90  # accuracies of 90 %, 89.1 % and 80.1 %
    for rates, advice in (
        ((0.1, 1.0), "--confirm 2 trains both with"),
        ((0.1,), "the score of the best may be chance; --confirm 1"),
    ):
        few = planted(lambda d, n, r, s: r, depths=(8,), norms=("batch",), rates=rates)
        assert advice in " ".join(verdict(few).warnings)
    words = "one seed: 2 configurations have a validation accuracy within two standard errors of that of the best on 90"
    assert words in " ".join(verdict(results).warnings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 0}, "`confirm` must be a positive integer"),
        ({"top": -1}, "`confirm` must be a positive integer"),
        ({"top": 21}, "`confirm` must be at most the number of configurations, 4. Received: confirm=21"),
        ({"seeds": 1}, "`seeds` must be at least 2: a single seed has no interval. Received: seeds=1"),
        ({"workers": 0}, "`workers` must be a positive integer"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(few_digits, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        search(few_digits, tmp_path / "s").confirm(**options)
    assert not (tmp_path / "s").exists()


def test_a_search_without_a_usable_trial_is_not_confirmed(few_digits, tmp_path):
    with pytest.raises(RuntimeError, match="no trial is usable"):
        search(few_digits, tmp_path / "s").confirm(3)


def test_damaged_finalists_are_named(few_digits, tmp_path):
    search(few_digits, tmp_path / "s").run(quiet)
    shared = SharedStudy(None, tmp_path / "s", None)
    for damaged in ({"seeds": 3, "trials": [99]}, {"seeds": "x", "trials": [1]}, {"trials": [1]}, [], 3):
        shared.set_attribute("bnzoo:finalists:0", damaged)
        with pytest.raises(ValueError, match="the finalists of the study 's' cannot be read"):
            search(few_digits, tmp_path / "s").confirm(3, progress=quiet)


def test_a_trial_of_the_confirmation_can_be_trained(few_digits, tmp_path):
    """`bnzoo train FOLDER --trial 1000000` takes it."""
    from bnzoo.cli import train_study

    found = search(few_digits, tmp_path / "s")
    found.run(quiet)
    found.confirm(1, progress=quiet)
    taken = []
    with pytest.MonkeyPatch.context() as patch:
        opened = SimpleNamespace(
            results=found.results,
            directory=tmp_path,
            train=lambda trial, **options: taken.append(trial),
            report=lambda: None,
        )
        patch.setattr("bnzoo.tuning.opening.open_study", lambda folder, data: opened)
        train_study.trained(tmp_path / "s", few_digits, 1_000_001)
        train_study.trained(tmp_path / "s", few_digits, None)
    assert [trial.seed for trial in taken] == [2, found.results.best.seed]
