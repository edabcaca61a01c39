"""The claim that batch norm makes the loss smoother."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnzoo import MLP
from bnzoo.data import Dataset
from recipes.claims import rates
from recipes.claims.bench import Bench
from recipes.claims.claim import CONDITION, HOLDS, NOT, Claim, Verdict
from recipes.claims.measures import standardized
from recipes.claims.pictures import panels
from recipes.claims.statistics import Interval, interval, paired
from recipes.claims.variation import TINY, Arrays, Loss, normalised_variation, raw_variation, size

SAME_RATE = 0.1
OWN_RATES = {"batch": 1.0, "none": 0.1}
# the steps of the raw measure: multiples of the gradient, from half to four times the learning rate
STEPS = (0.05, 0.1, 0.2, 0.4)
# the steps of the normalised measure: shares of the norm of each kernel. The steps of training are in the middle.
SHARES = (0.0003, 0.001, 0.003, 0.01, 0.03)
RAW, NORMALISED = "raw", "normalised"
VALUES = {"loss_variation": "loss", "gradient_variation": "gradient"}
SAME, OWN = f"both at rate {SAME_RATE:g}", "each at its own rate"
_BATCH = 64


class Network:
    """An MLP as a pure function: calls change neither weights nor moving statistics.

    Args:
        data: A `Dataset`.
        norm: The norm, as in `bnzoo.MLP`.
        seeds: Integer, the number of available starting points.
    """

    def __init__(self, data: Dataset, norm: str | None, seeds: int) -> None:
        # All models are drawn first, because a new seed makes TensorFlow compile its functions again.
        models = [_model(data, norm, seed) for seed in range(seeds)]
        self._starts = [[variable.numpy() for variable in model.trainable_variables] for model in models]
        self.kernels = [i for i, each in enumerate(models[0].trainable_variables) if each.name == "kernel"]
        self._loss = _compiled_loss(models[0])

    def start(self, seed: int) -> Arrays:
        """Return the initial weights of a seed."""
        return list(self._starts[seed])

    def loss_on(self, x: np.ndarray, y: np.ndarray) -> Loss:
        """Return the loss on a batch, with the statistics of the batch, as a function of the weights."""

        def loss(point: Arrays) -> tuple[float, Arrays]:
            value, gradient = self._loss(point, x, y)
            return float(value), [each.numpy() for each in gradient]

        return loss


def _model(data: Dataset, norm: str | None, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return MLP(10, 64, input_shape=data.input_shape, classes=data.classes, classifier_activation=None, norm=norm)


def _compiled_loss(model: keras.Model) -> Callable[..., Any]:
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    statistics = [variable.value for variable in model.non_trainable_variables]

    @tf.function
    def loss(point: list[tf.Tensor], x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch(point)
            logits, _ = model.stateless_call(point, statistics, x, training=True)
            value = cross_entropy(y, logits)
        return value, tape.gradient(value, point)

    return loss


def probes(network: Network, x: np.ndarray, y: np.ndarray, seed: int, rate: float, epochs: int) -> Iterator[dict]:
    """Train with plain SGD, and measure the variation before each epoch and after the last.

    Args:
        network: A `Network`.
        x: The examples.
        y: Their labels.
        seed: Integer.
        rate: Float, the constant learning rate.
        epochs: Integer.

    Yields:
        Rows: one for the raw measure, and one for the normalised measure with each share.
    """
    order, point = np.random.default_rng(seed), network.start(seed)
    steps = len(x) // _BATCH
    for step in range(epochs * steps + 1):
        if step % steps == 0:
            shuffled = order.permutation(len(x))
        batch = shuffled[_BATCH * (step % steps) :][:_BATCH]
        loss = network.loss_on(x[batch], y[batch])
        value, gradient = loss(point)
        if step % steps == 0:
            own = _own_share(point, gradient, network.kernels, rate)
            for variation in _around(loss, point, network.kernels):
                yield {"step": step, "loss": value, "own_share": own, **variation}
        point = [w - rate * g for w, g in zip(point, gradient, strict=True)]


def _own_share(point: Arrays, gradient: Arrays, kernels: Sequence[int], rate: float) -> float:
    """Return the length of a training step relative to the norms of the kernels, as root mean square."""
    shares = [rate * size([gradient[i]]) / size([point[i]]) for i in kernels]
    return float(np.sqrt(np.mean(np.square(shares))))


def _around(loss: Loss, point: Arrays, kernels: Sequence[int]) -> Iterator[dict[str, Any]]:
    yield {"measure": RAW, **dict(zip(VALUES, raw_variation(loss, point, STEPS), strict=True))}
    for share in SHARES:
        variation = dict(zip(VALUES, normalised_variation(loss, point, kernels, share), strict=True))
        yield {"measure": NORMALISED, "share": share, **variation}


def measure(bench: Bench) -> pd.DataFrame:
    """Measure the variation of both arms, at the same learning rate and at their own rates."""
    data, seeds = bench.data, bench.seeds
    x = standardized(data).astype("float32")
    epochs, records = bench.epochs(15, quick=10), []
    for norm in rates.ARMS:
        network = Network(data, None if norm == "none" else norm, seeds)
        for rate in sorted({SAME_RATE, OWN_RATES[norm]}):
            parts = [part for part, its in ((SAME, SAME_RATE), (OWN, OWN_RATES[norm])) if its == rate]
            for seed in range(seeds):
                rows = list(probes(network, x, data.train.y, seed, rate, epochs))
                records += [
                    {"part": part, "norm": norm, "rate": rate, "seed": seed, **row} for part in parts for row in rows
                ]
    return pd.DataFrame(records)


def log_means(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the mean logarithm of each variation over training, by arm, measure, share and seed.

    The raw measure has no share. Its rows have the share 0.
    """
    logs = frame.assign(
        share=frame["share"].fillna(0), **{name: np.log(frame[name].clip(lower=TINY)) for name in VALUES}
    )
    return logs.groupby(["part", "norm", "measure", "share", "seed"])[list(VALUES)].mean().reset_index()


