"""The study that three claims share: an MLP of ten hidden layers over learning rates, with batch norm and without."""

import math

import pandas as pd

from bnzoo.tuning import MLPSpace, Results, TrialResult
from recipes.claims.bench import Bench, rows

ARMS = ("batch", "none")
NAMES = {"batch": "batch norm", "none": "no norm"}
COLOURS = {"batch": "C0", "none": "C1"}
EPOCHS = 15
SETUP = (
    "An MLP with ten hidden layers of 64 ReLU units, on scikit-learn's digits (1,169 for training, 269 for validation, "
    "359 for testing). Plain SGD without momentum or weight decay, batches of 64, 15 epochs. The initial learning rate "
    "is one of seven values from 0.01 to 10, and decays along half a cosine."
)


def space(bench: Bench, batch_size: int = 64, schedule: str = "half_cosine") -> MLPSpace:
    """Return the space of the study."""
    points = bench.points(7, quick=5)
    return MLPSpace(
        depths=(10,),
        learning_rates=(0.01, 10.0, points),
        norms=("batch", None),
        placement="post",
        width=64,
        batch_size=batch_size,
        schedule=schedule,
        momentum=0.0,
        weight_decay=0.0,
    )


def measure(bench: Bench) -> pd.DataFrame:
    """Return the rows of the study, with twice the seeds of the bench because its trainings are short."""
    results = bench.study("rates", space(bench), bench.digits, epochs=bench.epochs(EPOCHS), seeds=2 * bench.seeds)
    return with_steps(results, bench, batch_size=64).assign(part="MLP")


def with_steps(results: Results, bench: Bench, batch_size: int) -> pd.DataFrame:
    """Return the rows of a study on the digits, with the training steps of each trial to 90 % validation accuracy."""
    steps = len(bench.digits.train.x) // batch_size
    return rows(results, {"steps_to_90": lambda trial: steps_to(trial, 0.9, steps)})


def steps_to(trial: TrialResult, accuracy: float, steps: int) -> float:
    """Return the training steps of a trial to a validation accuracy, interpolated between epochs; NaN if never.

    Args:
        trial: A `TrialResult`.
        accuracy: Float.
        steps: Integer, the steps of an epoch.
    """
    before = 0.0
    for epoch, after in enumerate(trial.history.get("val_accuracy", ())):
        if after >= accuracy:
            return steps * (epoch + (accuracy - before) / (after - before))
        before = after
    return math.nan
