"""The grid that three claims read: an MLP of ten hidden layers over learning rates, with batch norm and without."""

import math

import pandas as pd

from bnzoo.tuning import MLPSpace, Results, TrialResult
from recipes.claims.bench import Bench, rows

ARMS = ("batch", "none")
NAMES = {"batch": "batch norm", "none": "no norm"}
COLOURS = {"batch": "C0", "none": "C1"}
EPOCHS = 15
SETUP = (
    "An MLP of ten hidden layers of 64 ReLU units on scikit-learn's digits (1,169 to train, 269 to choose by, 359 to "
    "test), plain SGD without momentum or weight decay, batches of 64, 15 epochs, the learning rate falling on half a "
    "cosine from one of seven values between 0.01 and 10."
)


def space(bench: Bench, batch_size: int = 64) -> MLPSpace:
    """The grid."""
    points = bench.points(7, quick=5)
    return MLPSpace(
        depths=(10,),
        learning_rates=(0.01, 10.0, points),
        norms=("batch", None),
        placement="post",
        width=64,
        batch_size=batch_size,
        momentum=0.0,
        weight_decay=0.0,
    )


def measure(bench: Bench) -> pd.DataFrame:
    """The grid's rows, with twice the seeds of the bench: these trainings are short."""
    results = bench.study("rates", space(bench), bench.digits, epochs=bench.epochs(EPOCHS), seeds=2 * bench.seeds)
    return with_steps(results, bench, batch_size=64).assign(part="MLP")


def with_steps(results: Results, bench: Bench, batch_size: int) -> pd.DataFrame:
    """The rows of a study on the digits, with the steps that each trial took to 90 % validation accuracy."""
    steps = len(bench.digits.train.x) // batch_size
    return rows(results, {"steps_to_90": lambda trial: steps_to(trial, 0.9, steps)})


def steps_to(trial: TrialResult, accuracy: float, steps: int) -> float:
    """How many training steps a trial took to a validation accuracy, interpolated between epochs; NaN if never.

    Args:
        trial: A `TrialResult`.
        accuracy: Float.
        steps: Integer, of an epoch.
    """
    before = 0.0
    for epoch, after in enumerate(trial.history.get("val_accuracy", ())):
        if after >= accuracy:
            return steps * (epoch + (accuracy - before) / (after - before))
        before = after
    return math.nan
