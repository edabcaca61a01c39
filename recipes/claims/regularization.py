"""The claim that batch norm regularises."""

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnzoo.data import Dataset, Split
from bnzoo.tuning import MLPSpace
from recipes.claims.bench import Bench, rows
from recipes.claims.claim import CONDITION, HOLDS, NOT, Claim, Verdict
from recipes.claims.measures import accuracy
from recipes.claims.pictures import arms_with_seeds
from recipes.claims.statistics import at_best_rate, interval, paired

NOISE = 0.2  # the share of wrong labels
BATCH = 128  # the batch size of the optimizer, in every arm
GHOSTS = (4, 8, 16, 64)  # the numbers of examples that are normalized together
RATE = 0.2  # the learning rate of every arm, high enough to memorise wrong labels
EPOCHS = 50
_SEED = 0  # the seed of the wrong labels


def _ghost(size: int) -> str:
    return f"ghost_batch(batch={size})"


SMALLEST, WHOLE, NONE = _ghost(GHOSTS[0]), "batch", "none"
NAMES = {NONE: "no norm", **{_ghost(size): str(size) for size in GHOSTS}, WHOLE: f"{BATCH}"}


def wrong(examples: int) -> np.ndarray:
    """Return the indices of the examples that get a wrong label, a fixed share of all.

    Args:
        examples: Integer, the number of examples.
    """
    return np.sort(np.random.default_rng(_SEED).permutation(examples)[: round(NOISE * examples)])


def with_wrong_labels(split: Split, classes: int) -> Split:
    """Return the examples with random wrong labels at the indices of `wrong`. All other classes are equally likely.

    Args:
        split: A `Split`.
        classes: Integer.
    """
    indices, y = wrong(len(split.y)), split.y.copy()
    steps = np.random.default_rng(_SEED).integers(1, classes, len(indices))
    y[indices] = (y[indices] + steps) % classes
    return Split(split.x, y)


def noisy(data: Dataset) -> Dataset:
    """Return the data with wrong labels in training and validation. The test labels stay correct."""
    train, validation = (with_wrong_labels(split, data.classes) for split in (data.train, data.validation))
    return Dataset(f"{data.name}, {100 * NOISE:.0f} % of labels wrong", data.labels, train, validation, data.test)


def generalization(model: keras.Model, data: Dataset) -> dict[str, float]:
    """Return the accuracies on test and training labels, their gap, and the share of memorised wrong labels.

    Args:
        model: A trained classifier.
        data: A `Dataset` of `noisy`.
    """
    indices = wrong(len(data.train.y))
    train = accuracy(model, data.train)
    return {
        "test_accuracy": accuracy(model, data.test),
        "train_accuracy": train,
        "gap": train - accuracy(model, data.validation),
        "memorised": accuracy(model, Split(data.train.x[indices], data.train.y[indices])),
    }


def measure(bench: Bench) -> pd.DataFrame:
    """Train an MLP on wrong labels with one batch size, and with statistics over different numbers of examples."""
    ghosts = [{"name": "ghost_batch", "batch": size} for size in bench.some(GHOSTS, quick=2)]
    space = MLPSpace(
        depths=(3,),
        learning_rates=(RATE / 10, RATE, bench.points(3, quick=2)),
        norms=(None, *ghosts, "batch"),
        placement="post",
        width=128,
        batch_size=BATCH,
        momentum=0.0,
        weight_decay=0.0,
    )
    data, epochs = noisy(bench.data), bench.epochs(EPOCHS)
    return rows(bench.study("regularization", space, data, epochs=epochs, measure=generalization))