def log_ratios(frame: pd.DataFrame, part: str = SAME) -> dict[float, dict[str, Interval]]:
    """Return the logarithm of the ratio of the variations with batch norm and without, by share (0: raw) and value.

    Args:
        frame: The rows.
        part: String, `SAME` for equal learning rates or `OWN` for the own rate of each arm.
    """
    means = log_means(frame[frame["part"] == part])
    return {
        share: {name: interval(paired(of_share, "norm", "batch", "none", name)) for name in VALUES}
        for share, of_share in means.groupby("share")
    }


def judge(frame: pd.DataFrame) -> Verdict:
    """Judge whether loss and gradient vary less in normalised steps of every length, or only of some lengths."""
    ratios = log_ratios(frame)
    lower = {share: all(each.high < 0 for each in of_share.values()) for share, of_share in ratios.items()}
    where = [share for share in SHARES if lower[share]]
    word = HOLDS if len(where) == len(SHARES) else CONDITION if where or lower[0] else NOT
    condition = ""
    if word == CONDITION:
        condition = f" Both vary less only at {_percents(where)}." if where else " They vary less only in raw steps."
    own = frame[frame["part"] == SAME].groupby("norm")["own_share"].median()
    return Verdict(
        word,
        "Variation along the gradient with batch norm, divided by the variation without a norm, for steps of "
        f"{_percents(SHARES)} of each kernel's norm: {_series(ratios)}.{condition}",
        (
            f"The steps of training itself are {100 * own['batch']:.2g} % with batch norm and {100 * own['none']:.2g} "
            "% without (medians).",
            "In raw steps, which are shorter relative to a larger kernel: "
            + ", ".join(f"{VALUES[name]} {_times(each)}" for name, each in ratios[0].items())
            + ".",
            f"Before training: {_series(log_ratios(frame[frame['step'] == 0]))}.",
            f"With each arm at its own learning rate ({OWN_RATES['batch']:g} with batch norm, {OWN_RATES['none']:g} "
            f"without): {_series(log_ratios(frame, OWN))}.",
        ),
    )


def _percents(shares: Sequence[float]) -> str:
    return ", ".join(f"{100 * share:g}" for share in shares) + " %"


def _series(ratios: dict[float, dict[str, Interval]]) -> str:
    return "; ".join(
        f"{value} " + ", ".join(f"{np.exp(ratios[share][name].mean):.2f}" for share in SHARES)
        for name, value in VALUES.items()
    )


