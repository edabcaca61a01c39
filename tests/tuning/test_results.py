import io
import json
import math
import types

import pandas as pd
import pytest
import rich.console
from planted import planted

from bnzoo.metrics import metric_named
from bnzoo.tuning.objective import Objective, score_cap
from bnzoo.tuning.progress import Step, progress_bar
from bnzoo.tuning.results import Results
from bnzoo.tuning.trial_result import TrialResult
from bnzoo.tuning.verdict import verdict


def bowl(depth, norm, rate, seed):
    """Return the loss: best at depth 14, batch norm and rate 0.1; diverged at the highest rate without a norm."""
    if norm == "none" and rate == 1.0:
        return math.inf
    return 0.1 + abs(math.log10(rate) + 1) + (14 - depth) / 10 + (norm == "none") * 0.2


def test_table():
    table = planted(bowl).table()
    assert list(table["depth"]) == [8, 8, 14, 14]
    assert list(table["norm"]) == ["batch", "none"] * 2
    assert list(table["best learning rate"]) == [0.1] * 4
    assert list(table["largest usable"]) == [1.0, 0.1] * 2
    assert list(table["usable"]) == ["3/3", "2/3"] * 2
    assert table["loss"].tolist() == pytest.approx([0.7, 0.9, 0.1, 0.3])


def test_rate_times_decay_is_a_column_where_a_norm_and_a_decay_are():
    table = planted(bowl, rates=(0.1, 1.0), more={"weight_decay": (0.0, 0.5)}).frame()
    batch = table[table["norm"] == "batch"]
    assert batch["rate_times_decay"].tolist() == (batch["learning_rate"] * batch["weight_decay"]).tolist()
    assert table[table["norm"] == "none"]["rate_times_decay"].isna().all()
    assert "rate_times_decay" not in planted(bowl, norms=(None,)).frame()
    results = planted(bowl, rates=(0.1,), norms=("batch",), more={"optimizer": ("sgd(momentum=0.8)", "muon")})
    results.definition["space"]["weight_decay"] = None  # each optimizer has its own
    assert results.frame()["rate_times_decay"].tolist() == pytest.approx([5e-4, 5e-3] * 2)


def test_best_is_the_best_seed_of_the_best_mean():
    def scores(depth, norm, rate, seed):
        return {0.01: (0.5, 0.5), 0.1: (0.3, 0.4), 1.0: (0.1, math.inf)}[rate][seed]

    best = planted(scores, depths=(8,), norms=("batch",), seeds=2).best
    assert (best.learning_rate, best.seed, best.score) == (0.1, 0, 0.3)


def warnings(results):
    return " | ".join(verdict(results).warnings)


def test_a_clear_finding_has_no_warning_but_that_of_one_seed():
    results = planted(bowl, depths=(8, 14, 20))
    assert "one seed" in warnings(planted(lambda d, n, r, s: bowl(d, n, r, s) + (d == 20), depths=(8, 14, 20)))
    found = verdict(planted(lambda d, n, r, s: bowl(d, n, r, s) + (d == 20) + s / 1000, depths=(8, 14, 20), seeds=2))
    assert found.warnings == []
    assert found.sentence.startswith("Best: depth 14, norm batch, learning rate 0.1: validation accuracy 97.99%")
    assert "the best depth 20 is at the edge" in warnings(results)


@pytest.mark.parametrize(("sign", "side"), [(1, "lowest"), (-1, "highest")])
def test_the_edge_of_the_range_is_told(sign, side):
    results = planted(lambda depth, norm, rate, seed: 1 + sign * rate / 2, depths=(8,))
    assert f"is at the edge of the range ({side} tried)" in warnings(results)
    assert "best depth" not in warnings(results), "one depth has no edge"


@pytest.mark.parametrize(
    ("family", "options", "depths"),
    [
        ("resnet", {}, (8, 14)),
        ("resnet", {"block": "bottleneck"}, (11, 20)),
        ("densenet", {}, (10, 16)),
        ("densenet", {"bottleneck": False}, (7, 10)),
        ("mlp", {}, (1, 2)),
        ("vit", {}, (1, 2)),
    ],
)
def test_the_smallest_network_of_a_family_is_no_edge(family, options, depths):
    """There is nothing to search below it."""

    def found(depths):
        results = planted(lambda depth, norm, rate, seed: depth + abs(math.log10(rate) + 1), depths=depths)
        results.definition["space"].update(family=family, **options)
        return verdict(results)

    smallest = found(depths)
    assert "edge" not in str(smallest)
    expected = f" Depth {depths[0]} is the smallest of the family, and deeper networks did not help on this data."
    assert smallest.sentence.endswith(expected)
    larger = found(tuple(2 * depth + 4 for depth in depths))
    assert f"the best depth {2 * depths[0] + 4} is at the edge of the range (lowest tried): search lower too" in str(
        larger
    )
    assert "smallest" not in str(larger)


