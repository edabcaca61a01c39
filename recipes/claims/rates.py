"""The study that three claims share: one network over learning rates, with batch norm and without."""

import math
from functools import partial

import pandas as pd

from bnzoo.tuning import MLPSpace, ResNetSpace, Results, Space, TrialResult
from recipes.claims.bench import Bench, rows
from recipes.claims.networks import FILTERS
from recipes.claims.statistics import LEVEL, LEVEL_ON_IMAGES

ARMS = ("batch", "none")
NAMES = {"batch": "batch norm", "none": "no norm"}
COLOURS = {"batch": "C0", "none": "C1"}
SETUP = (
    "An MLP with ten hidden layers of 64 ReLU units, on scikit-learn's digits (1,169 for training, 269 for validation, "
    "359 for testing). Plain SGD without momentum or weight decay, batches of 64, 15 epochs. The initial learning rate "
    "is one of seven values from 0.01 to 10, and decays along half a cosine."
)
STABLE = (
    "A rate is stable if every seed learned: its losses stay finite, its last training loss is below the loss of "
    "guessing, and its validation loss is below twice the loss of guessing."
)
ON_IMAGES = (
    f"A ResNet-8 with {FILTERS} filters in the first stage. Plain SGD without momentum or weight decay, batches of 64, "
    "4 epochs (8 in the quick run). The initial learning rate is one of seven values from 0.01 to 10, and decays along "
    "half a cosine."
)


def space(bench: Bench, batch_size: int = 64, schedule: str = "half_cosine") -> Space:
    """Return the space of the study: an MLP of ten hidden layers on the digits, a ResNet-8 on images."""
    network = bench.on(
        digits=partial(MLPSpace, depths=(10,), width=64),
        images=partial(ResNetSpace, depths=(8,), filters=FILTERS),
    )
    return network(
        learning_rates=(0.01, 10.0, bench.points(7, quick=5)),
        norms=("batch", None),
        placement="post",
        batch_size=batch_size,
        schedule=schedule,
        momentum=0.0,
        weight_decay=0.0,
    )


def epochs(bench: Bench) -> int:
    """Return the epochs of the study."""
    return bench.epochs(*bench.on(digits=(15, 15), images=(4, 8)))


def measure(bench: Bench) -> pd.DataFrame:
    """Return the rows of the study. On the digits, where its trainings are short, it has twice the seeds."""
    seeds = bench.on(digits=2, images=1) * bench.seeds
    results = bench.study("rates", space(bench), bench.data, epochs=epochs(bench), seeds=seeds)
    return with_steps(results, bench, batch_size=64).assign(part=bench.on(digits="MLP", images="ResNet-8"))


def with_steps(results: Results, bench: Bench, batch_size: int) -> pd.DataFrame:
    """Return the rows of a study, with the training steps of each trial to 90 % validation accuracy.

    On images it is 80 %, because networks of this size do not reach 90 % on images that are harder than digits.
    """
    steps = len(bench.data.train.x) // batch_size
    accuracy = bench.on(digits=LEVEL, images=LEVEL_ON_IMAGES)
    of_data = bench.on(digits={}, images={"level": accuracy})
    return rows(results, {steps_column(accuracy): lambda trial: steps_to(trial, accuracy, steps)}, **of_data)


def steps_column(accuracy: float) -> str:
    """Return the column of the steps to an accuracy."""
    return f"steps_to_{100 * accuracy:.0f}"


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