def at_rate(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows at the learning rate of the verdict."""
    return frame[np.isclose(frame["learning_rate"], RATE)]


def judge(frame: pd.DataFrame) -> Verdict:
    """Judge whether small normalization batches reduce the gap, and whether batch norm reduces it."""
    at = at_rate(frame)
    of_noise = interval(100 * paired(at, "norm", SMALLEST, WHOLE, "gap"))
    of_norm = interval(100 * paired(at, "norm", WHOLE, NONE, "gap"))
    word = NOT if not of_noise.high < 0 else HOLDS if of_norm.high < 0 else CONDITION
    condition = (
        ""
        if word != CONDITION
        else " The noise of small normalization batches regularises. Batch norm with the statistics of the whole batch "
        "does not."
    )
    return Verdict(
        word,
        f"The gap between training and validation accuracy changes by {of_noise.text()} points with statistics of "
        f"{GHOSTS[0]} examples instead of all {BATCH} in a batch, and by {of_norm.text()} points from no norm to batch "
        f"norm with all {BATCH}.{condition}",
        (
            f"Gap in points: {_by_arm(at, 'gap')}. Wrong labels memorised, %: {_by_arm(at, 'memorised')}.",
            f"Accuracy on the correct test labels, %: {_by_arm(at, 'test_accuracy')}.",
            "Gap in points at the rate with the lowest validation loss of each arm, which acts like early stopping: "
            f"{_by_arm(at_best_rate(frame, ['norm']), 'gap')}. Test accuracy at that rate, %: "
            f"{_by_arm(at_best_rate(frame, ['norm']), 'test_accuracy')}.",
        ),
    )


def _means(frame: pd.DataFrame, value: str) -> dict[str, float]:
    means = 100 * frame.groupby("norm")[value].mean()
    return {arm: means[arm] for arm in NAMES if arm in means.index}


def _by_arm(frame: pd.DataFrame, value: str) -> str:
    return ", ".join(
        f"{NAMES[arm]}{'' if arm == NONE else ' examples'} {mean:.1f}" for arm, mean in _means(frame, value).items()
    )


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the results of each arm at the learning rate of the verdict, and the test accuracy at its best rate."""
    at, best = at_rate(frame), at_best_rate(frame, ["norm"])
    arms = list(_means(at, "gap"))
    columns = {
        "gap, points": (at, "gap"),
        "training accuracy, %": (at, "train_accuracy"),
        "wrong labels learned, %": (at, "memorised"),
        "test accuracy, %": (at, "test_accuracy"),
        "test accuracy at own best rate, %": (best, "test_accuracy"),
    }
    means = {name: [_means(of, value)[arm] for arm in arms] for name, (of, value) in columns.items()}
    own = best.groupby("norm")["learning_rate"].first()
    return pd.DataFrame({"normalized together": [NAMES[arm] for arm in arms], **means, "best rate": list(own[arms])})


def draw(frame: pd.DataFrame) -> Figure:
    """Draw the gap, the memorised wrong labels and the test accuracy of every arm."""
    titles = {
        "gap": "training minus validation, points",
        "memorised": "wrong labels learned, %",
        "test_accuracy": "accuracy on the test, %",
    }
    long = at_rate(frame).melt(["norm", "seed"], list(titles), "what")
    long["what"] = long["what"].map(titles)
    figure = arms_with_seeds(long, panel="what", arm="norm", value="value", names=NAMES, label="")
    figure.supxlabel("examples that are normalized together", fontsize="medium")
    return figure


CLAIM = Claim(
    statement="Batch normalization regularises.",
    evidence=(
        "Inception with batch norm does not need dropout (Ioffe & Szegedy 2015, section 4.2.1). Normalization batches "
        "of 32 to 128 examples generalize best (Wu & Johnson 2021)."
    ),
    contradiction=(
        "The noise in the statistics of small batches regularises, and not the norm itself: statistics over a part of "
        "each batch (ghost batch norm) make the generalization gap of large batches smaller (Hoffer et al. 2017; Wu & "
        "Johnson 2021)."
    ),
    setup=(
        f"An MLP with three hidden layers of 128 ReLU units, on scikit-learn's digits. {100 * NOISE:.0f} % of the "
        "training and validation labels are wrong; the test labels are correct. Plain SGD without momentum or weight "
        f"decay, batches of {BATCH} in every arm, {EPOCHS} epochs, half-cosine decay. The statistics use "
        f"{', '.join(map(str, GHOSTS))} (ghost batch norm) or all {BATCH} examples of a batch. All arms are compared "
        f"at the learning rate {RATE}. The rate with the lowest validation loss would be so small that hardly any "
        "wrong label is learned in any arm: it would regularise like early stopping, and hide the effect of the norm. "
        "The results at that rate are only reported. All measurements use the statistics of all training examples."
    ),
    criterion=(
        "The gap is the accuracy on the noisy training labels minus the accuracy on the noisy validation labels. A "
        "gap is smaller if the 95 % interval of the paired difference is below 0. Condition A: the gap is "
        f"smaller with statistics of {GHOSTS[0]} examples than of all {BATCH}. Condition B: the gap is smaller with "
        f"batch norm over all {BATCH} examples than without a norm. `holds` if A and B are true. `holds with a "
        "condition` if only A is true: the noise of small normalization batches regularises, not the norm. Otherwise "
        "`does not hold`."
    ),
    measure=measure,
    judge=judge,
    table=table,
    draw=draw,
    caption=(
        f"Every seed at the learning rate {RATE} and the mean, over the number of examples that are normalized "
        "together. Left to right: the gap, the share of wrong training labels that the network predicts, and the "
        "accuracy on the correct test labels."
    ),
    references=(
        "[Ioffe & Szegedy 2015](https://arxiv.org/abs/1502.03167)",
        "[Hoffer et al. 2017](https://arxiv.org/abs/1705.08741)",
        "[Wu & Johnson 2021](https://arxiv.org/abs/2105.07576)",
    ),
)