def test_rates_that_are_lost_beyond_the_best_are_no_edge():
    rates = (0.001, 0.0123, 0.2, 0.95, 0.99)
    results = planted(lambda d, n, r, s: 2 - r if r < 0.98 else math.inf, rates=rates)
    results.definition["space"]["learning_rates"] = [0.001, 0.01, 0.1, 1.0]
    assert "the best learning rate" not in warnings(results)


def test_the_largest_depth_is_no_edge_if_a_shallower_one_is_as_good_on_the_validation_examples():
    """With one seed. The accuracies are 98.00 % and 97.96 %."""
    results = planted(lambda d, n, r, s: 0.1 + 0.002 * (d == 8) + (n is None) + (r != 0.1))
    assert "the best depth 14 is at the edge of the range (highest tried)" in warnings(results)
    results.examples = 269
    assert "edge" not in warnings(results)
    results.examples = 1_000_000
    assert "the best depth 14 is at the edge" in warnings(results)


def test_configurations_that_seeds_cannot_tell_apart_are_named():
    results = planted(lambda d, n, r, s: bowl(d, n, r, s) + 2 * s, seeds=2)
    others = "depth 14, norm none, learning rate 0.1; depth 8, norm batch, learning rate 0.1 (shallower); depth 8"
    assert f"9 configurations cannot be told apart from the best with 2 seeds: {others}" in warnings(results)
    assert warnings(results).endswith("(shallower); and 6 more")
    assert "edge" not in warnings(results), "a shallower network is as good"
    results = planted(lambda d, n, r, s: bowl(d, n, r, s) + 0.001 * s, seeds=2)
    assert "seeds" not in warnings(results)
    assert "the best depth 14 is at the edge of the range (highest tried)" in warnings(results)


def test_moving_statistics_that_choose_otherwise_are_told():
    results = planted(bowl, moving=lambda d, n, r, s: 0.001 if (d, n, r) == (8, "batch", 0.01) else 3.0)
    assert "with the moving statistics another configuration would be the best: depth 8, norm batch" in warnings(
        results
    )


def test_failures_and_unfinished_studies_are_told():
    results = planted(lambda *args: "boom" if args[2] == 0.01 else bowl(*args), finished=False)
    assert "4 trials raised an error" in warnings(results)
    assert "1 of 12 trials were not tried (limit of time or trials)" in warnings(results)
    assert results.not_tried == [{"depth": 14, "norm": "none", "learning_rate": 1.0, "seed": 0}]
    assert (len(results), results.size) == (11, 12)


def test_what_was_not_tried_is_told_by_axis():
    """Depth 20 and two of three rates of depth 14 were not tried, for every norm."""
    results = planted(
        bowl, depths=(8, 14, 20), skip=lambda v: v["depth"] == 20 or (v["depth"] == 14 and v["learning_rate"] > 0.01)
    )
    expected = (
        "10 of 18 trials were not tried (limit of time or trials); tried: 2 of 6 with depth 14, none of 6 with depth "
        "20, 2 of 6 with learning rate 0.1, 2 of 6 with learning rate 1"
    )
    assert expected in verdict(results).warnings
    assert results.axes["depth"] == [8, 14], "an axis has the values that were tried"


def test_what_was_tried_without_a_result_is_told():
    results = planted(lambda d, n, r, s: ("pruned", 0.01) if n == "none" else bowl(d, n, r, s))
    assert "no usable trial has norm none (6 pruned)" in warnings(results)
    assert "no usable trial" not in warnings(planted(bowl))


