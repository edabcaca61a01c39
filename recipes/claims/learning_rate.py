"""The claim that batch norm allows higher learning rates and faster training."""

import math

import pandas as pd
from matplotlib.figure import Figure

from recipes.claims import rates
from recipes.claims.bench import Bench
from recipes.claims.claim import CONDITION, HOLDS, NOT, Claim, Verdict
from recipes.claims.pictures import log_axis, mean_and_seeds, panels
from recipes.claims.statistics import LEVEL, LEVEL_ON_IMAGES, at_best_rate, every_seed_learned, level

RATIO = 10.0  # two steps of the grid, whose rates are rounded
SMALL_BATCH = 8
LARGE, SMALL, WARM_UP = "batches of 64", f"batches of {SMALL_BATCH}", "batches of 64, warm-up"


def measure(bench: Bench) -> pd.DataFrame:
    """Run the shared study, the same study in small batches, and with a warm-up."""
    space = rates.space(bench, batch_size=SMALL_BATCH)
    epochs = bench.epochs(*bench.on(digits=(4, 3), images=(2, 2)))
    results = bench.study("rates-small-batch", space, bench.data, epochs=epochs)
    small = rates.with_steps(results, bench, SMALL_BATCH)
    space = rates.space(bench, schedule="warmup_cosine")
    results = bench.study("rates-warm-up", space, bench.data, epochs=rates.epochs(bench))
    warm = rates.with_steps(results, bench, batch_size=64)
    parts = {LARGE: rates.measure(bench), SMALL: small, WARM_UP: warm}
    return pd.concat([frame.assign(part=part) for part, frame in parts.items()], ignore_index=True)


def largest_stable(frame: pd.DataFrame) -> dict[str, float]:
    """Return the largest rate of each arm at which every seed learned; NaN if there is none."""
    stable = every_seed_learned(frame, ["norm", "learning_rate"]).reset_index()
    stable = stable[stable["ok"]]
    return {arm: stable.loc[stable["norm"] == arm, "learning_rate"].max() for arm in rates.ARMS}


def steps(frame: pd.DataFrame) -> dict[str, float]:
    """Return the median steps to the level of each arm at its own best rate; infinite for a seed that never does it."""
    best, column = at_best_rate(frame, ["norm"]), rates.steps_column(level(frame))
    return {arm: best.loc[best["norm"] == arm, column].fillna(math.inf).median() for arm in rates.ARMS}


def good_rates(frame: pd.DataFrame) -> dict[str, list[float]]:
    """Return the rates of each arm with a mean accuracy within two points of its best."""
    means = frame.groupby(["norm", "learning_rate"])["accuracy"].mean()
    return {arm: list(means[arm].index[means[arm] >= means[arm].max() - 0.02]) for arm in rates.ARMS}


def _ratio(frame: pd.DataFrame) -> float:
    largest = largest_stable(frame)
    return largest["batch"] / largest["none"]


def judge(frame: pd.DataFrame) -> Verdict:
    """Judge whether the largest stable rate is at least ten times as high, and fewer steps are needed."""
    large, small = (frame[frame["part"] == part] for part in (LARGE, SMALL))
    largest, taken, ratio, word = largest_stable(large), steps(large), _ratio(large), _word(large)
    to = _percent(frame)
    condition = f" But batch norm does not need fewer steps to {to}." if word == CONDITION else ""
    good = {arm: f"{min(values):g} to {max(values):g}" for arm, values in good_rates(large).items()}
    return Verdict(
        word,
        f"Largest stable learning rate: {largest['batch']:g} with batch norm, {largest['none']:g} without (ratio "
        f"{ratio:.1f}). Steps to {to} at the best rate of each arm: {_words(taken)}." + condition,
        (
            f"Rates within two points of the best accuracy: {good['batch']} with batch norm, {good['none']} without.",
            f"In batches of {SMALL_BATCH} the ratio of the largest stable rates is {_ratio(small):.1f}; with the same "
            f"{small['seed'].nunique()} seeds in batches of 64 it is {_ratio(_of_seeds(large, small)):.1f}. Steps to "
            f"{to}: {_words(steps(small))}.",
            *_of_warm_up(large, frame[frame["part"] == WARM_UP]),
        ),
    )


