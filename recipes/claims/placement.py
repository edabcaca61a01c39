"""The claim that full pre-activation is the best placement of batch norm."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from bnzoo.tuning import MLPSpace, ResNetSpace
from recipes.claims.bench import Bench, rows
from recipes.claims.claim import CONDITION, HOLDS, NOT, Claim, Verdict
from recipes.claims.networks import FILTERS
from recipes.claims.pictures import panels
from recipes.claims.statistics import Interval, at_best_rate, interval, paired

BEST = "full_preactivation"
# He et al. 2016, table 2: error on CIFAR-10 in percent of a ResNet-110 and a ResNet-164
HE = {
    "original": (6.61, 5.93),
    "after_addition": (8.17, 6.50),
    "relu_before_addition": (7.84, 6.14),
    "relu_only_preactivation": (6.71, 5.91),
    "full_preactivation": (6.37, 5.46),
}
PLACEMENTS = (*HE, "act_norm")
_IN_AN_MLP = {"post": "original", "pre": BEST}  # the general names of two of these
RESNET, RESIDUAL, PLAIN = "ResNet-14", "residual MLP-11", "plain MLP-10"
EPOCHS, QUICK_EPOCHS = 6, 3
EPOCHS_ON_IMAGES, QUICK_EPOCHS_ON_IMAGES = 4, 8


def measure(bench: Bench) -> pd.DataFrame:
    """Run all placements in a ResNet; on the digits also three in an MLP with shortcuts, and two in an MLP without."""
    points = bench.points(3, quick=2)
    mlp = {"norms": ("batch",), "learning_rates": (0.1, 1.0, points), "momentum": 0.0, "weight_decay": 0.0, "width": 64}
    resnet = ResNetSpace(
        depths=(14,),
        learning_rates=(0.03, 0.3, points),
        norms=("batch",),
        placement=bench.some(PLACEMENTS, quick=len(PLACEMENTS), smallest=("original", BEST, "act_norm")),
        weight_decay=0.0,
        filters=FILTERS,
    )
    mlps = {
        RESIDUAL: (
            "placement-residual-mlp",
            MLPSpace(depths=(11,), placement=("post", "pre", "act_norm"), residual=True, **mlp),
        ),
        PLAIN: ("placement-plain-mlp", MLPSpace(depths=(10,), placement=("post", "act_norm"), **mlp)),
    }
    studies = {RESNET: ("placement-resnet", resnet), **bench.on(digits=mlps, images={})}
    epochs = bench.epochs(*bench.on(digits=(EPOCHS, QUICK_EPOCHS), images=(EPOCHS_ON_IMAGES, QUICK_EPOCHS_ON_IMAGES)))
    frames = [
        rows(bench.study(name, space, bench.data, epochs=epochs), part=part) for part, (name, space) in studies.items()
    ]
    return pd.concat(frames, ignore_index=True).replace({"placement": _IN_AN_MLP})


def difference(frame: pd.DataFrame, part: str, first: str, second: str) -> Interval:
    """Return the lead of one placement over another in points of test accuracy, each at its own best rate."""
    best = at_best_rate(frame[frame["part"] == part], ["placement"])
    return interval(100 * paired(best, "placement", first, second, "test_accuracy"))


def leads(frame: pd.DataFrame, part: str = RESNET) -> dict[str, Interval]:
    """Return the lead of full pre-activation over each other placement of He et al. in a network."""
    there = frame.loc[frame["part"] == part, "placement"]
    return {other: difference(frame, part, BEST, other) for other in HE if other != BEST and other in set(there)}


def judge(frame: pd.DataFrame) -> Verdict:
    """Judge whether full pre-activation has a clear lead over every other placement in the ResNet."""
    ahead = leads(frame)
    better = [other for other, each in ahead.items() if each.low > 0]
    worse = [other for other, each in ahead.items() if each.high < 0]
    word = HOLDS if len(better) == len(ahead) else CONDITION if better and not worse else NOT
    condition = {
        HOLDS: "",
        CONDITION: f" The lead is clear only over {_words(better)}.",
        NOT: f" Full pre-activation is clearly behind {_words(worse)}." if worse else " No lead is clear.",
    }[word]
    return Verdict(
        word,
        f"Lead of full pre-activation over each other placement in a {RESNET}, in points of test accuracy: "
        f"{_said(ahead)}.{condition}",
        (
            _order(frame),
            *(f"Lead in a {part}: {_said(leads(frame, part))}." for part in {RESIDUAL} & set(frame["part"])),
            _after(frame),
        ),
    )


def _words(placements: list[str]) -> str:
    return ", ".join(placement.replace("_", " ") for placement in placements)


def _said(differences: dict[str, Interval]) -> str:
    return "; ".join(f"{_words([other])} {each.text()}" for other, each in differences.items())


def agreement(frame: pd.DataFrame, column: int) -> float:
    """Return Spearman's rank correlation of our test error with that of He et al., over their five placements.

    Args:
        frame: The rows.
        column: Integer, 0 for their ResNet-110, 1 for their ResNet-164.
    """
    best = at_best_rate(frame[frame["part"] == RESNET], ["placement"])
    error = 1 - best.groupby("placement")["test_accuracy"].mean()
    both = pd.DataFrame({"ours": error, "his": pd.Series({name: each[column] for name, each in HE.items()})}).dropna()
    if (both.nunique() < 2).any():  # without an order there is no correlation
        return float("nan")
    return float(stats.spearmanr(both["ours"], both["his"]).statistic)


def _order(frame: pd.DataFrame) -> str:
    return (
        "The rank correlation of our errors with those of He et al. over the five placements is "
        f"{agreement(frame, 0):.2f} for their ResNet-110 and {agreement(frame, 1):.2f} for their ResNet-164, which are "
        "eight and twelve times as deep."
    )


def _after(frame: pd.DataFrame) -> str:
    gains = {part: difference(frame, part, "act_norm", "original") for part in dict.fromkeys(frame["part"])}
    said = "; ".join(f"{part} {each.text()}" for part, each in gains.items())
    return f"Norm after the activation minus norm before the activation (the original placement), in points: {said}."


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return our test error of each placement and that of He et al., in percent."""
    best = at_best_rate(frame, ["part", "placement"])
    made = []
    for (part, placement), group in best.groupby(["part", "placement"], sort=False):
        his = HE.get(placement, (np.nan, np.nan)) if part == RESNET else (np.nan, np.nan)
        made.append(
            {
                "network": part,
                "placement": placement,
                "learning rate": group["learning_rate"].iloc[0],
                "test error, %": 100 * (1 - group["test_accuracy"].mean()),
                "deviation over seeds": 100 * group["test_accuracy"].std(),
                "He, ResNet-110": his[0],
                "He, ResNet-164": his[1],
            }
        )
    return pd.DataFrame(made)