def test_pruned_trials_are_neither_usable_nor_the_best():
    results = planted(lambda d, n, r, s: ("pruned", 0.01) if r == 1.0 else bowl(d, n, r, s))
    assert results.counts["pruned"] == 4
    assert results.best.learning_rate == 0.1
    assert set(results.table()["largest usable"]) == {0.1}
    assert "4 trials were pruned: with more epochs they might have become better" in warnings(results)
    one = planted(lambda d, n, r, s: ("pruned", 0.01) if (d, n, r) == (8, "none", 1.0) else bowl(d, n, r, s))
    assert "1 trial was pruned: with more epochs it might have become better" in warnings(one)


def test_nothing_usable():
    results = planted(lambda *args: math.inf)
    assert verdict(results).sentence.startswith("No configuration is usable")
    assert results.best is None
    assert results.table()["best learning rate"].isna().all()
    assert results.counts == {"ok": 0, "stalled": 0, "diverged": 12, "pruned": 0, "failed": 0}


def wider(depth, norm, rate, seed, placement, batch_size):
    return bowl(depth, norm, rate, seed) + 0.5 * (placement == "post") + batch_size / 1000


def test_any_axes():
    """Return the loss with two more axes: best at the minimum of both terms."""
    results = planted(
        wider,
        more={"placement": ("pre", "post"), "batch_size": (64, 32)},
    )
    assert list(results.axes) == ["depth", "norm", "placement", "batch_size", "learning_rate"]
    assert results.axes["batch_size"] == [32, 64]
    assert results.axes["placement"] == ["pre", "post"]
    best = {"depth": 14, "norm": "batch", "placement": "pre", "batch_size": 32, "learning_rate": 0.1}
    assert results.best.values == best
    assert results.of(best) == [results.best]
    assert len(results.of({"depth": 14, "placement": "pre"})) == 12
    table = results.table()
    assert list(table.columns[:4]) == ["depth", "norm", "placement", "batch_size"]
    assert len(table) == 16
    assert list(table["placement"]) == ["pre", "pre", "post", "post"] * 4
    assert list(table["batch_size"]) == [32, 64] * 8
    assert table["loss"].tolist() == pytest.approx(
        [wider(row.depth, row.norm, 0.1, 0, row.placement, row.batch_size) for row in table.itertuples()]
    )
    sentence = "Best: depth 14, norm batch, placement pre, batch size 32, learning rate 0.1: validation accuracy"
    assert verdict(results).sentence.startswith(sentence)


def test_rates_that_were_sampled():
    """Each rate has one trial. A best rate near the end of the range is reported, even if a worse one is nearer."""
    rates = (0.001, 0.0123, 0.2, 0.95, 0.99)
    results = planted(lambda d, n, r, s: 2 - r if r < 0.98 else 2.0, rates=rates)
    results.definition["space"]["learning_rates"] = [0.001, 0.01, 0.1, 1.0]
    assert "the best learning rate 0.95 is at the edge of the range (near the highest)" in warnings(results)


def test_a_regression():
    results = planted(lambda *args: bowl(*args), classes=0)
    assert score_cap("regression", 1) == score_cap("regression", 3) == 2.0
    assert (results.cap, results.metric) == (2.0, "r2")
    assert "r2" in results.frame()
    assert "moving_r2" in results.frame()
    assert "r2" in results.table()
    assert verdict(results).sentence.endswith("validation R² 0.9800, loss 0.1000.")


def test_nothing_has_run_yet():
    results = Results([], planted(bowl).definition, planted(bowl, finished=False).not_tried)
    assert (len(results), results.size, results.best) == (0, 1, None)
    assert list(results.table()) == [
        "depth", "norm", "best learning rate", "largest usable", "accuracy", "loss", "usable",
    ]  # fmt: skip
    assert verdict(results).sentence == "No configuration is usable: none has run with all its seeds."


def seen(results, events, **options):
    """The progress without a terminal, and with one."""
    plain, colourful = (rich.console.Console(file=io.StringIO(), force_terminal=t, width=200) for t in (False, True))
    for console in (plain, colourful):
        begun = Results([], results.definition, results.not_tried, objective=results.objective)
        study = types.SimpleNamespace(results=begun)
        with progress_bar(study, console, **options) as show:
            for event in events:
                if isinstance(event, TrialResult):
                    trials = [*study.results.trials, event]
                    left = results.not_tried[len(trials) :]
                    study.results = Results(trials, results.definition, left, objective=results.objective)
                show(study, event)
    return plain.file.getvalue().splitlines(), colourful.file.getvalue()


