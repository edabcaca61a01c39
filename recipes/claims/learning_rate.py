"""Does batch norm allow faster training at higher learning rates?"""

import math

import pandas as pd
from matplotlib.figure import Figure

from recipes.claims import rates
from recipes.claims.bench import Bench
from recipes.claims.claim import CONDITION, HOLDS, NOT, Claim, Verdict
from recipes.claims.pictures import log_axis, mean_and_seeds, panels
from recipes.claims.statistics import at_best_rate, every_seed_learned

RATIO = 3.0
SMALL_BATCH = 8
LARGE, SMALL = "batches of 64", f"batches of {SMALL_BATCH}"


def measure(bench: Bench) -> pd.DataFrame:
    """The grid, and the same in small batches."""
    space = rates.space(bench, batch_size=SMALL_BATCH)
    results = bench.study("rates-small-batch", space, bench.digits, epochs=bench.epochs(4, quick=3))
    small = rates.with_steps(results, bench, SMALL_BATCH)
    return pd.concat([rates.measure(bench).assign(part=LARGE), small.assign(part=SMALL)], ignore_index=True)


def largest_stable(found: pd.DataFrame) -> dict[str, float]:
    """The largest rate of each arm at which every seed learned; NaN if there is none."""
    stable = every_seed_learned(found, ["norm", "learning_rate"]).reset_index()
    stable = stable[stable["ok"]]
    return {arm: stable.loc[stable["norm"] == arm, "learning_rate"].max() for arm in rates.ARMS}


def steps(found: pd.DataFrame) -> dict[str, float]:
    """The median steps to 90 % of each arm at its own best rate; infinite where a seed never came there."""
    best = at_best_rate(found, ["norm"])
    return {arm: best.loc[best["norm"] == arm, "steps_to_90"].fillna(math.inf).median() for arm in rates.ARMS}


def good_rates(found: pd.DataFrame) -> dict[str, list[float]]:
    """The rates of each arm whose mean accuracy is within two points of its best."""
    means = found.groupby(["norm", "learning_rate"])["accuracy"].mean()
    return {arm: list(means[arm].index[means[arm] >= means[arm].max() - 0.02]) for arm in rates.ARMS}


def _ratio(found: pd.DataFrame) -> float:
    largest = largest_stable(found)
    return largest["batch"] / largest["none"]


def judge(found: pd.DataFrame) -> Verdict:
    """Whether the largest stable rate is at least three times as high, and fewer steps are needed."""
    large, small = (found[found["part"] == part] for part in (LARGE, SMALL))
    largest, taken, ratio = largest_stable(large), steps(large), _ratio(large)
    word = NOT if not ratio >= RATIO else HOLDS if taken["batch"] < taken["none"] else CONDITION
    condition = " But it needs no fewer steps to 90 %." if word == CONDITION else ""
    good = {arm: f"{min(values):g} to {max(values):g}" for arm, values in good_rates(large).items()}
    return Verdict(
        word,
        f"Largest stable rate {largest['batch']:g} with batch norm, {largest['none']:g} without (ratio {ratio:.1f}); "
        f"steps to 90 % at its own best rate: {_words(taken)}." + condition,
        (
            f"Rates within two points of the best accuracy: {good['batch']} with batch norm, {good['none']} without.",
            f"In batches of {SMALL_BATCH} the ratio of the largest stable rates is {_ratio(small):.1f}; steps to 90 %: "
            f"{_words(steps(small))}.",
        ),
    )


def _words(taken: dict[str, float]) -> str:
    words = {arm: f"{many:.0f}" if math.isfinite(many) else "never there" for arm, many in taken.items()}
    return f"{words['batch']} with batch norm, {words['none']} without"


def table(found: pd.DataFrame) -> pd.DataFrame:
    """Of each arm and batch size, the largest stable and the best rate, and the steps to 90 %."""
    lines = []
    for part, of_part in found.groupby("part", sort=False):
        largest, taken, best = largest_stable(of_part), steps(of_part), at_best_rate(of_part, ["norm"])
        for arm in rates.ARMS:
            at_best = best[best["norm"] == arm]
            lines.append(
                {
                    "batch size": part,
                    "norm": rates.NAMES[arm],
                    "largest stable rate": largest[arm],
                    "best rate": at_best["learning_rate"].iloc[0],
                    "steps to 90 %": taken[arm],
                    "accuracy there, %": 100 * at_best["test_accuracy"].mean(),
                }
            )
    return pd.DataFrame(lines)


def draw(found: pd.DataFrame) -> Figure:
    """Validation accuracy over the learning rate."""
    parts = list(dict.fromkeys(found["part"]))
    figure, axes = panels(len(parts))
    for shown, part in zip(axes, parts, strict=True):
        of_part = found[found["part"] == part]
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
    evidence="Inception reaches its accuracy in 14 times fewer steps (Ioffe & Szegedy 2015, figure 3).",
    contradiction=(
        "With small batches it is noise and not curvature that limits the rate, and batch norm brings little "
        "(De & Smith 2020)."
    ),
    setup=rates.SETUP + f" And the same in batches of {SMALL_BATCH}, 4 epochs. A rate is stable if every seed learned: "
    "its loss finite, below twice that of guessing at the end, and lower than guessing in training.",
    criterion=(
        f"`holds` if the largest stable rate is at least {RATIO:g} times as high with batch norm and fewer steps lead "
        "to 90 % validation accuracy, each arm at its own best rate; `holds with a condition` if only the first is so; "
        "else `does not hold`. Batches of 64 decide; the small ones are told beside."
    ),
    measure=measure,
    judge=judge,
    table=table,
    draw=draw,
    caption="Validation accuracy after training over the learning rate: lines through the means, each seed a point.",
    references=(
        "[Ioffe & Szegedy 2015](https://arxiv.org/abs/1502.03167)",
        "[De & Smith 2020](https://arxiv.org/abs/2002.10444)",
    ),
)