def draw(frame: pd.DataFrame) -> Figure:
    """Draw every seed of each placement in a panel per network, and the errors of He et al. in a last panel."""
    best = at_best_rate(frame, ["part", "placement"])
    parts = list(dict.fromkeys(best["part"]))
    figure, axes = panels(len(parts) + 1, width=2.7, height=3.6)
    for shown, part in zip(axes, parts, strict=False):
        of_part = best[best["part"] == part]
        for position, placement in enumerate(PLACEMENTS):
            error = 100 * (1 - of_part.loc[of_part["placement"] == placement, "test_accuracy"])
            shown.plot(error, [position] * len(error), "o", color=f"C{position}", alpha=0.5)
            shown.plot([error.mean()] * 2, [position - 0.3, position + 0.3], color=f"C{position}", linewidth=3)
        shown.set(title=part, xlabel="test error, %")
    for column, (name, mark) in enumerate({"ResNet-110": "s", "ResNet-164": "D"}.items()):
        axes[-1].plot([his[column] for his in HE.values()], range(len(HE)), mark, color=f"{0.3 * column}", label=name)
    axes[-1].set(title="He et al. 2016, CIFAR-10", xlabel="test error, %")
    axes[-1].legend(loc="lower right")  # with a frame, because its markers look like data
    axes[0].set_yticks(range(len(PLACEMENTS)), [placement.replace("_", " ") for placement in PLACEMENTS])
    axes[0].set_ylim(len(PLACEMENTS) - 0.5, -0.5)
    return figure


CLAIM = Claim(
    statement="Full pre-activation is the best placement of batch norm.",
    evidence=(
        "Error on CIFAR-10 of a ResNet-110 and a ResNet-164: "
        + "; ".join(f"{_words([name])} {his[0]:.2f} and {his[1]:.2f}" for name, his in HE.items())
        + " (He et al. 2016, table 2)."
    ),
    contradiction=(
        "In that table the original placement is only a quarter of a point behind at 110 layers. The gain grows with "
        "the depth, and is small in shallow networks. Without shortcuts, the norm can come before or after the "
        "activation, and the better order depends on the network. After the activation is better in CaffeNet "
        "(accuracy 0.499 instead of 0.474) and worse in GoogLeNet (0.584 to 0.596 instead of 0.603 to 0.607; Mishkin "
        "et al. 2016)."
    ),
    setup=(
        f"Three networks with batch norm, on scikit-learn's digits (1,169 for training, 269 for validation, 359 for "
        f"testing). A ResNet-14 with {FILTERS} filters, in the five placements of He et al. and with the norm after "
        "the activation (act norm). An MLP with 11 hidden layers of 64 units and shortcuts, in three placements. An "
        "MLP with 10 hidden layers without shortcuts, in two placements: original and full pre-activation are the same "
        f"function there. {EPOCHS} epochs ({QUICK_EPOCHS} in the quick run), batches of 64, three learning rates. Each "
        "placement uses the rate with its lowest mean validation loss. The test accuracy is compared seed by seed."
    ),
    criterion=(
        "In the ResNet, full pre-activation has a clear lead over a placement if the 95 % interval of the "
        "paired difference is above 0, and it is clearly behind if the interval is below 0. `holds` if it has a clear "
        "lead over each of the other four placements of He et al. `holds with a condition` if it has a clear lead "
        "over at least one and is clearly behind none. Otherwise `does not hold`."
    ),
    measure=measure,
    judge=judge,
    table=table,
    draw=draw,
    caption=(
        "Test error of every seed at the best learning rate of each placement. The bar is the mean. Right: the errors "
        "of He et al."
    ),
    references=(
        "[He et al. 2016](https://arxiv.org/abs/1603.05027)",
        "[Mishkin et al. 2016](https://arxiv.org/abs/1606.02228)",
    ),
    on_images=(
        f"The {RESNET} with {FILTERS} filters in the first stage, in the same six placements. {EPOCHS_ON_IMAGES} "
        f"epochs ({QUICK_EPOCHS_ON_IMAGES} in the quick run), batches of 64, three learning rates. Each placement "
        "uses the rate with its lowest mean validation loss. The test accuracy is compared seed by seed, without MLPs."
    ),
)
