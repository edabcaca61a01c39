"""Compare a study with `keras_tuner.RandomSearch` and `keras_tuner.Hyperband` for the same seconds.

python -m recipes.benchmarks.tuning [--seconds 40] [--seeds 5] [--workers 1]

All arms search the same space (`ResNetSpace`: 3 depths, a continuous learning rate, batch norm) on the digits. A full
trial has 9 epochs. The budget includes building, tracing and compiling, but no imports and no loading of data. Each run
has a separate process, and the arms alternate. A trial that is still running at the end of the budget does not count,
and neither does its model.

The best model of each arm is recalibrated on the training data and evaluated. The results of each run, and their
medians over seeds, are:

finished          trials that ended as ok, stalled, diverged or pruned. Hyperband's promotions count as separate trials,
                  as in Keras Tuner
complete          finished trials with all epochs
configurations    different hyperparameters of the finished trials
epochs            total epochs of the finished trials
validation, test  accuracy of the best model, in %
compiling         time in which bnzoo built, traced and compiled networks, in % of the time of its workers

`--workers` sets the worker processes of bnzoo. A tuner of Keras Tuner has one process. `python -m
recipes.benchmarks.tuning ARM` runs one arm, which reads `run SECONDS SEED WORKERS` from its input.
"""

import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import keras
import keras_tuner
import pandas as pd
import typer

from bnzoo import data, tools, tuning
from recipes.benchmarks.paired import paired, printed
from recipes.benchmarks.turns import Worker, rotated, serve

EPOCHS, BATCH_SIZE = 9, 64
ENDLESS = 10_000  # trials, or iterations of Hyperband, so that only the budget ends a search
FIGURES = ["finished", "complete", "configurations", "epochs", "validation", "test", "compiling"]


def new_space() -> tuning.Space:
    """Return the space of every arm."""
    return tuning.ResNetSpace(depths=(8, 14, 20), learning_rates=(1e-3, 3.0), norms=("batch",), batch_size=BATCH_SIZE)


class OutOfTime(keras_tuner.errors.FatalError):
    """Error that ends a search of Keras Tuner. Other errors only fail the trial."""


class Budget:
    """A budget of seconds, from its creation."""

    def __init__(self, seconds: float) -> None:
        self.end = time.time() + seconds

    @property
    def left(self) -> float:
        """The seconds left, negative after the end of the budget."""
        return self.end - time.time()

    def check(self) -> None:
        """Raise `OutOfTime` after the end of the budget."""
        if self.left < 0:
            raise OutOfTime