def _of_seeds(frame: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the seeds of other rows: more seeds are less often all stable."""
    return frame[frame["seed"].isin(other["seed"])]


def _word(frame: pd.DataFrame) -> str:
    taken = steps(frame)
    return NOT if not round(_ratio(frame), 1) >= RATIO else HOLDS if taken["batch"] < taken["none"] else CONDITION


def _of_warm_up(without: pd.DataFrame, warm: pd.DataFrame) -> tuple[str, ...]:
    """Return a sentence on the change by a warm-up. Rows of earlier versions have none."""
    if warm.empty:
        return ()
    without = _of_seeds(without, warm)
    before, after = largest_stable(without), largest_stable(warm)
    verdict = "stays the same" if _word(warm) == _word(without) else f"would be `{_word(warm)}`"
    return (
        f"With a warm-up the largest stable rate is {after['batch']:g} with batch norm and {after['none']:g} without; "
        f"with the same {warm['seed'].nunique()} seeds and no warm-up it is {before['batch']:g} and "
        f"{before['none']:g}. The ratio is {_ratio(warm):.1f}. Steps to {_percent(warm)}: {_words(steps(warm))}. The "
        f"verdict {verdict}.",
    )


def _percent(frame: pd.DataFrame) -> str:
    return f"{100 * level(frame):.0f} %"


def _words(taken: dict[str, float]) -> str:
    words = {arm: f"{many:.0f}" if math.isfinite(many) else "never reached" for arm, many in taken.items()}
    return f"{words['batch']} with batch norm, {words['none']} without"


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the largest stable rate, the best rate and the steps to the level of each arm and batch size."""
    lines = []
    for part, of_part in frame.groupby("part", sort=False):
        largest, taken, best = largest_stable(of_part), steps(of_part), at_best_rate(of_part, ["norm"])
        for arm in rates.ARMS:
            at_best = best[best["norm"] == arm]
            lines.append(
                {
                    "batch size": part,
                    "norm": rates.NAMES[arm],
                    "largest stable rate": largest[arm],
                    "best rate": at_best["learning_rate"].iloc[0],
                    f"steps to {_percent(frame)}": taken[arm],
                    "accuracy there, %": 100 * at_best["test_accuracy"].mean(),
                }
            )
    return pd.DataFrame(lines)


def draw(frame: pd.DataFrame) -> Figure:
    """Draw the validation accuracy over the learning rate."""
    parts = list(dict.fromkeys(frame["part"]))
    figure, axes = panels(len(parts))
    for shown, part in zip(axes, parts, strict=True):
        of_part = frame[frame["part"] == part]
        for arm in rates.ARMS:
            of_arm = of_part[of_part["norm"] == arm]
            colour, label = rates.COLOURS[arm], rates.NAMES[arm]
            mean_and_seeds(shown, of_arm, "learning_rate", "accuracy", label=label, colour=colour)
        log_axis(shown, sorted(set(of_part["learning_rate"])), "learning rate")
        shown.set_title(part)
    axes[0].set_ylabel("validation accuracy, %")
    axes[0].legend(frameon=False)
    return figure


CLAIM = Claim(
    statement="Batch normalization allows higher learning rates, and so faster training.",
    evidence="Inception reaches the same accuracy in 14 times fewer steps (Ioffe & Szegedy 2015, figure 3).",
    contradiction=(
        "With small batches, noise limits the learning rate instead of curvature, and batch norm has little effect "
        "(De & Smith 2020). The largest stable rate depends on the warm-up (Kalra & Barkeshli 2024)."
    ),
    setup=rates.SETUP + f" In addition the same in batches of {SMALL_BATCH}, 4 epochs, and in batches of 64 with a "
    "linear warm-up over the first 5 % of the steps before the cosine, both with half as many seeds as the first "
    "study. "
    f"{rates.STABLE}",
    criterion=(
        f"`holds` if with batch norm the largest stable rate is at least {RATIO:g} times as high, and fewer steps are "
        "needed to 90 % validation accuracy, each arm at its own best rate. `holds with a condition` if only the "
        "first is true. Otherwise `does not hold`. Batches of 64 without a warm-up determine the verdict. The small "
        "batches and the warm-up are only reported. (In the first version a ratio of 3 was enough, less than a step of "
        "the grid.)"
    ),
    measure=measure,
    judge=judge,
    table=table,
    draw=draw,
    caption="Validation accuracy after training over the learning rate. Lines connect the means, points are seeds.",
    references=(
        "[Ioffe & Szegedy 2015](https://arxiv.org/abs/1502.03167)",
        "[De & Smith 2020](https://arxiv.org/abs/2002.10444)",
        "[Kalra & Barkeshli 2024](https://arxiv.org/abs/2406.09405)",
    ),
    on_images=rates.ON_IMAGES + f" In addition the same in batches of {SMALL_BATCH}, 2 epochs, and in batches of 64 "
    f"with a linear warm-up over the first 5 % of the steps before the cosine. {rates.STABLE} "
    f"The criterion is the same, with {100 * LEVEL_ON_IMAGES:.0f} % instead of "
    f"{100 * LEVEL:.0f} % validation accuracy: networks of this size do not reach {100 * LEVEL:.0f} % on images that "
    "are harder than digits.",
)
