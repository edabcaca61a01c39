"""The claim that training with batch norm is insensitive to the scale of the initial weights."""

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
from recipes.claims.statistics import at_best_rate, interval

SCALES = (0.1, 0.3, 1.0, 3.0, 10.0)
RATES = (0.03, 30.0, 7)
WORKS, FAILS = 0.75, 0.5
EPOCHS = 10
EPSILON, NEXT_TO_NONE = 1e-5, 1e-12  # the default of bnzoo, and a negligible one
TRAINED, IDENTITY = "trained", "identity"
_EXAMPLES = 256


class ScaledMLPSpace(MLPSpace):
    """MLP space whose hidden kernels start `init_scale` times as large. The classifier has no norm and is unchanged."""

    further_options = ("init_scale",)

    def model(
        self, depth: int, norm: Norm, input_tensor: Any, *, init_scale: float = 1.0, **options: Any
    ) -> keras.Model:
        """Build the model of `MLPSpace`, and scale its hidden kernels."""
        model = super().model(depth, norm, input_tensor, **options)
        *hidden, _ = (layer for layer in model.layers if isinstance(layer, keras.layers.Dense))
        for layer in hidden:
            layer.kernel.assign(init_scale * layer.kernel)
        return model


def measure(bench: Bench) -> pd.DataFrame:
    """Run the study of scales and rates, and measure the effect of the scale on a layer and its gradient."""
    space = ScaledMLPSpace(
        depths=(6,),
        learning_rates=(*RATES[:2], bench.points(RATES[2], quick=5)),
        norms=("batch", None),
        placement="post",
        width=64,
        init_scale=sorted({*bench.some(SCALES, quick=3), 1.0}),
        momentum=0.0,
        weight_decay=0.0,
    )
    results = bench.study("initialization", space, bench.data, epochs=bench.epochs(EPOCHS))
    exact = [
        {"init_scale": scale, "epsilon": epsilon, **identity(bench.data, scale, epsilon)}
        for epsilon in (EPSILON, NEXT_TO_NONE)
        for scale in SCALES
    ]
    return pd.concat([rows(results, part=TRAINED), pd.DataFrame(exact).assign(part=IDENTITY)], ignore_index=True)


def identity(data: Dataset, scale: float, epsilon: float) -> dict[str, float]:
    """Compare BN(aWx) and its gradient with BN(Wx) and its gradient, in float64, for inputs x and a random kernel W.

    Args:
        data: A `Dataset`.
        scale: Float, the factor a.
        epsilon: Float, the epsilon of the norm.

    Returns:
        Dict with three floats. `deviation`: the largest difference of the outputs over the largest output.
        `gradient_ratio`: the length of the kernel's gradient at aW over its length at W. `gradient_deviation`: the
        difference between a times the gradient at aW and the gradient at W, relative to the length of the latter.
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


def trained(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of trained networks."""
    return frame[frame["part"] == TRAINED]


def best_rates(frame: pd.DataFrame) -> dict[str, dict[float, float]]:
    """Return the best rate of each arm at each scale."""
    best = at_best_rate(trained(frame), ["norm", "init_scale"]).groupby(["norm", "init_scale"])["learning_rate"].first()
    return {arm: best[arm].to_dict() for arm in rates.ARMS}


