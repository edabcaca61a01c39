"""The claim that batch norm is a success in Transformers."""

import pandas as pd
from matplotlib.figure import Figure

from bnzoo.tuning import ViTSpace
from recipes.claims.bench import Bench, rows
from recipes.claims.claim import CONDITION, HOLDS, NOT, Claim, Verdict
from recipes.claims.pictures import arms_with_seeds
from recipes.claims.statistics import Interval, at_best_rate, interval, paired

MARGIN = 0.5  # the largest loss against layer norm, in points, that still holds
PLACEMENTS = ("pre", "post", "peri")
ANY = "any"  # without a norm all placements are the same function
NAMES = {"batch": "batch", "layer": "layer", "rms": "RMS", "none": "none"}


def measure(bench: Bench) -> pd.DataFrame:
    """Run three norms in three placements, and a network without a norm."""
    epochs, placements = bench.epochs(8, quick=6), bench.some(PLACEMENTS, quick=2)
    norms = _space(bench, ("layer", "rms", "batch"), placements)
    normed = bench.study("transformers", norms, bench.data, epochs=epochs)
    none = bench.study("transformers-none", _space(bench, (None,), ("pre",)), bench.data, epochs=epochs)
    return pd.concat([rows(normed), rows(none, placement=ANY)], ignore_index=True)


def _space(bench: Bench, norms: tuple[str | None, ...], placements: tuple[str, ...]) -> ViTSpace:
    points = bench.points(3, quick=2)
    return ViTSpace(
        depths=(2,), learning_rates=(0.003, 0.012, points), norms=norms, placement=placements, width=32, heads=4
    )


