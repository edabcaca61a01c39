"""What does a budget of seconds buy, against stock `keras_tuner.RandomSearch` and `keras_tuner.Hyperband`?

python -m recipes.benchmarks.tuning [--seconds 40] [--seeds 5] [--workers 1]

All search the same space (`ResNetSpace`: 3 depths, a continuous learning rate, batch norm) on digits, with 9 epochs for
a full trial. Building, tracing and compiling is in the budget, imports and data are not. Each run is a process of its
own, and the arms take turns. A trial that runs when the seconds are over counts in no arm, and neither does its model.

What each arm holds for its best model gets its statistics recalibrated on the training data and is evaluated, alike for
all. For each run, and as medians over seeds:

finished          trials that came to an end, be it ok, stalled, diverged or pruned. Hyperband's promotions are trials
                  of their own, as Keras Tuner counts them
complete          those of them that have all epochs behind them
configurations    different hyperparameters among the finished
epochs            of all that finished
validation, test  accuracy of the best model, in %

`--workers` are those of bnzoo; a tuner of Keras Tuner is one process. `python -m recipes.benchmarks.tuning ARM` is one
arm, to which `run SECONDS SEED WORKERS` is said on its input.
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
from recipes.benchmarks.turns import Worker, serve

EPOCHS, BATCH_SIZE = 9, 64
ENDLESS = 10_000  # trials, or iterations of Hyperband: only the seconds end a search
FIGURES = ["finished", "complete", "configurations", "epochs", "validation", "test"]


def new_space() -> tuning.Space:
    """What every arm searches."""
    return tuning.ResNetSpace(depths=(8, 14, 20), learning_rates=(1e-3, 3.0), norms=("batch",), batch_size=BATCH_SIZE)


class OutOfTime(keras_tuner.errors.FatalError):
    """Ends a search of Keras Tuner, which takes an error of any other kind for the trial's."""


class Budget:
    """Seconds, from now on."""

    def __init__(self, seconds: float) -> None:
        self.end = time.time() + seconds

    @property
    def left(self) -> float:
        """Seconds, negative when it is used up."""
        return self.end - time.time()

    def check(self) -> None:
        """Raises `OutOfTime` if nothing is left."""
        if self.left < 0:
            raise OutOfTime


@dataclass(frozen=True)
class Trial:
    """A trial that came to an end in time.

    Attributes:
        values: Dict, its hyperparameters.
        first: Integer, the epochs that its weights had behind them when it began.
        last: Integer, the epochs that they had when it ended.
    """

    values: dict[str, Any]
    first: int
    last: int


@dataclass(frozen=True)
class Found:
    """What a search found in its time.

    Attributes:
        trials: List of `Trial`s.
        model: The best model, or `None`.
        note: String, what else happened.
    """

    trials: list[Trial]
    model: keras.Model | None
    note: str


def bnzoo_search(digits: data.Dataset, folder: str, budget: Budget, seed: int, workers: int) -> Found:
    """A study of bnzoo, sampled with TPE and pruned by successive halving."""
    study = tuning.Study(
        new_space(),
        digits,
        Path(folder) / "study",
        epochs=EPOCHS,
        sampler="tpe",
        pruner="successive_halving",
        sampler_seed=seed,
        checkpoints=1 + workers,  # as many as may end too late, and one
    )
    study.run(lambda *event: None, workers=workers, budget=budget.left)
    in_time = [t for t in study.results.trials if t.started + t.compile_seconds + t.train_seconds <= budget.end]
    trials = [Trial(t.values, 0, len(t.history["loss"])) for t in in_time if t.outcome != "failed"]
    failures = [t.reason for t in in_time if t.outcome == "failed"]
    best = tuning.Results(in_time, study.definition).best
    model = None if best is None else study.model(best)
    return Found(trials, model, note(failures))


def stock_search(kind: type[keras_tuner.Tuner], **options: Any) -> Callable[..., Found]:
    """The search of a tuner of Keras Tuner.

    Args:
        kind: The tuner.
        **options: For it; what is not among them is left at its default.
    """

    def search(digits: data.Dataset, folder: str, budget: Budget, seed: int, workers: int) -> Found:
        space = new_space().for_data(digits)
        tuner = recording_in_time(kind, budget)(space, objective="val_accuracy", seed=seed, directory=folder, **options)
        end = search_until(budget, tuner, digits)
        every = [tuner.oracle.trials[number] for number in tuner.oracle.end_order]
        done = [trial for trial in every if trial.status == "COMPLETED"]
        model = tuner.load_model(max(done, key=lambda trial: trial.score)) if done else None
        failures = [trial.message.strip().splitlines()[-1] for trial in every if trial.message]
        return Found([stock_trial(trial.hyperparameters.values) for trial in done], model, note(failures, end))

    return search


def recording_in_time(kind: type[keras_tuner.Tuner], budget: Budget) -> type[keras_tuner.Tuner]:
    """The same tuner, which does not record a trial that ends after the budget."""

    class InTime(kind):
        def on_trial_end(self, trial: Any) -> None:
            budget.check()
            super().on_trial_end(trial)

    return InTime


def search_until(budget: Budget, tuner: keras_tuner.Tuner, digits: data.Dataset) -> str:
    """Searches until the budget is used up; how it ended, if it ended before."""

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
    except RuntimeError as error:  # what Keras Tuner raises after three failures in a row
        if "consecutive failures" not in str(error):
            raise
        return f"ended by failures in a row, {budget.left:.0f} s early"
    return f"ended by itself, {budget.left:.0f} s early"