def at_fixed_rate(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each arm at its best rate for the usual scale."""
    best = best_rates(frame)
    return trained(frame)[lambda runs: runs["learning_rate"] == [best[arm][1.0] for arm in runs["norm"]]]


def other_rates(frame: pd.DataFrame, arm: str) -> list[float]:
    """Return the scales at which the fixed rate of an arm is clearly too low or too high.

    The best rate of the scale is then more than one step of the grid from the fixed one, and the 95 % interval of the
    difference of their validation losses, paired by seed, is above 0.
    """
    runs, best = trained(frame), best_rates(frame)[arm]
    grid, scales = sorted(set(runs["learning_rate"])), []
    for scale, rate in best.items():
        of_scale = runs[(runs["norm"] == arm) & (runs["init_scale"] == scale)]
        scores = of_scale.pivot(index="seed", columns="learning_rate", values="score")
        apart = abs(grid.index(rate) - grid.index(best[1.0]))
        if apart > 1 and interval(scores[best[1.0]] - scores[rate]).low > 0:
            scales.append(scale)
    return scales


def judge(frame: pd.DataFrame) -> Verdict:
    """Judge whether the rate for the usual scale works at all scales with batch norm only, and is always the best."""
    best, at_best, others = best_rates(frame), _at_best(frame), other_rates(frame, "batch")
    accuracy = at_fixed_rate(frame).groupby(["norm", "init_scale"])["test_accuracy"].mean()
    lowest = accuracy["batch"].min(skipna=False)
    failed = (accuracy["none"] < FAILS).sum()
    decides = lowest >= WORKS and failed > len(accuracy["none"]) / 2
    word = NOT if not decides else CONDITION if others else HOLDS
    condition = (
        ""
        if word != CONDITION
        else f" But with batch norm another rate is clearly better at the scales "
        f"{', '.join(f'{scale:g}' for scale in others)}: the function of the network is independent of the scale, but "
        "its training is not."
    )
    return Verdict(
        word,
        f"At the best rate for the usual scale, the lowest test accuracy over the scales is {100 * lowest:.1f} % with "
        f"batch norm. Without a norm, test accuracy is below {100 * FAILS:.0f} % at {failed} of "
        f"{len(accuracy['none'])} scales.{condition}",
        (
            *(f"Best rate by scale, {rates.NAMES[arm]}: {_by_scale(best[arm])}." for arm in rates.ARMS),
            "Test accuracy at the best rate of each scale, %: "
            + "; ".join(f"{rates.NAMES[arm]} {_by_scale(at_best[arm].to_dict())}" for arm in rates.ARMS)
            + ".",
            _at_lowest_rate(frame),
            _identity_note(frame),
        ),
    )


def _by_scale(values: dict[float, float]) -> str:
    return ", ".join(f"{value:.4g} at {scale:g}" for scale, value in values.items())


def _at_best(frame: pd.DataFrame) -> pd.Series:
    best = at_best_rate(trained(frame), ["norm", "init_scale"])
    return (100 * best.groupby(["norm", "init_scale"])["test_accuracy"].mean()).round(1)


def _at_lowest_rate(frame: pd.DataFrame) -> str:
    rows_of = trained(frame)
    lowest = rows_of["learning_rate"].min()
    at = rows_of[(rows_of["norm"] == "batch") & (rows_of["learning_rate"] == lowest)]
    means = (100 * at.groupby("init_scale")["test_accuracy"].mean()).round(1)
    return f"At the lowest rate, {lowest:g}, test accuracy with batch norm, %: {_by_scale(means.to_dict())}."


def _identity_note(frame: pd.DataFrame) -> str:
    exact = frame[frame["part"] == IDENTITY]
    deviation = exact.groupby("epsilon")["deviation"].max()
    off = exact.loc[exact["epsilon"] == NEXT_TO_NONE, "gradient_deviation"].max()
    scales = exact["init_scale"]
    return (
        f"In float64 and for a from {scales.min():g} to {scales.max():g}, BN(aWx) differs from BN(Wx) by at most "
        f"{deviation[NEXT_TO_NONE]:.1e} of the largest output if epsilon is {NEXT_TO_NONE:g}, and by "
        f"{deviation[EPSILON]:.1e} with the usual {EPSILON:g}. The gradient by aW is 1/a of the gradient by W, to "
        f"within {off:.1e}: relative to the weights, a step is 1/a² as large."
    )


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy of each arm and scale at the fixed and the best rate; with batch norm also the gradient."""
    fixed = at_fixed_rate(frame)
    accuracy, own = fixed.groupby(["norm", "init_scale"])["test_accuracy"].mean(), _at_best(frame)
    rate, best = fixed.groupby("norm")["learning_rate"].first(), best_rates(frame)
    exact = frame[(frame["part"] == IDENTITY) & (frame["epsilon"] == NEXT_TO_NONE)].set_index("init_scale")
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


def draw(frame: pd.DataFrame) -> Figure:
    """Draw accuracy over scale, best rate over scale, and accuracy over rate for each scale."""
    figure, (over_scale, of_rates, over_rates) = panels(3, width=3.9, share_y=False)
    fixed, best, accuracy = at_fixed_rate(frame), best_rates(frame), _at_best(frame)
    scales, grid = sorted(best["batch"]), sorted(set(trained(frame)["learning_rate"]))
    for arm in rates.ARMS:
        label, colour = rates.NAMES[arm], rates.COLOURS[arm]
        of_arm = fixed[fixed["norm"] == arm]
        mean_and_seeds(over_scale, of_arm, "init_scale", "test_accuracy", label=label, colour=colour)
        learned = [scale for scale in scales if accuracy[arm, scale] >= 100 * FAILS]
        of_rates.plot(learned, [best[arm][scale] for scale in learned], "o-", color=colour, label=label)
    square = [best["batch"][1.0] * scale**2 for scale in scales]
    of_rates.plot(scales, square, ":", color="0.2", linewidth=2, label="square of the scale")
    of_rates.set(ylim=(grid[0] / 1.6, grid[-1] * 1.6), yscale="log", ylabel="best learning rate")
    with_norm = trained(frame)[lambda runs: runs["norm"] == "batch"]
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
    evidence="An identity: BN(aWx) = BN(Wx) for every a above 0 (Ioffe & Szegedy 2015, section 3.3).",
    contradiction=(
        "The gradient by the weights is inversely proportional to their scale, so the effective learning rate is "
        "inversely proportional to the square of the scale. The scale acts like a learning rate (van Laarhoven 2017)."
    ),
    setup=(
        "An MLP with six hidden layers of 64 ReLU units, on scikit-learn's digits. Its hidden kernels start "
        f"{', '.join(f'{scale:g}' for scale in SCALES)} times as large as usual. The classifier, which has no norm, "
        f"starts as usual in every arm. Plain SGD without momentum or weight decay, batches of 64, {EPOCHS} epochs, "
        f"{RATES[2]} learning rates from {RATES[0]:g} to {RATES[1]:g}, which decay along half a cosine. The fixed rate "
        "of an arm is the rate with its lowest mean validation loss at the usual scale. The identity and the gradient "
        "are computed in float64, for one layer of 64 units with digits as inputs."
    ),
    criterion=(
        f"At the fixed rate, the test accuracy must be at least {100 * WORKS:.0f} % at every scale with batch norm, "
        f"and below {100 * FAILS:.0f} % at more than half of the scales without a norm. Otherwise `does not hold`. "
        "`holds with a condition` if in addition another rate is clearly better for batch norm at some scale: more "
        "than one step of the grid from the fixed one, with the 95 % interval of the paired difference of the "
        "validation losses above 0. Else `holds`. (In the first version it was enough that the best rates were more "
        "than one step apart, which can be by chance.)"
    ),
    measure=measure,
    judge=judge,
    table=table,
    draw=draw,
    caption=(
        "Left: test accuracy over the scale, each arm at its best rate for the usual scale. Middle: the best rate at "
        "each scale at which the network learned. The dotted line is proportional to the square of the scale: the "
        "effective rate is constant along it. Right: test accuracy with batch norm over the rate, with a line per "
        "scale."
    ),
    references=(
        "[Ioffe & Szegedy 2015](https://arxiv.org/abs/1502.03167)",
        "[van Laarhoven 2017](https://arxiv.org/abs/1706.05350)",
    ),
)
