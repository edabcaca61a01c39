"""The claim that batch norm raises accuracy."""

import pandas as pd
from matplotlib.figure import Figure

from bnzoo.tuning import ResNetSpace
from recipes.claims import rates
from recipes.claims.bench import Bench, rows
from recipes.claims.claim import CONDITION, HOLDS, NOT, Claim, Verdict
from recipes.claims.networks import FILTERS
from recipes.claims.pictures import arms_with_seeds
from recipes.claims.statistics import Interval, at_best_rate, interval, paired

MARGIN = 0.5  # the largest loss of batch norm, in points, that still counts as a condition


def measure(bench: Bench) -> pd.DataFrame:
    """Run the study that claims share, and a study of a small ResNet."""
    depth = bench.on(digits=8, images=14)
    space = ResNetSpace(
        depths=(depth,),
        learning_rates=(0.01, 1.0, bench.points(5, quick=3)),
        norms=("batch", None),
        placement="post",
        weight_decay=0.0,
        **bench.on(digits={}, images={"filters": FILTERS}),
    )
    epochs = bench.epochs(*bench.on(digits=(12, 8), images=(4, 8)))
    results = bench.study("accuracy-resnet", space, bench.data, epochs=epochs)
    return pd.concat([rates.measure(bench), rows(results, part=f"ResNet-{depth}")], ignore_index=True)


def gains(frame: pd.DataFrame) -> dict[str, Interval]:
    """Return the gain of batch norm in points of test accuracy, by network, with each arm at its own best rate."""
    best = at_best_rate(frame, ["part", "norm"])
    return {
        part: interval(100 * paired(of_part, "norm", "batch", "none", "test_accuracy"))
        for part, of_part in best.groupby("part", sort=False)
    }


def judge(frame: pd.DataFrame) -> Verdict:
    """Judge whether the gain is clear in every network, or at least no clear loss."""
    gain = gains(frame)
    lowest = min(each.low for each in gain.values())
    word = HOLDS if lowest > 0 else CONDITION if lowest >= -MARGIN else NOT
    said = "; ".join(f"{part} {each.text()}" for part, each in gain.items())
    condition = {
        HOLDS: "",
        CONDITION: " There is no clear loss, but the gain is clear only if the interval is above 0.",
        NOT: f" The loss may be more than {MARGIN} points.",
    }[word]
    return Verdict(
        word,
        f"Gain in points of test accuracy, with each arm at its own best learning rate: {said}.{condition}",
        (_at_smallest_rate(frame),),
    )


def _at_smallest_rate(frame: pd.DataFrame) -> str:
    part = frame["part"].iloc[0]
    rows_of = frame[frame["part"] == part]
    rate = rows_of["learning_rate"].min()
    gain = interval(100 * paired(rows_of[rows_of["learning_rate"] == rate], "norm", "batch", "none", "test_accuracy"))
    said = f"At an equal, small learning rate of {rate:g} the gain of the {part} is {gain.text()} points"
    if gain.high < gains(frame)[part].low:
        said += ": the gain comes from the higher learning rate that batch norm allows"
    return said + "."


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the test accuracy at the best rate of each arm."""
    best = at_best_rate(frame, ["part", "norm"])
    groups = best.groupby(["part", "norm"], sort=False)
    return pd.DataFrame(
        {
            "learning rate": groups["learning_rate"].first(),
            "test accuracy, %": 100 * groups["test_accuracy"].mean(),
            "deviation over seeds": 100 * groups["test_accuracy"].std(),
        }
    ).reset_index(names=["network", "norm"])


def draw(frame: pd.DataFrame) -> Figure:
    """Draw every seed of each arm at its best rate."""
    best = at_best_rate(frame, ["part", "norm"])
    return arms_with_seeds(best, panel="part", arm="norm", value="test_accuracy", names=rates.NAMES)


CLAIM = Claim(
    statement="Batch normalization raises the accuracy of a network.",
    evidence=(
        "Accuracy of Inception on ImageNet: 72.2 % without batch norm, 72.7 % with it, 74.8 % with it at 30 times the "
        "learning rate (Ioffe & Szegedy 2015, section 4.2)."
    ),
    contradiction=(
        "That comparison also changed the training recipe. At an equal, small learning rate the accuracy is equal "
        "(Bjorck et al. 2018). Networks without any norm reach the same accuracy (Fixup, Zhang et al. 2019; NFNets, "
        "Brock et al. 2021)."
    ),
    setup=rates.SETUP
    + " In addition a ResNet-8: SGD with momentum 0.9, five rates from 0.01 to 1, 12 epochs. Both arms "
    "use the rate with their lowest mean validation loss. Their test accuracy is compared seed by seed.",
    criterion=(
        "`holds` if the lower end of the 95 % interval of the paired gain is above 0 for every network. "
        f"`holds with a condition` if it is at least -{MARGIN} points for every network. Otherwise `does not hold`."
    ),
    measure=measure,
    judge=judge,
    table=table,
    draw=draw,
    caption="Test accuracy of every seed at the best learning rate of each arm. The bar is the mean.",
    references=(
        "[Ioffe & Szegedy 2015](https://arxiv.org/abs/1502.03167)",
        "[Bjorck et al. 2018](https://arxiv.org/abs/1806.02375)",
        "[Zhang et al. 2019](https://arxiv.org/abs/1901.09321)",
        "[Brock et al. 2021](https://arxiv.org/abs/2102.06171)",
    ),
    on_images=rates.ON_IMAGES
    + f" In addition a ResNet-14 with {FILTERS} filters: SGD with momentum 0.9, five rates from 0.01 to 1, 4 "
    "epochs (8 in the quick run). Both arms use the rate with their lowest mean validation loss. "
    "Their test accuracy is compared seed by seed.",
)
