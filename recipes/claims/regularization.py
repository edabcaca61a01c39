"""Does batch norm regularise?"""

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

NOISE = 0.2  # of the labels
BATCH = 128  # of the optimizer, in every arm
GHOSTS = (4, 8, 16, 64)  # the examples that are normalized together
RATE = 0.2  # of every arm: high enough that networks learn wrong labels by heart
EPOCHS = 50
_SEED = 0  # of the wrong labels


def _ghost(size: int) -> str:
    return f"ghost_batch(batch={size})"


SMALLEST, WHOLE, NONE = _ghost(GHOSTS[0]), "batch", "none"
NAMES = {NONE: "no norm", **{_ghost(size): str(size) for size in GHOSTS}, WHOLE: f"{BATCH}"}


def wrong(examples: int) -> np.ndarray:
    """Which of so many examples get a wrong label, a fixed share of them: their places.

    Args:
        examples: Integer.
    """
    return np.sort(np.random.default_rng(_SEED).permutation(examples)[: round(NOISE * examples)])


def with_wrong_labels(split: Split, classes: int) -> Split:
    """The examples, those at `wrong` with the label of another class, each other class being as likely.

    Args:
        split: A `Split`.
        classes: Integer.
    """
    places, y = wrong(len(split.y)), split.y.copy()
    steps = np.random.default_rng(_SEED).integers(1, classes, len(places))
    y[places] = (y[places] + steps) % classes
    return Split(split.x, y)


def noisy(data: Dataset) -> Dataset:
    """The data with wrong labels to train and to choose by; those of the test are right."""
    train, validation = (with_wrong_labels(split, data.classes) for split in (data.train, data.validation))
    return Dataset(f"{data.name}, {100 * NOISE:.0f} % of labels wrong", data.labels, train, validation, data.test)


def generalization(model: keras.Model, data: Dataset) -> dict[str, float]:
    """How well a network does on labels that it has seen, on others, and on the wrong ones that it has seen.

    Args:
        model: A trained classifier.
        data: As `noisy` makes it.
    """
    places = wrong(len(data.train.y))
    train = accuracy(model, data.train)
    return {
        "test_accuracy": accuracy(model, data.test),
        "train_accuracy": train,
        "gap": train - accuracy(model, data.validation),
        "memorised": accuracy(model, Split(data.train.x[places], data.train.y[places])),
    }


def measure(bench: Bench) -> pd.DataFrame:
    """An MLP on wrong labels, the optimizer's batch fixed and the batch of the statistics not."""
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
    data, epochs = noisy(bench.digits), bench.epochs(EPOCHS)
    return rows(bench.study("regularization", space, data, epochs=epochs, measure=generalization))


def at_rate(found: pd.DataFrame) -> pd.DataFrame:
    """The rows at the rate that decides."""
    return found[np.isclose(found["learning_rate"], RATE)]


def judge(found: pd.DataFrame) -> Verdict:
    """Whether the gap is smaller in small normalization batches, and with batch norm than without a norm."""
    at = at_rate(found)
    of_noise = interval(100 * paired(at, "norm", SMALLEST, WHOLE, "gap"))
    of_norm = interval(100 * paired(at, "norm", WHOLE, NONE, "gap"))
    word = NOT if not of_noise.high < 0 else HOLDS if of_norm.high < 0 else CONDITION
    condition = (
        ""
        if word != CONDITION
        else " It is the noise of small normalization batches that regularises, not the norm: with the statistics of "
        "the whole batch it does not."
    )
    return Verdict(
        word,
        f"The gap between training and validation accuracy changes by {of_noise.text()} points from the statistics of "
        f"all {BATCH} examples of a batch to those of {GHOSTS[0]}, and by {of_norm.text()} points from no norm to "
        f"batch norm with those of all {BATCH}.{condition}",
        (
            f"The gap in points: {_by_arm(at, 'gap')}. Of the wrong labels learned by heart, %: "
            f"{_by_arm(at, 'memorised')}.",
            f"Accuracy on the right labels of the test, %: {_by_arm(at, 'test_accuracy')}.",
            "With the rate of each arm chosen by the validation loss, as by stopping early: the gap in points "
            f"{_by_arm(at_best_rate(found, ['norm']), 'gap')}; accuracy on the test, %: "
            f"{_by_arm(at_best_rate(found, ['norm']), 'test_accuracy')}.",
        ),
    )


