"""OptunaOracle without a study, with tuners of Keras Tuner. Only one of them trains."""

import itertools
import json
import math
import wsgiref.util

import keras
import keras_tuner
import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from tiers import tiered

from bnzoo.tuning import OptunaOracle, PruningCallback
from bnzoo.tuning import storage as storages
from bnzoo.tuning.plans import Plan
from bnzoo.tuning.shared import INDEX


class Bowl(keras_tuner.HyperModel):
    """A hypermodel without a model: the objective is a function of the hyperparameters."""

    def build(self, hp):
        hp.Choice("depth", [8, 14])
        hp.Float("learning_rate", 1e-3, 3.0, sampling="log")
        return


class Toy(keras_tuner.Tuner):
    """A tuner that computes the score from the values."""

    def __init__(self, oracle, score, directory, hypermodel=None):
        self.score, self.ran = score, []
        super().__init__(oracle, hypermodel or Bowl(), directory=directory, project_name="toy")

    def run_trial(self, trial, **options):
        values = dict(trial.hyperparameters.values)
        self.ran.append(values)
        return {"loss": self.score(**values)}

    def save_model(self, *arguments):
        """Return no model."""


def bowl(depth, learning_rate, **others):
    return 0.1 + abs(math.log10(learning_rate) + 1) + (depth == 8) / 2


def search(directory, score=bowl, hypermodel=None, **options):
    oracle = OptunaOracle(keras_tuner.Objective("loss", "min"), **options)
    tuner = Toy(oracle, score, directory, hypermodel)
    tuner.search(verbose=0)
    return tuner


def states(oracle):
    return [trial.state.name for trial in oracle.study.trials().values()]


class Conditional(keras_tuner.HyperModel):
    """Hyperparameters of every kind, and one with a condition."""

    def build(self, hp):
        hp.Fixed("classes", 10)
        norm = hp.Boolean("norm")
        with hp.conditional_scope("norm", [True]):
            if norm:
                hp.Choice("placement", ["pre", "post"])
        hp.Int("width", 8, 24, step=8)
        hp.Float("rate", 0.0, 0.5, step=0.25)


def test_a_grid_has_every_combination_once(tmp_path):
    ran = search(tmp_path, lambda **values: values["width"], Conditional(), sampler="grid").ran
    norms = [{"norm": False}, {"norm": True, "placement": "pre"}, {"norm": True, "placement": "post"}]
    expected = [
        {"classes": 10, **norm, "width": width, "rate": rate}
        for norm, width, rate in itertools.product(norms, (8, 16, 24), (0.0, 0.25, 0.5))
    ]
    key = json.JSONEncoder(sort_keys=True).encode
    assert sorted(map(key, ran)) == sorted(map(key, expected))


@pytest.mark.parametrize(
    "sampler", ["random", "tpe", pytest.param("gp", marks=[pytest.mark.extras("torch"), pytest.mark.slow])]
)
def test_a_sampler_is_the_same_again_and_after_an_interruption(tmp_path, sampler):
    whole = search(tmp_path / "a", sampler=sampler, seed=3, max_trials=13).ran
    search(tmp_path / "b", sampler=sampler, seed=3, max_trials=5)
    second = search(tmp_path / "b", sampler=sampler, seed=3, max_trials=13)
    assert len(second.ran) == 8
    assert second.ran == whole[5:]
    assert search(tmp_path / "c", sampler=sampler, seed=4, max_trials=3).ran != whole[:3]
    assert all(1e-3 <= values["learning_rate"] <= 3 for values in whole)
    best = second.get_best_hyperparameters()[0].values
    assert bowl(**best) == min(bowl(**values) for values in whole), "of both processes"