def at_best_placement(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each norm at its best placement, each placement at its best rate, by mean validation loss."""
    best = at_best_rate(frame, ["norm", "placement"])
    chosen = best.groupby(["norm", "placement"], sort=False)["score"].mean().groupby("norm", sort=False).idxmin()
    return best[best.set_index(["norm", "placement"]).index.isin(chosen)]


def behind(frame: pd.DataFrame) -> dict[str, Interval]:
    """Return batch norm minus layer norm in points of test accuracy, for each placement."""
    best = at_best_rate(frame, ["norm", "placement"])
    parts = best[best["norm"].isin(["batch", "layer"])].groupby("placement", sort=False)
    return {placement: _difference(part, "batch", "layer") for placement, part in parts}


def _difference(best: pd.DataFrame, first: str, second: str) -> Interval:
    return interval(100 * paired(best, "norm", first, second, "test_accuracy"))


def judge(frame: pd.DataFrame) -> Verdict:
    """Judge whether batch norm in its best placement is at least as accurate as layer norm in its best."""
    best, alike = at_best_placement(frame), behind(frame)
    gain = _difference(best, "batch", "layer")
    equal = [placement for placement, each in alike.items() if each.high >= 0]
    word = HOLDS if gain.low >= -MARGIN else CONDITION if gain.high >= 0 or equal else NOT
    condition = {
        HOLDS: "",
        CONDITION: f" Batch norm may be more than {MARGIN} points behind"
        + (f". It is not clearly behind in the placements {', '.join(equal)}." if equal else "."),
        NOT: " Batch norm is clearly behind in this comparison and in every placement.",
    }[word]
    where = {norm: best.loc[best["norm"] == norm, "placement"].iloc[0] for norm in ("batch", "layer")}
    return Verdict(
        word,
        f"In a vision transformer of two blocks, batch norm in its best placement ({where['batch']}) minus layer norm "
        f"in its best placement ({where['layer']}): {gain.text()} points of test accuracy.{condition}",
        (
            f"In the same placement: {'; '.join(f'{placement} {each.text()}' for placement, each in alike.items())}.",
            f"RMS norm minus layer norm: {_difference(best, 'rms', 'layer').text()} points; no norm minus layer norm "
            f"{_difference(best, 'none', 'layer').text()}.",
            _moving(best),
            _failures(frame),
            "This is a small vision transformer. Every image has the same number of tokens, without padding. The "
            "result does not apply to language models, which use layer and RMS norm.",
        ),
    )


def _moving(best: pd.DataFrame) -> str:
    batch = best[best["norm"] == "batch"]
    moving, recalibrated = (100 * batch[column].mean() for column in ("moving_accuracy", "accuracy"))
    return (
        f"The validation accuracy of batch norm is {recalibrated:.1f} % with recalibrated statistics and {moving:.1f} "
        "% with moving statistics, which are the default in practice."
    )


def _failures(frame: pd.DataFrame) -> str:
    failed = frame.assign(failed=frame["outcome"] != "ok").groupby("norm", sort=False)["failed"].agg(["sum", "size"])
    said = ", ".join(f"{NAMES[norm]} {row['sum']} of {row['size']}" for norm, row in failed.iterrows())
    return f"Diverged or stalled trainings, over all rates and placements: {said}."


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the test accuracy at the best rate of each norm and placement."""
    groups = at_best_rate(frame, ["norm", "placement"]).groupby(["norm", "placement"], sort=False)
    made = pd.DataFrame(
        {
            "learning rate": groups["learning_rate"].first(),
            "test accuracy, %": 100 * groups["test_accuracy"].mean(),
            "deviation over seeds": 100 * groups["test_accuracy"].std(),
            "validation accuracy, %": 100 * groups["accuracy"].mean(),
            "with moving statistics": 100 * groups["moving_accuracy"].mean(),
        }
    )
    return made.reset_index()


def draw(frame: pd.DataFrame) -> Figure:
    """Draw every seed of each norm, in a panel per placement. The network without a norm is in every panel."""
    best = at_best_rate(frame, ["norm", "placement"])
    none = best[best["placement"] == ANY]
    placements = [placement for placement in PLACEMENTS if placement in set(best["placement"])]
    shown = pd.concat(
        [
            part.assign(panel=f"{placement}-norm")
            for placement in placements
            for part in (best[best["placement"] == placement], none)
        ]
    )
    figure = arms_with_seeds(shown, panel="panel", arm="norm", value="test_accuracy", names=NAMES)
    low, high = 100 * shown["test_accuracy"].min(), 100 * shown["test_accuracy"].max()
    for axes in figure.axes:
        axes.set_ylim(low - 1, high + 1)
    return figure


CLAIM = Claim(
    statement="Batch normalization is a success in Transformers.",
    evidence=(
        "Introductions to batch norm list Transformers among its successes. On ImageNet, a vision transformer with "
        "batch norm, and one more batch norm in each feed-forward network, is as accurate as with layer norm and "
        "about 20 % faster (Yao et al. 2021)."
    ),
    contradiction=(
        "Transformers use layer norm. On text, batch statistics fluctuate too much in training, and batch norm is "
        "clearly worse (PowerNorm, Shen et al. 2020). On images, training often fails without the additional norm "
        "(Yao et al. 2021). Pre-norm with layer or RMS norm is the default (Xiong et al. 2020), peri-norm a recent "
        "alternative (Kim et al. 2025)."
    ),
    setup=(
        "A vision transformer with two blocks, 32 channels, 4 heads, 16 patches of 2x2 pixels and a class token, on "
        "scikit-learn's digits (1,169 for training, 269 for validation, 359 for testing). AdamW, batches of 64, 8 "
        "epochs (6 in the quick run), learning rates from 0.003 to 0.012. Layer, RMS and batch norm come before each "
        "sublayer (pre), after the addition (post), or on both sides of the sublayer (peri). A network without a norm "
        "is added for comparison. The rate, and then the placement, is chosen by the mean validation loss. The test "
        "accuracy is compared seed by seed, with recalibrated statistics."
    ),
    criterion=(
        "The difference is batch norm in its best placement minus layer norm in its best placement, paired by seed. "
        f"`holds` if the lower end of its 95 % interval is at least -{MARGIN} points. Otherwise `holds with "
        "a condition` if the upper end is at least 0, for this difference or for the difference in any one placement. "
        "Otherwise `does not hold`."
    ),
    measure=measure,
    judge=judge,
    table=table,
    draw=draw,
    caption=(
        "Test accuracy of every seed at the best learning rate of each norm. The bar is the mean. The network without "
        "a norm is the same in each panel."
    ),
    references=(
        "[Shen et al. 2020](https://arxiv.org/abs/2003.07845)",
        "[Xiong et al. 2020](https://arxiv.org/abs/2002.04745)",
        "[Kim et al. 2025](https://arxiv.org/abs/2502.02732)",
        "Yao et al. 2021, Leveraging batch normalization for vision transformers, ICCV workshops",
    ),
)
