"""Is a network with batch norm insensitive to the scale of its initial weights?"""

import math
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib import colormaps
from matplotlib.figure import Figure

from bnzoo.data import Dataset
from bnzoo.layers import BatchNormalization
from bnzoo.norms import Norm
from bnzoo.tuning import MLPSpace
from recipes.claims import rates
from recipes.claims.bench import Bench, rows
from recipes.claims.claim import CONDITION, HOLDS, NOT, Claim, Verdict
from recipes.claims.measures import standardized
from recipes.claims.pictures import log_axis, mean_and_seeds, panels
from recipes.claims.statistics import at_best_rate

SCALES = (0.1, 0.3, 1.0, 3.0, 10.0)
RATES = (0.03, 3.0, 5)
WORKS, FAILS = 0.75, 0.5
EPOCHS = 10
EPSILON, NEXT_TO_NONE = 1e-5, 1e-12  # bnzoo's, and one that does not count
TRAINED, IDENTITY = "trained", "identity"
_EXAMPLES = 256


class ScaledMLPSpace(MLPSpace):
    """MLPs whose hidden kernels start `init_scale` times as large; the classifier, which no norm follows, as usual."""

    further_options = ("init_scale",)

    def model(
        self, depth: int, norm: Norm, input_tensor: Any, *, init_scale: float = 1.0, **options: Any
    ) -> keras.Model:
        """As `MLPSpace.model`, with the scale of the hidden kernels."""
        model = super().model(depth, norm, input_tensor, **options)
        *hidden, _ = (layer for layer in model.layers if isinstance(layer, keras.layers.Dense))
        for layer in hidden:
            layer.kernel.assign(init_scale * layer.kernel)
        return model


def measure(bench: Bench) -> pd.DataFrame:
    """The grid of scales and rates, and what the scale does to a layer and its gradient."""
    space = ScaledMLPSpace(
        depths=(6,),
        learning_rates=(*RATES[:2], bench.points(RATES[2], quick=4)),
        norms=("batch", None),
        placement="post",
        width=64,
        init_scale=sorted({*bench.some(SCALES, quick=3), 1.0}),
        momentum=0.0,
        weight_decay=0.0,
    )
    results = bench.study("initialization", space, bench.digits, epochs=bench.epochs(EPOCHS))
    exact = [
        {"init_scale": scale, "epsilon": epsilon, **identity(bench.digits, scale, epsilon)}
        for epsilon in (EPSILON, NEXT_TO_NONE)
        for scale in SCALES
    ]
    return pd.concat([rows(results, part=TRAINED), pd.DataFrame(exact).assign(part=IDENTITY)], ignore_index=True)


