"""Several workers: processes of one machine, and machines that share only a database."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import keras
import numpy as np
import optuna
import pytest
import sqlalchemy.exc
from optuna.trial import TrialState
from portable import ON_LINUX, ON_POSIX

from bnzoo import tuning
from bnzoo.tuning import workers
from bnzoo.tuning.checkpoints import open_checkpoints
from bnzoo.tuning.shared import SharedStudy
from bnzoo.tuning.storage.database import RetryingStorage, retrying
from bnzoo.tuning.storage.forwarding import ForwardingStorage

SPACE = {"depths": (1, 2), "learning_rates": (0.01, 1.0, 4), "norms": ("batch", None), "width": 16, "batch_size": 16}
TRIALS = 16

# A machine is a process with its own folder. Heartbeats and timeouts are shorter than in practice.
MACHINE = """
    import sys
    from bnzoo import data, tuning
    from bnzoo.tuning.storage import database

    examples, folder, url, epochs, beat, workers = sys.argv[1:]
    database.HEARTBEAT, database.GRACE_PERIOD = float(beat), 8 * float(beat)
    space = tuning.MLPSpace(
        depths=(1, 2), learning_rates=(0.01, 1.0, 4), norms=("batch", None), width=16, batch_size=16
    )
    study = tuning.Study(space, data.load(examples), folder, epochs=int(epochs), storage=url or None, name="shared")
    study.run(lambda study, event: print(getattr(event, "trial", "begins"), flush=True), workers=int(workers))
    study.report()