def _times(logs: Interval) -> str:
    ratio = Interval(*np.exp([logs.mean, logs.low, logs.high]))
    return ratio.text(2, sign=False) if np.isfinite(logs.low) else f"{ratio.mean:.2f} (one seed: no interval)"


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the ratios for each choice of learning rates and each step."""
    return pd.DataFrame(
        [
            {"rates": part, "step": f"{_percents([share])} of the norm" if share else RAW}
            | {f"{VALUES[name]}, batch norm / none": _times(each) for name, each in of_share.items()}
            for part in (SAME, OWN)
            for share, of_share in log_ratios(frame, part).items()
        ]
    )


def draw(frame: pd.DataFrame) -> Figure:
    """Draw the raw measure over training, and the normalised measure over the length of the step."""
    figure, axes = panels(4, width=2.6, height=3.1, share_y=False)
    same = frame[frame["part"] == SAME]
    raw, normalised = same[same["measure"] == RAW], log_means(same[same["measure"] == NORMALISED])
    own = same.groupby("norm")["own_share"].quantile([0.25, 0.75]).unstack()
    for arm in rates.ARMS:
        look = {"color": rates.COLOURS[arm], "label": rates.NAMES[arm]}
        for shown, name in zip(axes[:2], VALUES, strict=True):
            _line_and_band(shown, np.log(_by_seed(raw[raw["norm"] == arm], "step", name).clip(lower=TINY)), look)
        for shown, name in zip(axes[2:], VALUES, strict=True):
            _line_and_band(shown, _by_seed(normalised[normalised["norm"] == arm], "share", name), look)
            shown.axvspan(*own.loc[arm], color=rates.COLOURS[arm], alpha=0.12, linewidth=0)
            shown.set(xscale="log", xlabel="step, share of the norm")
    for shown, title in zip(
        axes, ("loss, raw", "gradient, raw", "loss, normalised", "gradient, normalised"), strict=True
    ):
        shown.set(yscale="log", title=title)
    for shown in axes[:2]:
        shown.set_xlabel("training step")
    axes[0].set_ylabel("variation along the gradient")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _by_seed(frame: pd.DataFrame, x: str, name: str) -> pd.DataFrame:
    return frame.pivot(index=x, columns="seed", values=name)


def _line_and_band(axes: Axes, logs: pd.DataFrame, look: dict[str, str]) -> None:
    lowest, highest = np.exp(logs.min(axis=1)), np.exp(logs.max(axis=1))
    axes.fill_between(logs.index, lowest, highest, color=look["color"], alpha=0.2, linewidth=0)
    axes.plot(logs.index, np.exp(logs.mean(axis=1)), linewidth=2, **look)


CLAIM = Claim(
    statement="Batch normalization makes the loss smoother.",
    evidence=(
        "In a VGG on CIFAR-10, loss and gradient vary less along the gradient with batch norm than without (Santurkar "
        "et al. 2018, figure 4). Theorems 4.1 and 4.2 bound the variation."
    ),
    contradiction=(
        "With batch norm the loss does not depend on the scale of a kernel, and the gradient of a larger kernel is "
        "smaller. A step of the same multiple of the gradient is therefore shorter. At initialization and without "
        "shortcuts, batch norm makes gradients explode with depth (Yang et al. 2019). Networks without any norm train "
        "equally well (De & Smith 2020)."
    ),
    setup=(
        "An MLP with ten hidden layers of 64 ReLU units, on scikit-learn's digits. Plain SGD in batches of 64 at a "
        f"constant learning rate of {SAME_RATE:g}. In addition each arm at its own rate: {OWN_RATES['batch']:g} with "
        f"batch norm, {OWN_RATES['none']:g} without. The gradient g is computed before each epoch and after the last, "
        "on the next batch and with its statistics. Raw measure, as in Santurkar et al.: the range of the loss L(W - "
        f"t g), and the largest |g(W - t g) - g|, over t in {', '.join(map(str, STEPS))}. Normalised measure: each "
        f"kernel moves against its gradient by a share s of its norm, for s in {', '.join(map(str, SHARES))}; other "
        "weights stay unchanged. L' and g' are loss and gradient after the step. The variation of the loss is |L' - L "
        "+ P| / P, where P = s times the sum over kernels of |W||g| is the decrease that the gradient predicts. The "
        "variation of the gradient is |g' - g| / |g| over all kernels, with the gradient of each kernel multiplied by "
        "the kernel's norm |W|. Both are independent of the scale of a kernel before a norm. Ratios use geometric "
        "means over the measurements, paired by seed."
    ),
    criterion=(
        "Both arms use the same learning rate. Loss and gradient vary less at a share if, for both, the upper end of "
        "the 95 % interval of the log ratio (batch norm over none) is below 0. `holds` if they vary less at "
        "every share of the normalised measure. `holds with a condition` if they vary less at some shares, or only in "
        "the raw measure. Otherwise `does not hold`. A pilot run with three shares, which included the longest steps, "
        "would have resulted in `holds` for their mean. After it, shorter steps were added, and the criterion was "
        "changed to require every share."
    ),
    measure=measure,
    judge=judge,
    table=table,
    draw=draw,
    caption=(
        "Variation of loss and gradient along the gradient, both arms at the same learning rate. Left: the raw "
        "measure of Santurkar et al. over training. Right: the normalised measure over the length of the step, as "
        "mean over training. The bands around the lines include all seeds. The vertical bands show the middle half of "
        "the steps of training."
    ),
    references=(
        "[Santurkar et al. 2018](https://arxiv.org/abs/1805.11604)",
        "[Yang et al. 2019](https://arxiv.org/abs/1902.08129)",
        "[De & Smith 2020](https://arxiv.org/abs/2002.10444)",
    ),
)
