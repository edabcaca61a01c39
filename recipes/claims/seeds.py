"""Do results with batch norm agree better across seeds?"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recipes.claims import rates
from recipes.claims.claim import CONDITION, HOLDS, NOT, Claim, Verdict
from recipes.claims.pictures import log_axis, panels
from recipes.claims.statistics import every_seed_learned

RATIO = 3.0
RATE = 0.3  # the one that is asked about; the nearest of the grid is taken


def spreads(found: pd.DataFrame) -> pd.DataFrame:
    """The standard deviation of the test accuracy over the seeds, a row a rate and a column an arm, in points."""
    return 100 * found.groupby(["learning_rate", "norm"])["test_accuracy"].std().unstack()


def ratios(found: pd.DataFrame) -> pd.Series:
    """How many times as large the spread is without a norm as with batch norm, by learning rate."""
    spread = spreads(found)
    return spread["none"] / spread["batch"].clip(lower=1e-9)


def judge(found: pd.DataFrame) -> Verdict:
    """Whether the spread is three times as large without a norm, near the edge of its stability and elsewhere."""
    spread, ratio = spreads(found), ratios(found)
    asked = min(ratio.index, key=lambda rate: abs(np.log(rate / RATE)))
    everywhere = ratio[every_seed_learned(found, ["learning_rate"])].median()
    word = NOT if not ratio[asked] >= RATIO else HOLDS if everywhere >= RATIO else CONDITION
    condition = (
        ""
        if word != CONDITION
        else f" Over the rates at which both learn in every seed the median ratio is {everywhere:.1f}: it is the "
        "distance from the edge of stability that decides."
    )
    at = spread.loc[asked]
    return Verdict(
        word,
        f"Deviation of the test accuracy over seeds at rate {asked:g}: {at['none']:.1f} points without a norm, "
        f"{at['batch']:.1f} with batch norm (ratio {ratio[asked]:.1f}).{condition}",
        (
            "At each rate, without and with: "
            + "; ".join(_pair(rate, *spread.loc[rate, ["none", "batch"]]) for rate in spread.index)
            + ".",
        ),
    )


def _pair(rate: float, none: float, batch: float) -> str:
    return f"{rate:g}: {none:.1f} and {batch:.1f}"


def table(found: pd.DataFrame) -> pd.DataFrame:
    """The deviation at each rate."""
    spread = spreads(found)[list(rates.ARMS)].rename(columns=rates.NAMES)
    return spread.assign(ratio=ratios(found)).rename_axis("learning rate").reset_index()


def draw(found: pd.DataFrame) -> Figure:
    """The deviation over the learning rate, and where it comes from: every seed."""
    figure, axes = panels(2, share_y=False)
    spread = spreads(found)
    for arm in rates.ARMS:
        look = {"color": rates.COLOURS[arm], "label": rates.NAMES[arm]}
        axes[0].plot(spread.index, spread[arm], "o-", **look)
        of_arm = found[found["norm"] == arm]
        axes[1].plot(of_arm["learning_rate"], 100 * of_arm["test_accuracy"], "o", markersize=4, alpha=0.5, **look)
    for shown in axes:
        log_axis(shown, spread.index, "learning rate")
    axes[0].set_ylabel("deviation over seeds, points")
    axes[1].set_ylabel("test accuracy, %")
    axes[0].legend(frameon=False)
    return figure


CLAIM = Claim(
    statement="With batch normalization results agree across random seeds.",
    evidence="No strong published result is known to us; it is said of batch norm in many introductions.",
    contradiction=(
        "What spreads results is mostly how near training is to the edge of its stability (Cohen et al. 2021 for that "
        "edge), and batch norm moves the edge."
    ),
    setup=rates.SETUP,
    criterion=(
        f"`holds` if the standard deviation of the test accuracy over the seeds is at least {RATIO:g} times as large "
        f"without a norm, at the rate nearest to {RATE:g} and in the median over all rates at which both learn in "
        "every seed; `holds with a condition` if only at that rate; else `does not hold`."
    ),
    measure=rates.measure,
    judge=judge,
    table=table,
    draw=draw,
    caption="Left: the standard deviation of the test accuracy over seeds. Right: the seeds themselves.",
    references=("[Cohen et al. 2021](https://arxiv.org/abs/2103.00065)",),
)