"""


class Machine:
    def __init__(self, examples, folder, url="", epochs=2, beat=1.0, workers=1):
        arguments = (examples.name, folder, url, epochs, beat, workers)
        command = [sys.executable, "-c", textwrap.dedent(MACHINE), *map(str, arguments)]
        self.folder = folder
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.getcwd(), "CUDA_VISIBLE_DEVICES": "-1"},
        )

    def lines(self, count):
        return [self.process.stdout.readline().strip() for _ in range(count)]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        return self.process.wait()

    def end(self):
        _, errors = self.process.communicate(timeout=400)
        assert self.process.returncode == 0, errors
        return json.loads((self.folder / "results.json").read_text())["trials"]


def alone(few_digits, folder, epochs=2):
    study = tuning.Study(tuning.MLPSpace(**SPACE), few_digits, folder, epochs=epochs)
    study.run(lambda study, event: None)
    return study


def assert_same(results, others):
    """Return the results that do not depend on the worker or the time. Other thread counts sum in another order."""
    for a, b in zip(results.trials, others.trials, strict=True):
        assert (a.trial, a.values, a.seed, a.outcome) == (b.trial, b.values, b.seed, b.outcome)
        assert a.score == pytest.approx(b.score, abs=0.02)


class Counted(tuning.MLPSpace):
    """A space that writes a line for each network that a process builds and compiles."""

    def build(self, hp):
        with open(os.environ["BUILT"], "a") as file:
            file.write(f"{os.getpid()}\n")
        return super().build(hp)


@pytest.mark.slow
def test_two_processes_find_what_one_does(few_digits, tmp_path, monkeypatch):
    monkeypatch.setenv("BUILT", str(tmp_path / "built"))
    one = alone(few_digits, tmp_path / "one")
    two = tuning.Study(Counted(**SPACE), few_digits, tmp_path / "two", epochs=2)
    told = []
    two.run(lambda study, event: told.append(event.trial), workers=2)
    assert sorted(told) == list(range(TRIALS))
    assert_same(two.results, one.results)
    workers = {trial.worker for trial in two.results.trials}
    assert len(workers) == 2
    built = (tmp_path / "built").read_text().split()
    assert set(built) == {worker.rpartition(":")[2] for worker in workers}
    assert len(built) in (4, 5), "each of the four architectures was compiled by one of them, the last perhaps twice"
    assert two.results.best.values == one.results.best.values
    loss, _ = two.best_model().evaluate(*few_digits.validation, verbose=0)
    assert loss == pytest.approx(two.results.best.loss, rel=1e-5)


def test_a_worker_has_what_its_start_has_left_of_the_budget(monkeypatch):
    worked = []
    study = SimpleNamespace(work=lambda **bounds: worked.append(bounds))
    monkeypatch.setattr("bnzoo.tuning.study.Study", lambda **arguments: study)
    monkeypatch.setattr(workers, "end_with_parent", lambda: None)
    monkeypatch.setattr(workers, "time", SimpleNamespace(time=lambda: 100.0))
    for deadline in (None, 130.0, 99.0):
        workers._work({}, deadline, 5, True, None)
    bounds = {"trials": 5, "confirming": True}
    assert worked == [{"budget": None, **bounds}, {"budget": 30.0, **bounds}], "none after the deadline"


def test_workers_share_the_cores(monkeypatch):
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    monkeypatch.setattr(workers, "available_cores", lambda: 8)
    monkeypatch.setenv(names[0], "5")
    for name in names[1:]:
        monkeypatch.delenv(name, raising=False)
    for count, share in ((3, "2"), (16, "1")):
        with workers.cores_shared(count):
            assert [os.environ[name] for name in names] == [share] * 3
        assert [os.environ.get(name) for name in names] == ["5", None, None], "as before"


class Deadly(tuning.MLPSpace):
    """A space that kills the process at depth 2, like a machine that is out of memory."""

    def build(self, hp):
        if hp.get("depth") == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().build(hp)


@ON_POSIX
@pytest.mark.slow
def test_if_all_workers_die_it_is_told_and_what_is_done_stays(few_digits, tmp_path):
    study = tuning.Study(Deadly(**SPACE), few_digits, tmp_path / "s", epochs=2)
    with pytest.raises(RuntimeError, match=r"All 2 workers died \(exit codes -9, -9\).*workers\.log"):
        study.run(lambda study, event: None, workers=2)
    done = len(study.refresh())
    assert 0 < done < TRIALS
    mended = tuning.Study(tuning.MLPSpace(**SPACE), few_digits, tmp_path / "s", epochs=2)
    mended.run(lambda study, event: None)
    assert len(mended.results) == TRIALS


@ON_POSIX
@pytest.mark.slow
def test_workers_end_with_their_parent(few_digits, tmp_path):
    machine = Machine(few_digits, tmp_path / "s", epochs=40, workers=2)
    machine.lines(1)
    machine.kill()
    machine.process.communicate(timeout=60)  # until the workers, which inherit the output, have ended
    study = tuning.Study(tuning.MLPSpace(**SPACE), few_digits, tmp_path / "s", epochs=40)
    assert 0 < len(study.results) < TRIALS


def completed(url):
    """Return the number of completed trials of each configuration, from Optuna."""
    study = optuna.load_study(study_name="shared", storage=url.replace("://", "+psycopg://"))
    ends = [t.system_attrs["bnzoo:index"] for t in study.trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    return {index: ends.count(index) for index in ends}


@ON_POSIX
@pytest.mark.parametrize(
    "kills", [pytest.param(3, marks=pytest.mark.slow), pytest.param(10, marks=pytest.mark.nightly)]
)
def test_killed_again_and_again_nothing_is_lost_and_nothing_done_twice(few_digits, tmp_path, postgres, kills):
    """Each worker is killed in its first trial, directly after it, or in its second."""
    url = postgres.new_database()
    chance = random.Random(5)
    finished = {}
    for number in range(kills):
        victim = Machine(few_digits, tmp_path / f"victim{number}", url)
        if number == kills // 2:
            survivor = Machine(few_digits, tmp_path / "survivor", url)
        victim.lines(chance.randint(1, 3))
        assert victim.kill() in (-signal.SIGKILL, 0)
        now = completed(url)
        assert set(now) >= set(finished), "a finished trial was lost"
        finished = now
    late = Machine(few_digits, tmp_path / "late", url)
    for machine in (survivor, late):
        trials = machine.end()
        assert [trial["trial"] for trial in trials] == list(range(TRIALS)), "each has the whole table"
        assert (machine.folder / "report.html").exists()
        assert (machine.folder / "best.keras").exists()
    assert completed(url) == dict.fromkeys(range(TRIALS), 1)
    one = alone(few_digits, tmp_path / "one")
    shared = tuning.Study(tuning.MLPSpace(**SPACE), few_digits, tmp_path / "x", epochs=2, storage=url, name="shared")
    assert_same(shared.results, one.results)


@pytest.mark.slow
def test_whoever_asks_a_database_that_is_away_is_answered_when_it_is_back(tmp_path, postgres):
    url = postgres.new_database()
    shared = SharedStudy(url, tmp_path, "shared")
    other = SharedStudy(url, tmp_path, "shared", pruner="median")
    models = open_checkpoints(shared.backend, "shared", tmp_path)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    waiting = optuna.create_trial(state=TrialState.WAITING, system_attrs={"bnzoo:index": 0})

    def begin():
        assert shared.claim(shared.trials()[0])

    asked = [
        lambda: shared.optuna.add_trial(waiting),
        begin,
        lambda: shared.set_attribute("what", 1),
        lambda: shared.set_trial_attribute(0, "what", 2),
        lambda: other.report(0, 0.5, 1),
        lambda: models.save(0, model),
        lambda: shared.end(0, TrialState.COMPLETE, 0.5),
        lambda: other.fail_abandoned(),
    ]
    with ThreadPoolExecutor(1) as pool:
        for ask in asked:
            with postgres.away():
                answer = pool.submit(ask)
                with pytest.raises(TimeoutError):
                    answer.result(0.3)
            answer.result(30)
    assert other.get_attribute("what") == 1
    (trial,) = other.trials().values()
    assert (trial.value, trial.system_attrs["what"], trial.intermediate_values) == (0.5, 2, {1: 0.5})
    np.testing.assert_array_equal(keras.saving.load_model(models.fetch(0)).get_weights()[0], model.get_weights()[0])


class Flaky(ForwardingStorage):
    """A storage whose connection is lost at the first call of each method."""

    def __init__(self):
        self.called = set()
        super().__init__(optuna.storages.InMemoryStorage())

    def call(self, method, *args, **kwargs):
        if method.__name__ not in self.called:
            self.called.add(method.__name__)
            raise sqlalchemy.exc.OperationalError("SELECT", {}, Exception("server closed the connection"))
        return super().call(method, *args, **kwargs)


def test_each_call_of_a_storage_is_retried_after_a_lost_connection(monkeypatch):
    monkeypatch.setattr("bnzoo.tuning.storage.database.time.sleep", lambda seconds: None)
    flaky = Flaky()
    study = optuna.create_study(storage=RetryingStorage(flaky), sampler=optuna.samplers.RandomSampler(0))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert [trial.value for trial in study.trials] == [trial.params["x"] for trial in study.trials]
    assert flaky.called >= {"create_new_study", "create_new_trial", "set_trial_param", "set_trial_state_values"}


def test_an_error_that_hides_a_lost_connection_is_retried(monkeypatch):
    """Optuna queries again in the session whose connection was lost, and raises the error of that query."""
    monkeypatch.setattr("bnzoo.tuning.storage.database.time.sleep", lambda seconds: None)
    failed = optuna.exceptions.StorageInternalError("An exception is raised during the commit.")
    rolled_back = sqlalchemy.exc.PendingRollbackError("Can't reconnect until invalid transaction is rolled back")
    rolled_back.__context__ = sqlalchemy.exc.OperationalError("SELECT", {}, Exception("server closed the connection"))
    asked = []

    def lost_once():
        asked.append("again" if asked else "first")
        if len(asked) == 1:
            raise failed from rolled_back
        return "answer"

    def wrong():
        raise failed from sqlalchemy.exc.DataError("INSERT", {}, Exception("too long"))

    assert retrying(lost_once)() == "answer"
    assert asked == ["first", "again"]
    with pytest.raises(optuna.exceptions.StorageInternalError):
        retrying(wrong)()


@pytest.mark.parametrize(
    "seconds", [pytest.param(3, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.nightly)]
)
def test_the_database_goes_away_for_a_while(few_digits, tmp_path, postgres, seconds):
    """The outage is more than twice the timeout of a worker's heartbeat."""
    url = postgres.new_database()
    options = {"epochs": 2 * seconds, "beat": seconds / 20}
    machines = [Machine(few_digits, tmp_path / str(number), url, **options) for number in range(2)]
    before = set(machines[0].lines(4)) - {"begins"}
    with postgres.away(), pytest.raises(subprocess.TimeoutExpired):
        machines[0].process.wait(seconds)
    after = completed(url)
    assert {str(index) for index in after} >= before, "a finished trial was lost"
    for machine in machines:
        assert len(machine.end()) == TRIALS
    assert completed(url) == dict.fromkeys(range(TRIALS), 1)


@ON_LINUX
@pytest.mark.parametrize(
    ("rates", "limit"), [pytest.param(8, 30, marks=pytest.mark.slow), pytest.param(20, 100, marks=pytest.mark.nightly)]
)
def test_trials_leave_the_memory_as_it_was(tmp_path, rates, limit):
    """Return the growth of the memory in MB after the first trial of each of two architectures."""
    script = """
        import resource, sys
        from bnzoo import data, tuning

        def memory():
            pages = int(open("/proc/self/statm").read().split()[1])
            return pages * resource.getpagesize() / 1e6

        seen = {}
        def watch(study, event):
            if isinstance(event, tuning.TrialResult):
                seen[event.trial] = memory()

        rates = int(sys.argv[2])
        space = tuning.ResNetSpace(depths=(8,), learning_rates=(1e-3, 1.0, rates), norms=("batch", None))
        study = tuning.Study(space, data.load("digits"), sys.argv[1], epochs=1)
        study.run(watch)
        print(seen[rates - 1] - seen[0] + seen[2 * rates - 1] - seen[rates])
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "s"), str(rates)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    assert float(done.stdout.split()[-1]) < limit