def test_progress():
    results = planted(wider, depths=(8,), norms=("batch",), more={"placement": ("pre",), "batch_size": (32,)})
    queued = [{**trial.values, "seed": trial.seed} for trial in results.trials]
    known = Results(results.trials, results.definition, queued)
    lines, screen = seen(known, [queued[0], *known.trials])
    assert len(lines) == 3
    words = "1/3 depth 8 batch placement pre batch size 32 lr 0.01: ok 65.4% loss 1.73 | best 65.4% loss 1.73 | "
    assert lines[0].startswith(words)
    assert lines[2].endswith("| 0:00 left")
    assert "3/3" in screen
    lines, screen = seen(results, results.trials)  # nothing is queued, so the number of trials is unknown
    assert lines[1].startswith("2/— ")
    assert lines[1].endswith("| unknown time left")
    assert "3/—" in screen
    assert seen(results, results.trials, total=40)[0][1].startswith("2/40 ")
    judged = Results(
        results.trials, results.definition, queued, objective=Objective(1.0, 0.9, metric_named("accuracy"))
    )
    assert ": ok 65.4% | best 65.4% | " in seen(judged, judged.trials)[0][0], "the accuracy is the objective"


def test_progress_within_a_trial(monkeypatch):
    """A line comes after a minute without one, with the time left at the pace of the steps so far."""
    clock = types.SimpleNamespace(now=0.0)
    for module in ("bnzoo.tuning.progress", "bnzoo.silence"):
        monkeypatch.setattr(f"{module}.time", types.SimpleNamespace(monotonic=lambda: clock.now))
    results = planted(bowl, depths=(8,), norms=("batch",))
    queued = [{**trial.values, "seed": trial.seed} for trial in results.trials]
    study = types.SimpleNamespace(results=Results([], results.definition, queued))
    for terminal in (False, True):
        clock.now = 0.0
        console = rich.console.Console(file=io.StringIO(), force_terminal=terminal, width=80)
        with progress_bar(study, console) as show:
            long = {"activation": "silu" * 30} if terminal else {}  # cut at the end of the line
            show(study, {**queued[0], **long})
            clock.now = 59.0
            show.step(Step(epoch=2, epochs=4, step=10, steps=20, loss=0.5))
            if not terminal:
                show.remind()
                assert console.file.getvalue() == ""
            clock.now = 60.0
            if not terminal:
                show.remind()
        out = console.file.getvalue()
        if terminal:
            assert "30/80" in out, "steps of the trial"
        else:
            left = 60 / 0.375 * (len(queued) - 0.375)
            minutes, seconds = divmod(round(left), 60)
            where = f"0/{len(queued)} depth 8 batch lr 0.01: epoch 2/4 step 10/20 loss 0.5"
            assert out.splitlines() == [f"{where} | {minutes}:{seconds:02d} left"]
            assert len(out.splitlines()[0]) <= 80


def test_files(tmp_path):
    results = planted(bowl, finished=False)
    results.save(tmp_path, "bnzoo tune")
    table = pd.read_csv(tmp_path / "results.csv")
    assert len(table) == 11
    assert table["score"].max() == pytest.approx(2 * math.log(10)), "scores are finite whatever happens"
    document = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)
    assert document["command"] == "bnzoo tune"
    assert document["trials"][5]["history"]["loss"] == ["nan"]
    assert document["best"] == results.best.trial
    assert document["not_tried"] == results.not_tried
    assert list(table.columns[:4]) == ["trial", "depth", "norm", "learning_rate"]


def test_a_trial_survives_json():
    for trial in planted(bowl, workers=2).trials:
        again = TrialResult.from_dict(json.loads(json.dumps(trial.to_dict(), allow_nan=False)))
        assert repr(again) == repr(trial)


def test_a_gap_between_training_and_validation_asks_for_augmentation():
    results = planted(bowl)
    best = results.best

    def warned(training, **more):
        best.history["accuracy"] = [0.5, training]
        data = {**results.definition["data"], **more}
        changed = Results(results.trials, {**results.definition, "data": data}, [])
        return "--augment" in " | ".join(verdict(changed).warnings)

    assert warned(best.accuracy + 0.06)
    assert not warned(best.accuracy + 0.04)
    assert not warned(best.accuracy + 0.06, augment=["flip"])
    assert not warned(best.accuracy + 0.06, input_shape=[13])