@dataclass(frozen=True)
class Trial:
    """A trial that finished within the budget.

    Attributes:
        values: Dict, its hyperparameters.
        first: Integer, the epochs of its weights at its start.
        last: Integer, the epochs of its weights at its end.
    """

    values: dict[str, Any]
    first: int
    last: int


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        trials: List of `Trial`s.
        model: The best model, or `None`.
        note: String, failures and an early end.
        compile_seconds: Float, the time to build, trace and compile the networks of the trials; NaN if it is unknown.
    """

    trials: list[Trial]
    model: keras.Model | None
    note: str
    compile_seconds: float = math.nan


def bnzoo_search(digits: data.Dataset, folder: str, budget: Budget, seed: int, workers: int) -> SearchResult:
    """Run a study of bnzoo with TPE and successive halving."""
    study = tuning.Study(
        new_space(),
        digits,
        Path(folder) / "study",
        epochs=EPOCHS,
        sampler="tpe",
        pruner="successive_halving",
        sampler_seed=seed,
        checkpoints=1 + workers,  # one, and one for each trial that may end too late
    )
    study.run(lambda *event: None, workers=workers, budget=budget.left)
    in_time = [t for t in study.results.trials if t.started + t.compile_seconds + t.train_seconds <= budget.end]
    trials = [Trial(t.values, 0, len(t.history["loss"])) for t in in_time if t.outcome != "failed"]
    failures = [t.reason for t in in_time if t.outcome == "failed"]
    best = tuning.Results(in_time, study.definition).best
    model = None if best is None else study.model(best)
    return SearchResult(trials, model, note(failures), sum(t.compile_seconds for t in in_time))


def stock_search(kind: type[keras_tuner.Tuner], **options: Any) -> Callable[..., SearchResult]:
    """Return a function that runs a tuner of Keras Tuner.

    Args:
        kind: The tuner class.
        **options: Arguments of the tuner. All other arguments have their defaults.
    """

    def search(digits: data.Dataset, folder: str, budget: Budget, seed: int, workers: int) -> SearchResult:
        space = new_space().for_data(digits)
        tuner = recording_in_time(kind, budget)(space, objective="val_accuracy", seed=seed, directory=folder, **options)
        end = search_until(budget, tuner, digits)
        every = [tuner.oracle.trials[number] for number in tuner.oracle.end_order]
        done = [trial for trial in every if trial.status == "COMPLETED"]
        model = tuner.load_model(max(done, key=lambda trial: trial.score)) if done else None
        failures = [trial.message.strip().splitlines()[-1] for trial in every if trial.message]
        return SearchResult([stock_trial(trial.hyperparameters.values) for trial in done], model, note(failures, end))

    return search


def recording_in_time(kind: type[keras_tuner.Tuner], budget: Budget) -> type[keras_tuner.Tuner]:
    """Return a subclass of the tuner that does not record a trial after the end of the budget."""

    class InTime(kind):
        def on_trial_end(self, trial: Any) -> None:
            budget.check()
            super().on_trial_end(trial)

    return InTime


def search_until(budget: Budget, tuner: keras_tuner.Tuner, digits: data.Dataset) -> str:
    """Search until the end of the budget, and return the reason of an earlier end."""

    def check(batch: int, logs: dict[str, Any]) -> None:
        budget.check()

    try:
        tuner.search(
            *digits.train,
            epochs=EPOCHS,
            batch_size=BATCH_SIZE,
            validation_data=tuple(digits.validation),
            callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=check, on_test_batch_end=check)],
            verbose=0,
        )
    except OutOfTime:
        return ""
    except RuntimeError as error:  # raised by Keras Tuner after three consecutive failures
        if "consecutive failures" not in str(error):
            raise
        return f"ended after consecutive failures, {budget.left:.0f} s early"
    return f"ended {budget.left:.0f} s early"


def stock_trial(values: dict[str, Any]) -> Trial:
    """Return a trial of Keras Tuner without the internal hyperparameters of Hyperband."""
    own = {name: value for name, value in values.items() if not name.startswith("tuner/")}
    return Trial(own, values.get("tuner/initial_epoch", 0), values.get("tuner/epochs", EPOCHS))


def note(failures: Sequence[str], end: str = "") -> str:
    """Return the number of failed trials, the last error, and the reason of an early end, as text."""
    return "; ".join(filter(None, [f"{len(failures)} failed ({failures[-1]})" if failures else "", end]))


ARMS = {
    "bnzoo": bnzoo_search,
    "RandomSearch": stock_search(keras_tuner.RandomSearch, max_trials=ENDLESS),
    "Hyperband": stock_search(keras_tuner.Hyperband, max_epochs=EPOCHS, hyperband_iterations=ENDLESS),
}


class Arm:
    """A search method, run in a worker process.

    Args:
        name: String, one of `ARMS`.
    """

    def __init__(self, name: str) -> None:
        self.search = ARMS[name]
        self.digits = data.load("digits")

    def run(self, seconds: str, seed: str, workers: str) -> dict[str, Any]:
        """Run a search, and return its row of the table."""
        keras.utils.set_random_seed(int(seed))
        with tempfile.TemporaryDirectory() as folder:
            result = self.search(self.digits, folder, Budget(float(seconds)), int(seed), int(workers))
        compiling = 100 * result.compile_seconds / (float(seconds) * int(workers))
        figures = {**counts(result.trials), **self.accuracies(result.model), "compiling": compiling}
        return figures | {"note": result.note}

    def accuracies(self, model: keras.Model | None) -> dict[str, float]:
        """Return the accuracies of a model in percent, with the statistics of the training data."""
        if model is None:
            return {"validation": math.nan, "test": math.nan}
        tools.recalibrate_batch_norm(model, self.digits.train.x)
        splits = {"validation": self.digits.validation, "test": self.digits.test}
        right = {name: model.predict(split.x, verbose=0).argmax(-1) == split.y for name, split in splits.items()}
        return {name: 100 * float(each.mean()) for name, each in right.items()}


def counts(trials: Sequence[Trial]) -> dict[str, int]:
    """Return the numbers of trials, complete trials, configurations and epochs."""
    return {
        "finished": len(trials),
        "complete": sum(trial.last == EPOCHS for trial in trials),
        "configurations": len({tuple(sorted(trial.values.items())) for trial in trials}),
        "epochs": sum(trial.last - trial.first for trial in trials),
    }


def runs(seconds: float, seeds: int, workers: int) -> Iterator[dict[str, Any]]:
    """Yield a row for every seed and arm. The order of the arms changes with the seed."""
    for seed in range(1, seeds + 1):  # Keras Tuner treats a seed of 0 as none
        for name in rotated(list(ARMS), seed):
            with Worker(name, "recipes.benchmarks.tuning", name) as worker:
                yield {"seed": seed, "arm": name, **worker.ask(f"run {seconds} {seed} {workers}")}


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each arm with medians over seeds, and a comparison with bnzoo paired by seed.

    `validation` figures are accuracies on the examples that chose the model, and favour the arm with the most trials.
    `test` figures are accuracies on examples that the search has not seen.

    Args:
        frame: Data frame of the rows of `runs`.

    Returns:
        A data frame with the columns `FIGURES` and those of `paired`.
    """
    table = frame.groupby("arm")[FIGURES].median().reindex([arm for arm in ARMS if arm in set(frame["arm"])])
    return table.join(paired(frame, "finished", ["validation", "test"]))


def main(
    seconds: Annotated[float, typer.Option(help="Budget of each search in seconds.", min=1)] = 40,
    seeds: Annotated[int, typer.Option(help="Searches per arm.", min=1)] = 5,
    workers: Annotated[int, typer.Option(help="Worker processes of bnzoo.", min=1)] = 1,
) -> None:
    """Search with bnzoo, RandomSearch and Hyperband for the same seconds, in turns."""
    rows = []
    for row in runs(seconds, seeds, workers):
        rows.append(row)
        print(line(row), flush=True)
    print(f"\nmedians of {seeds} seeds, {seconds:g} s each, {workers} worker(s) of bnzoo")
    print(printed(summary(pd.DataFrame(rows))))


def line(row: dict[str, Any]) -> str:
    """Format a run as one line."""
    figures = ", ".join(f"{row[name]:4} {name}" for name in FIGURES[:4])
    best = f"best {row['validation']:.2f} % validation, {row['test']:.2f} % test" if row["finished"] else "no model"
    return "; ".join(filter(None, [f"seed {row['seed']} {row['arm']:12} {figures}", best, row["note"]]))


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in ARMS:
        serve(lambda: Arm(sys.argv[1]))
    else:
        typer.run(main)