class Deep(keras_tuner.HyperModel):
    """A space with many architectures."""

    def build(self, hp):
        hp.Choice("depth", list(range(1, 17)))
        hp.Float("learning_rate", 1e-3, 3.0, sampling="log")


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_new_architecture_is_made_use_of_before_the_next(tmp_path, sampler):
    def score(depth, learning_rate):
        return bowl(depth, learning_rate)

    ran = search(tmp_path / "a", score, Deep(), sampler=sampler, cheap=("learning_rate",), max_trials=24).ran
    depths = [values["depth"] for values in ran]
    first = sorted({depth: depths.index(depth) for depth in depths}.values())
    assert len(first) >= 3
    assert all(later - earlier >= 4 for earlier, later in itertools.pairwise(first))
    assert len({values["learning_rate"] for values in ran}) == 24
    known = search(tmp_path / "b", score, Deep(), sampler=sampler, max_trials=24).ran
    assert len({values["depth"] for values in known[:4]}) > 1, "where nothing is said of architectures"


class Categories(keras_tuner.HyperModel):
    """Two categorical hyperparameters, and the learning rates of a grid or a range."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def build(self, hp):
        hp.Choice("depth", [8, 14, 20])
        hp.Choice("norm", ["batch", "none"])
        self.rate(hp)


def test_a_grid_is_run_from_the_middle_and_every_category_comes_early(tmp_path):
    space = Categories(lambda hp: hp.Choice("learning_rate", [0.1, 0.2, 0.3, 0.4, 0.5]))
    ran = search(tmp_path, lambda **values: 1.0, space, sampler="grid", cheap=("learning_rate",)).ran
    assert len({tuple(values.items()) for values in ran}) == len(ran) == 30
    assert [values["learning_rate"] for values in ran] == [0.3, 0.4, 0.2, 0.5, 0.1] * 6
    architectures = [(values["depth"], values["norm"]) for values in ran[::5]]
    assert architectures[:3] == [(8, "batch"), (14, "none"), (20, "batch")]
    assert [(values["depth"], values["norm"]) for values in ran] == [each for each in architectures for _ in range(5)]


def test_a_limit_of_a_grid_counts_what_ran_in_another_order(tmp_path):
    space = Categories(lambda hp: hp.Choice("learning_rate", [0.1, 0.2, 0.3]))
    options = {"sampler": "grid", "seeds": 1}
    search(tmp_path, lambda **values: 1.0, space, **options, max_trials=2)  # in the order of the indices
    again = search(tmp_path, lambda **values: 1.0, space, **options, max_trials=4, cheap=("learning_rate",))
    assert sorted(values["learning_rate"] for values in again.ran) == [0.2, 0.3], "the next two in the new order"
    assert states(again.oracle).count("COMPLETE") == 4


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_sampler_tries_each_category_once_before_any_twice(tmp_path, sampler):
    space = Categories(lambda hp: hp.Float("learning_rate", 1e-3, 3.0, sampling="log"))
    ran = search(tmp_path, lambda **values: 1.0, space, sampler=sampler, cheap=("learning_rate",), max_trials=4).ran
    assert [values["depth"] for values in ran[:3]] == [8, 14, 20]
    assert [values["norm"] for values in ran[:2]] == ["batch", "none"]
    assert ran[0]["learning_rate"] == pytest.approx(math.sqrt(1e-3 * 3.0), rel=1e-3), "the middle of the range"


class Few(keras_tuner.HyperModel):
    def build(self, hp):
        hp.Choice("depth", [1, 2, 3])
        hp.Choice("learning_rate", [0.1, 1.0])


def test_an_architecture_of_which_all_was_tried_is_left(tmp_path):
    ran = search(tmp_path, bowl, Few(), sampler="random", cheap=("learning_rate",), max_trials=6).ran
    assert len({tuple(values.items()) for values in ran}) == 6


def test_where_to_start(tmp_path):
    start = [{"depth": 14, "learning_rate": 0.1}, {"depth": 8}]
    first, second, _ = search(tmp_path / "s", enqueue=start, max_trials=3).ran
    assert first == start[0]
    assert second["depth"] == 8
    options = {"sampler": "grid", "enqueue": [{"depth": 14}]}
    grid = search(tmp_path / "g", **options).ran
    assert [values["depth"] for values in grid] == [14] * 10 + [8] * 10
    ordered = search(tmp_path / "o", cheap=("learning_rate",), **options).ran
    assert [values["depth"] for values in ordered] == [14] * 10 + [8] * 10
    rates = sorted({values["learning_rate"] for values in ordered})
    assert ordered[0]["learning_rate"] in rates[4:6]
    for wrong, message in (
        ({"depht": 8}, "Unknown `enqueue`: 'depht'. Did you mean 'depth'"),
        ({"depth": 9}, "depth must be one of 8, 14. Received: depth=9"),
        ({"learning_rate": 30}, "learning_rate must be between 0.001 and 3"),
    ):
        with pytest.raises(ValueError, match=message):
            search(tmp_path / "w", enqueue=[wrong], max_trials=1)


def test_failures_end_nothing(tmp_path):
    """Keras Tuner ends a search after three consecutive failures."""

    def score(depth, learning_rate):
        if learning_rate > 0.1:
            raise MemoryError("no room")
        return math.nan if depth == 8 else learning_rate

    tuner = search(tmp_path, score, sampler="grid")
    assert len(tuner.ran) == 20
    assert states(tuner.oracle).count("COMPLETE") == sum(
        values["depth"] == 14 and values["learning_rate"] <= 0.1 for values in tuner.ran
    )
    best, *_ = tuner.oracle.get_best_trials(20)
    assert best.score == min(values["learning_rate"] for values in tuner.ran)
    messages = {trial.message for trial in tuner.oracle.trials.values() if trial.status == "FAILED"}
    assert any("MemoryError: no room" in message for message in messages)
    assert "The objective is NaN." in messages


def test_what_failed_is_avoided(tmp_path):
    """A sampler without knowledge of failures would propose failing values again."""

    def score(depth, learning_rate):
        if depth == 8:
            raise MemoryError
        return bowl(depth, learning_rate)

    later = search(tmp_path, score, max_trials=40).ran[20:]
    assert sum(values["depth"] == 14 for values in later) >= 15


def test_seeds_are_run_of_every_configuration_and_the_sampler_sees_their_mean(tmp_path):
    tuner = search(tmp_path, lambda seed, **values: bowl(**values) + seed, seeds=3, max_trials=9)
    assert [values["seed"] for values in tuner.ran] == [0, 1, 2] * 3
    assert len({values["learning_rate"] for values in tuner.ran}) == 3


def two_oracles(tmp_path, **options):
    """One process has the oracles of two."""
    found = []
    for _ in range(2):
        oracle = OptunaOracle(keras_tuner.Objective("loss", "min"), **options)
        oracle.verbose = 0
        Toy(oracle, bowl, tmp_path)
        found.append(oracle)
    return found


def finish(oracle, trial, score=1.0):
    oracle.update_trial(trial.trial_id, {"loss": score})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


@pytest.mark.parametrize("sampler", ["grid", "law", "random"])
def test_workers_share_the_trials(tmp_path, sampler):
    a, b = two_oracles(tmp_path, sampler=sampler, max_trials=7)
    ran = []
    while True:
        pair = [(oracle, oracle.create_trial("tuner0")) for oracle in (a, b)]
        for oracle, trial in pair:
            if trial.status == "RUNNING":
                ran.append(tuple(trial.hyperparameters.values.items()))
                finish(oracle, trial)
        if all(trial.status == "STOPPED" for _, trial in pair):
            break
    assert len(set(ran)) == len(ran) == 7
    assert a.get_best_trials(7)[0].score == 1.0
    assert len(a.trials) == 7, "the trials of the other, too"


def test_the_last_trials_are_waited_for(tmp_path):
    a, b = two_oracles(tmp_path, max_trials=1)
    trial = a.create_trial("tuner0")
    assert b.create_trial("tuner0").status == "IDLE"
    finish(a, trial)
    assert b.create_trial("tuner0").status == "STOPPED"


def test_a_dead_workers_trial_is_taken_over_and_counts_once(tmp_path):
    a, b = two_oracles(tmp_path, max_trials=2)
    lost = a.create_trial("tuner0")
    a.study.backend._held.release()  # what the system does when a process dies
    taken = b.create_trial("tuner0")
    assert taken.hyperparameters.values == lost.hyperparameters.values
    assert taken.trial_id != lost.trial_id
    finish(b, taken, 0.5)
    finish(a, lost, 0.1)  # the worker was alive after all
    assert lost.status == "FAILED"
    assert "given to another worker" in lost.message
    assert a.report(lost.trial_id, 0.1, 1), "and is told to stop"
    last = b.create_trial("tuner0")
    finish(b, last, 0.7)
    assert b.create_trial("tuner0").status == "STOPPED"
    assert sorted(trial.value for trial in b.study.trials().values()) == [0.5, 0.7]


def test_a_success_whose_worker_dies_while_it_is_stored_is_run_again(tmp_path, monkeypatch):
    def die(*arguments):
        raise KeyboardInterrupt

    a, b = two_oracles(tmp_path, max_trials=1)
    lost = a.create_trial("tuner0")
    monkeypatch.setattr(a.study.storage, "set_trial_state_values", die)
    with pytest.raises(KeyboardInterrupt):
        finish(a, lost)
    taken = b.create_trial("tuner0")
    assert taken.status == "RUNNING"
    finish(b, taken, 0.5)
    assert states(b) == ["COMPLETE"]


def test_a_dead_workers_trial_is_not_listed_as_running(tmp_path):
    a, b = two_oracles(tmp_path, max_trials=1)
    lost = a.create_trial("tuner0")
    b.reload()
    assert b.trials[lost.trial_id].status == "RUNNING"
    a.study.backend._held.release()  # what the system does when a process dies
    finish(b, b.create_trial("tuner0"))
    assert b.create_trial("tuner0").status == "STOPPED"
    assert sorted(trial.status for trial in b.trials.values()) == ["COMPLETED", "FAILED"]
    assert "given to another" in b.trials[lost.trial_id].message


def test_a_trial_of_someone_else_in_the_storage_is_told(tmp_path):
    a, _ = two_oracles(tmp_path, max_trials=1)
    a.study.optuna.add_trial(optuna.create_trial(state=TrialState.WAITING))
    with pytest.raises(ValueError, match=r"journal\.log: trial 0 of the study 'study' has no valid attribute"):
        a.create_trial("tuner0")


def test_two_that_add_the_same_trial_run_it_once(tmp_path):
    a, b = two_oracles(tmp_path, sampler="grid")
    first = a.create_trial("tuner0")
    copy = a.study.trials()[1]
    b.study.optuna.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=copy.params,
            distributions=copy.distributions,
            system_attrs=dict(copy.system_attrs),
        )
    )
    finish(a, first)
    ran = [tuple(first.hyperparameters.values.items())]
    while (trial := b.create_trial("tuner0")).status == "RUNNING":
        ran.append(tuple(trial.hyperparameters.values.items()))
        finish(b, trial)
    assert len(set(ran)) == len(ran) == 20
    assert "WAITING" not in [trial.state.name for trial in b.study.optuna.trials]


class Overtaken(Plan):
    """A plan for one process, before whose first proposal is stored another process stores its own."""

    def __init__(self):
        self.other = None

    def configuration(self, position, history):
        if self.other is not None:
            study, self.other = self.other, None
            study.optuna.add_trial(self.proposal(0.1, system_attrs={INDEX: 0}))
        return self.proposal(0.2)

    def proposal(self, rate, **options):
        ranges = {"learning_rate": optuna.distributions.FloatDistribution(1e-3, 3.0)}
        return optuna.create_trial(
            state=TrialState.WAITING, params={"learning_rate": rate}, distributions=ranges, **options
        )


def test_all_seeds_have_the_first_of_two_proposals(tmp_path):
    plan = Overtaken()
    a, b = two_oracles(tmp_path, sampler=plan, seeds=3, max_trials=3)
    plan.other = a.study
    b.create_trial("tuner0")
    trials = b.study.trials()
    assert [trial.params["learning_rate"] for trial in trials.values()] == [0.1] * 3
    assert [trial.state.name for trial in trials.values()] == ["RUNNING", "WAITING", "WAITING"]
    b.study.backend._held.release()  # what the system does when a process dies
    assert a.create_trial("tuner0").hyperparameters.values == {"learning_rate": 0.1, "seed": 0}


def test_half_a_line_of_a_killed_writer_does_no_harm(tmp_path):
    tuner = search(tmp_path, max_trials=3)
    journal = tmp_path / "toy" / storages.JOURNAL
    before = journal.read_bytes()
    with journal.open("ab") as file:
        file.write(b'{"op_code":5,"worker_id":"x"')
    again = search(tmp_path, max_trials=6)
    assert len(again.ran) == 3
    assert journal.read_bytes().startswith(before)
    assert len(again.oracle.study.trials()) == 6
    assert [trial.value for trial in list(again.oracle.study.trials().values())[:3]] == [
        bowl(**values) for values in tuner.ran
    ]


def test_trials_go_to_who_has_the_compiled_model(tmp_path):
    a, b = two_oracles(tmp_path, sampler="grid", cheap=("learning_rate",))
    depths = {a: [], b: []}
    for _ in range(10):
        trials = [(oracle, oracle.create_trial("tuner0")) for oracle in (a, b)]
        for oracle, trial in trials:
            depths[oracle].append(trial.hyperparameters.get("depth"))
            finish(oracle, trial)
    assert depths == {a: [8] * 10, b: [14] * 10}


def test_a_budget_ends_the_search(tmp_path, monkeypatch):
    clock = itertools.count(100.0, 1.0)
    monkeypatch.setattr("bnzoo.tuning.oracle.time.monotonic", lambda: next(clock))
    assert len(search(tmp_path, budget=5.5).ran) == 5


def test_the_storage_is_optunas_own(tmp_path):
    tuner = search(tmp_path, max_trials=4, study_name="mine")
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "toy" / storages.JOURNAL))
    study = optuna.load_study(study_name="mine", storage=optuna.storages.JournalStorage(backend))
    assert [trial.value for trial in study.trials] == [bowl(**values) for values in tuner.ran]
    assert study.best_params == min(tuner.ran, key=lambda values: bowl(**values))


def test_optuna_dashboard_opens_it(tmp_path):
    dashboard = pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    search(tmp_path, max_trials=4, study_name="mine")
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "toy" / storages.JOURNAL))
    app = dashboard.wsgi(optuna.storages.JournalStorage(backend))

    def get(path):
        answer = []
        environment = {"PATH_INFO": path}
        wsgiref.util.setup_testing_defaults(environment)
        body = app(environment, lambda status, headers, error=None: answer.append(status))
        assert answer == ["200 OK"]
        return json.loads(b"".join(body))

    (summary,) = get("/api/studies")["study_summaries"]
    assert summary["study_name"] == "mine"
    trials = get(f"/api/studies/{summary['study_id']}")["trials"]
    assert [trial["state"] for trial in trials] == ["Complete"] * 4


def test_a_database_that_cannot_be_used_is_told(tmp_path):
    for url, message in (
        ("nonsense", "must be an SQLAlchemy URL"),
        ("postgresql://me:secret@127.0.0.1:1/x", "cannot be used"),
        ("oracle+nothing://x/y", "no driver|must be an SQLAlchemy URL|cannot be used"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            search(tmp_path, storage=url)
        assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sampler": "tp"}, ValueError, "Unknown `sampler`: 'tp'. Did you mean 'tpe'"),
        ({"pruner": "halving"}, ValueError, "Unknown `pruner`"),
        ({"max_trials": 0}, ValueError, "`max_trials` must be a positive integer"),
        ({"seeds": 0}, ValueError, "`seeds` must be a positive integer"),
    ],
)
def test_mistakes_are_told(options, error, message):
    with pytest.raises(error, match=message):
        OptunaOracle("loss", **options)


class ReverseLog(keras_tuner.HyperModel):
    def build(self, hp):
        hp.Float("momentum", 0.1, 0.99, sampling="reverse_log")


def test_what_optuna_cannot_sample_is_told(tmp_path):
    with pytest.raises(ValueError, match="'momentum': Optuna does not support sampling='reverse_log'"):
        search(tmp_path, lambda **values: 0.0, ReverseLog(), max_trials=1)


PRUNERS = ("successive_halving", "hyperband", "median")
RATES = [3.0, 10.0, 0.01, 30.0, 0.1, 100.0, 300.0, 1e3, 3e3, 1e4]


class Linear(keras_tuner.HyperModel):
    """A real model for a tuner of Keras Tuner: four of five learning rates diverge."""

    def build(self, hp):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        rate = hp.Choice("learning_rate", RATES)
        # eagerly, because tracing a graph takes longer than so few steps
        model.compile(keras.optimizers.SGD(rate), "mse", run_eagerly=True)
        return model


class Curves(keras_tuner.HyperModel):
    """The learning rates of `Linear`, without a model."""

    def build(self, hp):
        hp.Choice("learning_rate", RATES)


class Reporting(Toy):
    """A tuner that reports a loss for each of nine epochs. Rates above 1 diverge; 0.1 is the best."""

    def run_trial(self, trial, **options):
        rate = trial.hyperparameters.get("learning_rate")
        loss = 0.0
        for epoch in range(1, 10):
            loss = rate**epoch if rate > 1 else self.score(rate) / epoch
            if self.oracle.report(trial.trial_id, loss, epoch):
                break
        return {"loss": loss}


@pytest.mark.parametrize("pruner", PRUNERS)
def test_what_a_planted_curve_shows_to_be_worse_is_pruned(tmp_path, pruner):
    oracle = OptunaOracle(keras_tuner.Objective("loss", "min"), sampler="grid", pruner=pruner)
    Reporting(oracle, lambda rate: 0.1 + abs(math.log10(rate) + 1), tmp_path, Curves()).search(verbose=0)
    trials = oracle.study.trials().values()
    steps = {trial.params["learning_rate"]: len(trial.intermediate_values) for trial in trials}
    assert list(steps) == RATES
    assert steps[0.1] == 9, "the best runs to its end"
    assert oracle.get_best_trials()[0].hyperparameters.get("learning_rate") == 0.1
    pruned = {trial.params["learning_rate"] for trial in trials if trial.state == TrialState.PRUNED}
    assert pruned == {rate for rate in RATES if steps[rate] < 9}
    assert len(pruned) >= 3
    assert min(pruned) > 0.1


@pytest.mark.parametrize("pruner", tiered(PRUNERS, slow=("successive_halving",)))
def test_any_tuner_is_pruned_though_most_diverge(tmp_path, pruner):
    random = np.random.default_rng(0)
    x = random.normal(size=(64, 4)).astype("float32")
    y = x @ np.array([[1.0], [-2.0], [0.5], [3.0]], "float32")
    oracle = OptunaOracle(keras_tuner.Objective("val_loss", "min"), sampler="grid", pruner=pruner)
    tuner = keras_tuner.Tuner(oracle, Linear(), directory=tmp_path, project_name="linear")
    tuner.search(x, y, epochs=9, validation_data=(x, y), verbose=0, callbacks=[PruningCallback(oracle)])
    trials = oracle.study.trials()
    steps = {trial.params["learning_rate"]: len(trial.intermediate_values) for trial in trials.values()}
    assert len(trials) == 10
    assert oracle.get_best_trials()[0].hyperparameters.get("learning_rate") == 0.1
    assert steps[0.1] == 9, "the best runs to its end"
    if pruner != "hyperband":  # whose brackets let some run unpruned
        assert sum(steps.values()) < 60
        assert TrialState.PRUNED in {trial.state for trial in trials.values()}
    (best,) = oracle.get_best_trials()
    assert tuner.get_best_models()[0].evaluate(x, y, verbose=0) == pytest.approx(best.score, rel=1e-4)
