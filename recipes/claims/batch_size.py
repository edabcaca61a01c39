"""Does batch norm fail with small batches?"""

from typing import Any

import keras
import keras_tuner
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnzoo.tuning import MLPSpace
from recipes.claims.bench import Bench, rows
from recipes.claims.claim import CONDITION, HOLDS, NOT, Claim, Verdict
from recipes.claims.pictures import log_axis, mean_and_seeds, panels
from recipes.claims.statistics import Interval, at_best_rate, interval

SMALLEST, SIZES = 2, (2, 4, 8, 16, 32, 128)
FAILS, KEEPS = 5.0, 2.0  # points that batch norm loses at least, and group norm at most
UNIT = 32  # examples for which the learning rates are meant
GHOST = 4
GHOST_LABEL = f"ghost_batch(batch={GHOST})"
NAMES = {
    "batch": "batch norm",
    GHOST_LABEL: f"ghost batch norm of {GHOST}",
    "group": "group norm",
    "layer": "layer norm",
    "none": "no norm",
}
_WITH_STATISTICS = ("batch", GHOST_LABEL)


class ProportionalRateMLPSpace(MLPSpace):
    """An MLP's space in which the learning rate is that of 32 examples and grows with the batch (Goyal et al. 2017)."""

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        """Trains a model at the learning rate for its batch."""
        scaled = hp.copy()
        scaled.values["learning_rate"] *= self.batch_size_of(hp.values) / UNIT
        return super().fit(scaled, model, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """All that decides what is searched, as JSON."""
        return {**super().get_config(), "learning_rate_of_examples": UNIT}


def measure(bench: Bench) -> pd.DataFrame:
    """Every norm at every size; ghost batches where the batch is larger than they are."""
    sizes = bench.some(SIZES, quick=3)
    ghost = {"name": "ghost_batch", "batch": GHOST}
    studies = {
        "batch_size": _space(bench, ("batch", "group", "layer", None), sizes),
        "batch_size-ghost": _space(bench, (ghost,), tuple(size for size in sizes if size > GHOST)),
    }
    epochs = bench.epochs(4, quick=3)
    found = []
    for name, space in studies.items():
        frame = rows(bench.study(name, space, bench.digits, epochs=epochs))
        # a size that stands alone is no axis of the study
        found.append(frame if "batch_size" in frame else frame.assign(batch_size=space.values_of("batch_size")[0]))
    return pd.concat(found, ignore_index=True)


def _space(bench: Bench, norms: tuple[Any, ...], sizes: tuple[int, ...]) -> ProportionalRateMLPSpace:
    return ProportionalRateMLPSpace(
        depths=(4,),
        learning_rates=(0.064, 0.4, bench.points(3, quick=2)),
        norms=norms,
        placement="post",
        width=64,
        batch_size=sizes,
        momentum=0.0,
        weight_decay=0.0,
    )


def best_size(best: pd.DataFrame, norm: str, value: str = "accuracy") -> int:
    """The batch size with the highest mean validation accuracy of a norm, among rows at the best learning rates.

    Args:
        best: The rows at the best learning rate of each norm and size.
        norm: The norm's label.
        value: The column, `accuracy` with recalibrated statistics or `moving_accuracy`.
    """
    return int(best[best["norm"] == norm].groupby("batch_size")[value].mean().idxmax())


def loss(best: pd.DataFrame, norm: str, value: str = "test_accuracy") -> Interval:
    """How many points of accuracy a norm loses from its best size to the smallest, by seed.

    Args:
        best: The rows at the best learning rate of each norm and size.
        norm: The norm's label.
        value: The column to compare; with `moving_accuracy`, the best size is that with moving statistics.
    """
    table = best[best["norm"] == norm].pivot(index="seed", columns="batch_size", values=value)
    size = best_size(best, norm, "moving_accuracy" if value == "moving_accuracy" else "accuracy")
    return interval(100 * (table[size] - table[SMALLEST]))


def judge(found: pd.DataFrame) -> Verdict:
    """Whether batch norm loses at least five points where group norm loses at most two."""
    best = at_best_rate(found, ["norm", "batch_size"])
    batch, group, moving = loss(best, "batch"), loss(best, "group"), loss(best, "batch", "moving_accuracy")
    clear = batch.low > 0
    word = NOT
    if clear and batch.mean >= FAILS and group.mean <= KEEPS:
        word = HOLDS
    elif clear or moving.low > 0:
        word = CONDITION
    also = f" With moving statistics batch norm loses {moving.text(sign=False)} points of validation accuracy:"
    condition = {
        HOLDS: "",
        CONDITION: f"{also} it loses, but not as much with recalibrated statistics, or group norm loses too.",
        NOT: f"{also} no clear loss.",
    }[word]
    sizes = {norm: best_size(best, norm) for norm in ("batch", "group")}
    return Verdict(
        word,
        f"From its best batch size ({sizes['batch']}) to {SMALLEST}, batch norm loses {batch.text(sign=False)} points "
        f"of test accuracy with recalibrated statistics; group norm from its own ({sizes['group']}) "
        f"{group.text(sign=False)}.{condition}",
        (_recovered(best), _ghosts(best), _others(best)),
    )


def _mean(best: pd.DataFrame, norm: str, size: int, value: str) -> float:
    """The mean of a column over the seeds, in percent."""
    return 100 * best.loc[(best["norm"] == norm) & (best["batch_size"] == size), value].mean()


def _recovered(best: pd.DataFrame) -> str:
    """How much of the loss is the moving statistics' alone."""
    size = best_size(best, "batch", "moving_accuracy")
    moving, recalibrated = (_mean(best, "batch", SMALLEST, value) for value in ("moving_accuracy", "accuracy"))
    lost = _mean(best, "batch", size, "moving_accuracy") - moving
    share = f", {100 * (recalibrated - moving) / lost:.0f} % of what is lost from {size}" if lost > 0 else ""
    return (
        f"At {SMALLEST} the validation accuracy of batch norm is {moving:.1f} % with moving statistics and "
        f"{recalibrated:.1f} % with recalibrated ones: recalibration gives {recalibrated - moving:+.1f} points{share}. "
        "It corrects the evaluation, not weights that were trained on the statistics of a few."
    )


def _ghosts(best: pd.DataFrame) -> str:
    """Whether it is the examples in the statistics that decide, or those in the step."""
    large = int(best["batch_size"].max())
    ghost, whole = (_mean(best, norm, large, "test_accuracy") for norm in (GHOST_LABEL, "batch"))
    said = (
        f"In batches of {large}, statistics of {GHOST} examples (ghost batch norm) give {ghost:.1f} % test accuracy "
        f"and those of all {whole:.1f} %"
    )
    if GHOST in set(best["batch_size"]):
        said += f"; in batches of {GHOST}, batch norm gives {_mean(best, 'batch', GHOST, 'test_accuracy'):.1f} %"
    return said + "."


def _others(best: pd.DataFrame) -> str:
    said = "; ".join(f"{NAMES[norm]} {loss(best, norm).text(sign=False)}" for norm in ("layer", "none"))
    return f"Points lost from their best size to {SMALLEST} by what knows of no batch: {said}."


def table(found: pd.DataFrame) -> pd.DataFrame:
    """The accuracy of each norm at each size, in percent."""
    best = at_best_rate(found, ["norm", "batch_size"])
    columns = {
        "validation, moving statistics": "moving_accuracy",
        "validation, recalibrated": "accuracy",
        "test, recalibrated": "test_accuracy",
    }
    lines = []
    for norm in NAMES:
        of_norm = best[best["norm"] == norm].groupby("batch_size")
        for words, column in columns.items():
            if norm in _WITH_STATISTICS or column != "moving_accuracy":
                means = (100 * of_norm[column].mean()).reindex(sorted(set(best["batch_size"])))
                said = words if norm in _WITH_STATISTICS else words.split(",")[0]
                lines.append({"norm": NAMES[norm], "accuracy, %": said, **{str(k): v for k, v in means.items()}})
    return pd.DataFrame(lines)


def draw(found: pd.DataFrame) -> Figure:
    """The validation error over the batch size, which falls to the right, as Wu & He draw it."""
    best = at_best_rate(found, ["norm", "batch_size"])
    best = best.assign(error=1 - best["accuracy"], moving_error=1 - best["moving_accuracy"])
    figure, (axes,) = panels(1, width=6.4, height=4.2)
    for place, (norm, name) in enumerate(NAMES.items()):
        of_norm, colour = best[best["norm"] == norm], f"C{place}"
        mean_and_seeds(axes, of_norm, "batch_size", "error", label=name, colour=colour)
        if norm in _WITH_STATISTICS:
            means = 100 * of_norm.groupby("batch_size")["moving_error"].mean()
            axes.plot(means.index, means, "--", color=colour, label=f"{name}, moving statistics")
    log_axis(axes, sorted(set(best["batch_size"])), "batch size", base=2)
    axes.invert_xaxis()
    top = 100 * np.nanmax(best[["error", "moving_error"]])
    axes.set(ylabel="validation error, %", ylim=(0, 1.05 * max(top, 1)))
    axes.legend(frameon=False, loc="upper left")
    return figure


CLAIM = Claim(
    statement="Batch normalization fails with small batches, where norms of a single sample do not.",
    evidence=(
        "ResNet-50 on ImageNet with 32, 16, 8, 4 and 2 images a worker: error 23.6, 23.7, 24.8, 27.3 and 34.7 % with "
        "batch norm, near 24.1 % with group norm throughout (Wu & He 2018, table 3)."
    ),
    contradiction=(
        "Part of the failure is the evaluation's alone: with the statistics corrected after training, 6 points come "
        "back at 2 images (Singh & Shrivastava 2019; Wu & Johnson 2021). And statistics need not come from the batch "
        "of a step alone (batch renormalization, Ioffe 2017)."
    ),
    setup=(
        "An MLP of four hidden layers of 64 ReLU units on scikit-learn's digits (1,169 to train, 269 to choose by, 359 "
        f"to test), plain SGD, four epochs (three in the quick run), learning rates from 0.064 to 0.4 for {UNIT} "
        "examples, in proportion to the batch, chosen for each norm and size by the mean validation loss. Unlike those "
        f"of convolutions, the statistics of an MLP have no positions: a batch of {SMALLEST} leaves of a unit only "
        "which of two examples is the higher, which is harsher than 2 images are for a ResNet. Moving statistics "
        "(momentum 0.9) are those that training left; recalibrated ones are of all training data. The picture compares "
        "both on the validation data; the verdict takes test accuracy, which is measured with recalibrated ones."
    ),
    criterion=(
        f"`holds` if batch norm loses at least {FAILS:g} points of test accuracy from its best size to {SMALLEST}, "
        f"with the 95 % bootstrap interval above 0, and group norm at most {KEEPS:g} from its own best; `holds with a "
        "condition` if else the interval of batch norm's loss is above 0 in test accuracy with recalibrated "
        "statistics, or in validation accuracy with moving ones; else `does not hold`."
    ),
    measure=measure,
    judge=judge,
    table=table,
    draw=draw,
    caption=(
        "Validation error over the batch size: lines through the means, each seed a point. Solid with recalibrated "
        "statistics, dashed with the moving ones; the other norms have none."
    ),
    references=(
        "[Wu & He 2018](https://arxiv.org/abs/1803.08494)",
        "[Singh & Shrivastava 2019](https://arxiv.org/abs/1904.06031)",
        "[Wu & Johnson 2021](https://arxiv.org/abs/2105.07576)",
        "[Ioffe 2017](https://arxiv.org/abs/1702.03275)",
        "[Goyal et al. 2017](https://arxiv.org/abs/1706.02677)",
    ),
)