def _means(found: pd.DataFrame, value: str) -> dict[str, float]:
    means = 100 * found.groupby("norm")[value].mean()
    return {arm: means[arm] for arm in NAMES if arm in means.index}


def _by_arm(found: pd.DataFrame, value: str) -> str:
    return ", ".join(f"{NAMES[arm]} {mean:.1f}" for arm, mean in _means(found, value).items())


def table(found: pd.DataFrame) -> pd.DataFrame:
    """Each arm at the rate that decides, and the test accuracy at its own best."""
    at, best = at_rate(found), at_best_rate(found, ["norm"])
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


def draw(found: pd.DataFrame) -> Figure:
    """The gap, what was learned by heart and the test accuracy of every arm."""
    titles = {
        "gap": "training minus validation, points",
        "memorised": "wrong labels learned, %",
        "test_accuracy": "accuracy on the test, %",
    }
    long = at_rate(found).melt(["norm", "seed"], list(titles), "what")
    long["what"] = long["what"].map(titles)
    figure = arms_with_seeds(long, panel="what", arm="norm", value="value", names=NAMES, label="")
    figure.supxlabel("examples that are normalized together", fontsize="medium")
    return figure


CLAIM = Claim(
    statement="Batch normalization regularises.",
    evidence=(
        "With it dropout could be removed from Inception (Ioffe & Szegedy 2015, section 4.2.1); normalization batches "
        "of 32 to 128 examples generalize best (Wu & Johnson 2021)."
    ),
    contradiction=(
        "It is the noise of the statistics of small batches that regularises, not the norm as such: computed over 8 "
        "examples each (ghost batch norm) they close the gap of large batches (Hoffer et al. 2017; Wu & Johnson 2021)."
    ),
    setup=(
        f"An MLP of three hidden layers of 128 ReLU units on scikit-learn's digits, of whose labels {100 * NOISE:.0f} "
        "% are wrong in training and validation; those of the test are right. Plain SGD without momentum or weight "
        f"decay, batches of {BATCH} in every arm, {EPOCHS} epochs, a half-cosine schedule. The statistics are those of "
        f"{', '.join(map(str, GHOSTS))} (ghost batch norm) or all {BATCH} examples of a batch. All arms are compared "
        f"at the rate {RATE}: the one that the validation loss would choose is so small that next to no wrong label is "
        "learned in any arm, a regularization by stopping early and not by a norm. Those numbers are told beside. "
        "Measured with the statistics of all training examples."
    ),
    criterion=(
        "The gap is the accuracy on the noisy training labels minus that on the noisy validation labels. `holds` if "
        f"it is smaller (the 95 % bootstrap interval of the paired difference below 0) both with the statistics of "
        f"{GHOSTS[0]} examples than with those of all {BATCH}, and with batch norm over all {BATCH} than without a "
        "norm; `holds with a condition` if only the first: the noise of small normalization batches regularises, not "
        "the norm; else `does not hold`."
    ),
    measure=measure,
    judge=judge,
    table=table,
    draw=draw,
    caption=(
        f"Every seed at the rate {RATE} and the mean, by how many examples are normalized together: the gap, the share "
        "of the wrong training labels that is predicted, and the accuracy on the right test labels."
    ),
    references=(
        "[Ioffe & Szegedy 2015](https://arxiv.org/abs/1502.03167)",
        "[Hoffer et al. 2017](https://arxiv.org/abs/1705.08741)",
        "[Wu & Johnson 2021](https://arxiv.org/abs/2105.07576)",
    ),
)
