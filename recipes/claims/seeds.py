"""The claim that results with batch norm agree across seeds."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recipes.claims import rates
from recipes.claims.claim import CONDITION, HOLDS, NOT, Claim, Verdict
from recipes.claims.pictures import log_axis, panels
from recipes.claims.statistics import every_seed_learned

RATIO = 3.0
RATE = 0.3  # the learning rate of the verdict: the nearest one in the grid


def spreads(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the standard deviation of the test accuracy over seeds, in points: a row per rate, a column per arm."""
    return 100 * frame.groupby(["learning_rate", "norm"])["test_accuracy"].std().unstack()


def ratios(frame: pd.DataFrame) -> pd.Series:
    """Return the ratio of the standard deviations without a norm and with batch norm, by learning rate."""
    spread = spreads(frame)
    return spread["none"] / spread["batch"].clip(lower=1e-9)


def judge(frame: pd.DataFrame) -> Verdict:
    """Judge whether the deviation is three times as large without a norm, at one rate and over all rates."""
    spread, ratio = spreads(frame), ratios(frame)
    asked = min(ratio.index, key=lambda rate: abs(np.log(rate / RATE)))
    everywhere = ratio[every_seed_learned(frame, ["learning_rate"])].median()
    word = NOT if not ratio[asked] >= RATIO else HOLDS if everywhere >= RATIO else CONDITION
    condition = (
        ""
        if word != CONDITION
        else f" Over the rates at which every seed of both arms learns, the median ratio is {everywhere:.1f}. The "
        "deviation depends on the distance to the edge of stability."
    )
    at = spread.loc[asked]
    return Verdict(
        word,
        f"Standard deviation of the test accuracy over seeds, at learning rate {asked:g}: {at['none']:.1f} points "
        f"without a norm, {at['batch']:.1f} points with batch norm (ratio {ratio[asked]:.1f}).{condition}",
        (
            "Standard deviation at each rate, without a norm and with batch norm: "
            + "; ".join(_pair(rate, *spread.loc[rate, ["none", "batch"]]) for rate in spread.index)
            + ".",
        ),
    )


def _pair(rate: float, none: float, batch: float) -> str:
    return f"{rate:g}: {none:.1f} and {batch:.1f}"


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the standard deviation at each rate."""
    spread = spreads(frame)[list(rates.ARMS)].rename(columns=rates.NAMES)
    return spread.assign(ratio=ratios(frame)).rename_axis("learning rate").reset_index()


def draw(frame: pd.DataFrame) -> Figure:
    """Draw the standard deviation over the learning rate, and the test accuracy of every seed."""
    figure, axes = panels(2, share_y=False)
    spread = spreads(frame)
    for arm in rates.ARMS:
        look = {"color": rates.COLOURS[arm], "label": rates.NAMES[arm]}
        axes[0].plot(spread.index, spread[arm], "o-", **look)
        of_arm = frame[frame["norm"] == arm]
        axes[1].plot(of_arm["learning_rate"], 100 * of_arm["test_accuracy"], "o", markersize=4, alpha=0.5, **look)
    for shown in axes:
        log_axis(shown, spread.index, "learning rate")
    axes[0].set_ylabel("deviation over seeds, points")
    axes[1].set_ylabel("test accuracy, %")
    axes[0].legend(frameon=False)
    return figure


CLAIM = Claim(
    statement="With batch normalization results agree across random seeds.",
    evidence="We know of no strong published result. Many introductions to batch norm make this claim.",
    contradiction=(
        "The variation between seeds depends mainly on the distance of training to the edge of stability (Cohen et al. "
        "2021 describe this edge), and batch norm moves the edge."
    ),
    setup=rates.SETUP,
    criterion=(
        f"`holds` if the standard deviation of the test accuracy over seeds is at least {RATIO:g} times as large "
        f"without a norm, both at the rate nearest to {RATE:g} and in the median over all rates at which every seed of "
        "both arms learns. `holds with a condition` if this is true only at the rate nearest to "
        f"{RATE:g}. Otherwise `does not hold`."
    ),
    measure=rates.measure,
    judge=judge,
    table=table,
    draw=draw,
    caption="Left: the standard deviation of the test accuracy over seeds. Right: the test accuracy of every seed.",
    references=("[Cohen et al. 2021](https://arxiv.org/abs/2103.00065)",),
)