def stock_trial(values: dict[str, Any]) -> Trial:
    """A trial of Keras Tuner, whose Hyperband keeps its own words among the hyperparameters."""
    own = {name: value for name, value in values.items() if not name.startswith("tuner/")}
    return Trial(own, values.get("tuner/initial_epoch", 0), values.get("tuner/epochs", EPOCHS))


def note(failures: Sequence[str], end: str = "") -> str:
    """How many trials failed, why the last of them did, and how the search ended."""
    return "; ".join(filter(None, [f"{len(failures)} failed ({failures[-1]})" if failures else "", end]))


ARMS = {
    "bnzoo": bnzoo_search,
    "RandomSearch": stock_search(keras_tuner.RandomSearch, max_trials=ENDLESS),
    "Hyperband": stock_search(keras_tuner.Hyperband, max_epochs=EPOCHS, hyperband_iterations=ENDLESS),
}


class Arm:
    """One way to search, in its process.

    Args:
        name: String, one of `ARMS`.
    """

    def __init__(self, name: str) -> None:
        self.search = ARMS[name]
        self.digits = data.load("digits")

    def run(self, seconds: str, seed: str, workers: str) -> dict[str, Any]:
        """One search, as a row of the table."""
        keras.utils.set_random_seed(int(seed))
        with tempfile.TemporaryDirectory() as folder:
            found = self.search(self.digits, folder, Budget(float(seconds)), int(seed), int(workers))
        return {**counts(found.trials), **self.accuracies(found.model), "note": found.note}

    def accuracies(self, model: keras.Model | None) -> dict[str, float]:
        """In percent, with the statistics of the training data."""
        if model is None:
            return {"validation": math.nan, "test": math.nan}
        tools.recalibrate_batch_norm(model, self.digits.train.x)
        splits = {"validation": self.digits.validation, "test": self.digits.test}
        right = {name: model.predict(split.x, verbose=0).argmax(-1) == split.y for name, split in splits.items()}
        return {name: 100 * float(each.mean()) for name, each in right.items()}


def counts(trials: Sequence[Trial]) -> dict[str, int]:
    """What the trials come to."""
    return {
        "finished": len(trials),
        "complete": sum(trial.last == EPOCHS for trial in trials),
        "configurations": len({tuple(sorted(trial.values.items())) for trial in trials}),
        "epochs": sum(trial.last - trial.first for trial in trials),
    }


def runs(seconds: float, seeds: int, workers: int) -> Iterator[dict[str, Any]]:
    """A row for every seed and arm; who goes first changes with the seed."""
    names = list(ARMS)
    for seed in range(1, seeds + 1):  # Keras Tuner takes 0 for none
        first = seed % len(names)
        for name in names[first:] + names[:first]:
            with Worker(name, "recipes.benchmarks.tuning", name) as worker:
                yield {"seed": seed, "arm": name, **worker.ask(f"run {seconds} {seed} {workers}")}


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """A row for each arm: medians over seeds, and bnzoo against it, seed by seed.

    Args:
        found: What `runs` yields.

    Returns:
        A data frame with `FIGURES`, `times finished` (bnzoo's finished trials over the arm's, the median), `at least`
        (the lowest of these) and `validation not below`, `test not below` (in how many seeds bnzoo's best model is at
        least as good; an arm that found none has 0 %).
    """
    by_seed = found.pivot(index="seed", columns="arm", values=FIGURES)
    table = found.groupby("arm")[FIGURES].median().reindex([arm for arm in ARMS if arm in set(found["arm"])])
    for arm in table.index:
        times = by_seed["finished"]["bnzoo"] / by_seed["finished"][arm]
        table.loc[arm, ["times finished", "at least"]] = times.median(), times.min()
        for split in ("validation", "test"):
            accuracy = by_seed[split].fillna(0.0)
            table.loc[arm, f"{split} not below"] = (accuracy["bnzoo"] >= accuracy[arm]).sum()
    return table


def main(
    seconds: Annotated[float, typer.Option(help="The budget of a search.", min=1)] = 40,
    seeds: Annotated[int, typer.Option(help="How many searches of each arm.", min=1)] = 5,
    workers: Annotated[int, typer.Option(help="Processes of bnzoo.", min=1)] = 1,
) -> None:
    """Searches with bnzoo, RandomSearch and Hyperband for the same seconds, in turns."""
    found = []
    for row in runs(seconds, seeds, workers):
        found.append(row)
        print(line(row), flush=True)
    print(f"\nmedians of {seeds} seeds, {seconds:g} s each, {workers} worker(s) of bnzoo")
    print(summary(pd.DataFrame(found)).round(2).to_string())


def line(row: dict[str, Any]) -> str:
    """A run in a line."""
    figures = ", ".join(f"{row[name]:4} {name}" for name in FIGURES[:4])
    best = f"best {row['validation']:.2f} % validation, {row['test']:.2f} % test" if row["finished"] else "no model"
    return "; ".join(filter(None, [f"seed {row['seed']} {row['arm']:12} {figures}", best, row["note"]]))


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in ARMS:
        serve(lambda: Arm(sys.argv[1]))
    else:
        typer.run(main)