def identity(data: Dataset, scale: float, epsilon: float) -> dict[str, float]:
    """How BN(aWx) and its gradient differ from BN(Wx) and its, in float64: x of the data, W random.

    Args:
        data: A `Dataset`.
        scale: Float, a.
        epsilon: Float, of the norm.

    Returns:
        Dict of `deviation`, the largest difference over the largest output; `gradient_ratio`, the length of the
        gradient of a loss by the kernel at aW over that at W; and `gradient_deviation`, by how much a times the
        gradient at aW differs from that at W, as a share of its length.
    """
    random = np.random.default_rng(0)
    x = standardized(data, _EXAMPLES)
    x = x.reshape(len(x), -1)
    kernel, head = random.normal(0, x.shape[1] ** -0.5, (x.shape[1], 64)), random.normal(0, 0.2, (64, 10))
    norm = BatchNormalization(epsilon=epsilon, dtype="float64")

    def output_and_gradient(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        variable = tf.Variable(value)
        with tf.GradientTape() as tape:
            output = norm(tf.constant(x) @ variable, training=True)
            loss = tf.reduce_mean(tf.reduce_logsumexp(tf.nn.relu(output) @ head, axis=1))
        return output.numpy(), tf.convert_to_tensor(tape.gradient(loss, variable)).numpy()

    (output, gradient), (scaled_output, scaled_gradient) = map(output_and_gradient, (kernel, scale * kernel))
    return {
        "deviation": float(np.abs(scaled_output - output).max() / np.abs(output).max()),
        "gradient_ratio": float(np.linalg.norm(scaled_gradient) / np.linalg.norm(gradient)),
        "gradient_deviation": float(np.linalg.norm(scale * scaled_gradient - gradient) / np.linalg.norm(gradient)),
    }


def trained(found: pd.DataFrame) -> pd.DataFrame:
    """The rows of trained networks."""
    return found[found["part"] == TRAINED]


def best_rates(found: pd.DataFrame) -> dict[str, dict[float, float]]:
    """The best rate of each arm at each scale."""
    best = at_best_rate(trained(found), ["norm", "init_scale"]).groupby(["norm", "init_scale"])["learning_rate"].first()
    return {arm: best[arm].to_dict() for arm in rates.ARMS}


def at_fixed_rate(found: pd.DataFrame) -> pd.DataFrame:
    """The rows of each arm at the rate that is best for it at the usual scale."""
    best = best_rates(found)
    return trained(found)[lambda frame: frame["learning_rate"] == [best[arm][1.0] for arm in frame["norm"]]]


def steps_apart(found: pd.DataFrame, arm: str) -> int:
    """How many steps of the grid the highest of the best rates of an arm is above the lowest."""
    grid = sorted(set(trained(found)["learning_rate"]))
    places = [grid.index(rate) for rate in best_rates(found)[arm].values()]
    return max(places) - min(places)


def judge(found: pd.DataFrame) -> Verdict:
    """Whether the rate for the usual scale does for all scales, with batch norm only, and is the best for all."""
    best, at_best, apart = best_rates(found), _at_best(found), steps_apart(found, "batch")
    accuracy = at_fixed_rate(found).groupby(["norm", "init_scale"])["test_accuracy"].mean()
    lowest = accuracy["batch"].min(skipna=False)
    failed = (accuracy["none"] < FAILS).sum()
    decides = lowest >= WORKS and failed > len(accuracy["none"]) / 2
    word = NOT if not decides else HOLDS if apart <= 1 else CONDITION
    condition = (
        ""
        if word != CONDITION
        else " But the best rate moves with the scale, as the effective rate falls with its square: it is what the "
        "network computes that does not depend on the scale, not how it learns."
    )
    return Verdict(
        word,
        f"At the rate that is best at the usual scale, the lowest test accuracy over the scales is {100 * lowest:.1f} "
        f"% with batch norm; without a norm it is below {100 * FAILS:.0f} % at {failed} of {len(accuracy['none'])}. "
        f"The best rates with batch norm are {apart} step{'s' * (apart != 1)} of the grid apart.{condition}",
        (
            *(f"Best rate by scale, {rates.NAMES[arm]}: {_by_scale(best[arm])}." for arm in rates.ARMS),
            "Test accuracy at its own best rate, %: "
            + "; ".join(f"{rates.NAMES[arm]} {_by_scale(at_best[arm].to_dict())}" for arm in rates.ARMS)
            + ".",
            _at_lowest_rate(found),
            _identity_note(found),
        ),
    )


def _by_scale(values: dict[float, float]) -> str:
    return ", ".join(f"{value:.4g} at {scale:g}" for scale, value in values.items())


def _at_best(found: pd.DataFrame) -> pd.Series:
    best = at_best_rate(trained(found), ["norm", "init_scale"])
    return (100 * best.groupby(["norm", "init_scale"])["test_accuracy"].mean()).round(1)


def _at_lowest_rate(found: pd.DataFrame) -> str:
    rows_of = trained(found)
    lowest = rows_of["learning_rate"].min()
    at = rows_of[(rows_of["norm"] == "batch") & (rows_of["learning_rate"] == lowest)]
    means = (100 * at.groupby("init_scale")["test_accuracy"].mean()).round(1)
    return f"At the lowest rate, {lowest:g}, test accuracy with batch norm, %: {_by_scale(means.to_dict())}."


def _identity_note(found: pd.DataFrame) -> str:
    exact = found[found["part"] == IDENTITY]
    deviation = exact.groupby("epsilon")["deviation"].max()
    off = exact.loc[exact["epsilon"] == NEXT_TO_NONE, "gradient_deviation"].max()
    scales = exact["init_scale"]
    return (
        f"In float64, BN(aWx) differs from BN(Wx) by at most {deviation[NEXT_TO_NONE]:.1e} of the largest output for "
        f"a from {scales.min():g} to {scales.max():g} if epsilon is {NEXT_TO_NONE:g}, by "
        f"{deviation[EPSILON]:.1e} with the usual {EPSILON:g}. The gradient by aW is 1/a of that by W, to within "
        f"{off:.1e}: relative to the weights a step is 1/a² as large."
    )


def table(found: pd.DataFrame) -> pd.DataFrame:
    """Of each arm and scale, the accuracy at the fixed rate and at the best; with batch norm also the gradient."""
    fixed = at_fixed_rate(found)
    accuracy, own = fixed.groupby(["norm", "init_scale"])["test_accuracy"].mean(), _at_best(found)
    rate, best = fixed.groupby("norm")["learning_rate"].first(), best_rates(found)
    exact = found[(found["part"] == IDENTITY) & (found["epsilon"] == NEXT_TO_NONE)].set_index("init_scale")
    return pd.DataFrame(
        [
            {
                "norm": rates.NAMES[arm],
                "scale": scale,
                "accuracy at the fixed rate, %": 100 * accuracy[arm, scale],
                "fixed rate": rate[arm],
                "accuracy at the best rate, %": own[arm, scale],
                "best rate": best[arm][scale],
                "gradient ratio of a normalized layer": exact["gradient_ratio"][scale] if arm == "batch" else math.nan,
            }
            for arm in rates.ARMS
            for scale in best[arm]
        ]
    )


def draw(found: pd.DataFrame) -> Figure:
    """Accuracy over the scale, the best rate over the scale, and accuracy over the rate for each scale."""
    figure, (over_scale, of_rates, over_rates) = panels(3, width=3.9, share_y=False)
    fixed, best, accuracy = at_fixed_rate(found), best_rates(found), _at_best(found)
    scales, grid = sorted(best["batch"]), sorted(set(trained(found)["learning_rate"]))
    for arm in rates.ARMS:
        label, colour = rates.NAMES[arm], rates.COLOURS[arm]
        of_arm = fixed[fixed["norm"] == arm]
        mean_and_seeds(over_scale, of_arm, "init_scale", "test_accuracy", label=label, colour=colour)
        learned = [scale for scale in scales if accuracy[arm, scale] >= 100 * FAILS]
        of_rates.plot(learned, [best[arm][scale] for scale in learned], "o-", color=colour, label=label)
    square = [best["batch"][1.0] * scale**2 for scale in scales]
    of_rates.plot(scales, square, ":", color="0.2", linewidth=2, label="square of the scale")
    of_rates.set(ylim=(grid[0] / 1.6, grid[-1] * 1.6), yscale="log", ylabel="best learning rate")
    with_norm = trained(found)[lambda frame: frame["norm"] == "batch"]
    for scale, colour in zip(scales, colormaps["viridis"](np.linspace(0, 0.9, len(scales))), strict=True):
        of_scale = with_norm[with_norm["init_scale"] == scale]
        mean_and_seeds(over_rates, of_scale, "learning_rate", "test_accuracy", label=f"scale {scale:g}", colour=colour)
    for shown in (over_scale, of_rates):
        log_axis(shown, scales, "scale of the initial kernels")
    log_axis(over_rates, grid, "learning rate")
    over_scale.set(ylabel="test accuracy, %", title="at the rate that suits scale 1")
    of_rates.set_title("the rate that suits each scale")
    over_rates.set(ylabel="test accuracy, %", title="batch norm")
    for shown in (over_scale, of_rates, over_rates):
        shown.legend(frameon=False, fontsize="small")
    return figure


CLAIM = Claim(
    statement="With batch normalization training is insensitive to the scale of the initial weights.",
    evidence="BN(aWx) = BN(Wx) for every a above 0, an identity (Ioffe & Szegedy 2015, section 3.3).",
    contradiction=(
        "The gradient by the weights falls as one over their scale, so that the effective learning rate falls as one "
        "over its square: the scale is a learning rate under another name (van Laarhoven 2017)."
    ),
    setup=(
        "An MLP of six hidden layers of 64 ReLU units on scikit-learn's digits, whose hidden kernels start "
        f"{', '.join(f'{scale:g}' for scale in SCALES)} times as large as usual; the classifier, which no norm "
        f"follows, starts as usual in every arm. Plain SGD without momentum or weight decay, batches of 64, {EPOCHS} "
        f"epochs, {RATES[2]} learning rates from {RATES[0]:g} to {RATES[1]:g} on half a cosine. The fixed rate of an "
        "arm is its best at the usual scale, by the mean validation loss. The identity and the gradient are computed "
        "in float64 for one layer of 64 units, its input digits."
    ),
    criterion=(
        f"At the fixed rate: `does not hold` unless with batch norm the test accuracy is at least {100 * WORKS:.0f} % "
        f"at every scale, while without a norm it is below {100 * FAILS:.0f} % at more than half of them. If so, "
        "`holds` if moreover the best rates of batch norm at all scales are within one step of the grid, and `holds "
        "with a condition` if not: the rate must move with the scale."
    ),
    measure=measure,
    judge=judge,
    table=table,
    draw=draw,
    caption=(
        "Left: test accuracy over the scale, each arm at the rate that is best for it at the usual scale. Middle: the "
        "best rate at each scale at which anything was learned; the dotted line is the square of the scale, along "
        "which the effective rate stays the same. Right: test accuracy with batch norm over the rate, a line a scale."
    ),
    references=(
        "[Ioffe & Szegedy 2015](https://arxiv.org/abs/1502.03167)",
        "[van Laarhoven 2017](https://arxiv.org/abs/1706.05350)",
    ),
)
