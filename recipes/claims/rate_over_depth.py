"""The claim that the best learning rate follows a power law of the depth, with batch norm too."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bnzoo.data import Dataset
from bnzoo.tuning import MLPSpace, ResNetSpace, Space
from recipes.claims.bench import Bench, rows
from recipes.claims.claim import CONDITION, HOLDS, NOT, Claim, Verdict
from recipes.claims.pictures import log_axis, panels
from recipes.claims.statistics import Interval, exponent
from recipes.claims.store import Size

MLP, RESNET, ADAMW = "residual MLP", "ResNet", "residual MLP, AdamW"
PARTS = (MLP, RESNET, ADAMW)
# the same numbers of residual branches: 3, 6, 12 and 24; then 48 in the MLP and 33 in the ResNet
DEPTHS = {MLP: (7, 13, 25, 49, 97), RESNET: (8, 14, 26, 50, 68), ADAMW: (7, 13, 25, 49, 97)}
SGD_RATES, ADAMW_RATES = (0.003, 10.0), (3e-4, 1.0)
SCALES: tuple[str | None, ...] = (None, "1/sqrt(depth)", "1/depth")
NAMES = {"batch": "batch norm", "layer": "layer norm", "none": "no norm"}
ARM = ["part", "norm", "branch_scale", "warm_up"]
NO, YES = "no", "yes"
# the exponents of the best rate that decide: network, branch scale, prediction
PREDICTED = ((MLP, "none", -1.5), (RESNET, "none", -1.5), (ADAMW, "1/depth", 0.0))
_QUICK_DEPTHS = 3


def measure(bench: Bench) -> pd.DataFrame:
    """Run the studies of all networks, without and with a warm-up."""
    scales = bench.some(SCALES, quick=2)
    frames = [
        _study(bench, MLP, MLPSpace, scales, width=32, residual=True, momentum=0.0),
        _study(bench, MLP, MLPSpace, (None,), YES, width=32, residual=True, momentum=0.0),
        _study(bench, RESNET, ResNetSpace, scales, filters=4, momentum=0.0),
        _study(bench, RESNET, ResNetSpace, (None,), YES, filters=4, momentum=0.0),
        _study(bench, ADAMW, MLPSpace, (None, "1/depth"), width=32, residual=True, optimizer="adamw"),
    ]
    return pd.concat(frames, ignore_index=True)


def _study(
    bench: Bench, part: str, kind: Callable[..., Space], scales: Sequence[str | None], warm_up: str = NO, **options: Any
) -> pd.DataFrame:
    depths = DEPTHS[part] if bench.size is Size.FULL else DEPTHS[part][:_QUICK_DEPTHS]
    ends = ADAMW_RATES if part == ADAMW else SGD_RATES
    space = kind(
        depths=bench.some(depths, quick=_QUICK_DEPTHS),
        learning_rates=(*ends, bench.points(7, quick=7)),
        norms=bench.some(("batch", "layer", None), quick=2),
        placement="pre",
        branch_scale=scales,
        schedule="constant",
        warmup=0.5 if warm_up == YES else None,
        weight_decay=0.0,
        **options,
    )
    words = (part.lower().replace(", ", "-").replace(" ", "-"), *(("warm-up",) if warm_up == YES else ()))
    name = "-".join(("rate-over-depth", *words))
    results = bench.study(name, space, bench.data, epochs=bench.epochs(2), measure=nothing)
    same = {"part": part, "warm_up": warm_up}
    return rows(results, **(same if len(scales) > 1 else same | {"branch_scale": "none"}))


def nothing(model: keras.Model, data: Dataset) -> dict[str, float]:
    """Return no further measurement: the test data is not needed, and would take a fifth of the time."""
    return {}


def best_rates(arm: pd.DataFrame) -> pd.DataFrame:
    """Return the rate with the lowest validation loss that learned: a row per seed, a column per depth."""
    learned = arm[arm["outcome"] == "ok"].sort_values("score").drop_duplicates(["seed", "depth"])
    return _wide(arm, learned)


def largest_stable(arm: pd.DataFrame) -> pd.DataFrame:
    """Return the largest rate that learned: a row per seed, a column per depth."""
    learned = arm[arm["outcome"] == "ok"].sort_values("learning_rate", ascending=False)
    return _wide(arm, learned.drop_duplicates(["seed", "depth"]))


def _wide(arm: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    wide = chosen.pivot(index="seed", columns="depth", values="learning_rate")
    return wide.reindex(index=sorted(set(arm["seed"])), columns=sorted(set(arm["depth"])))


def step(arm: pd.DataFrame) -> float:
    """Return the ratio of neighbouring rates of the grid."""
    grid = np.unique(arm["learning_rate"])
    return float((grid[-1] / grid[0]) ** (1 / max(len(grid) - 1, 1)))


Exponents = dict[tuple[str, ...], Interval | None]


def exponents(frame: pd.DataFrame, rates_of: Callable[[pd.DataFrame], pd.DataFrame] = best_rates) -> Exponents:
    """Return the fitted exponent of each arm: by part, norm, branch scale and warm-up; `None` if there is no fit."""
    return {arm: exponent(rates_of(of_arm), step(of_arm)) for arm, of_arm in frame.groupby(ARM, sort=False)}


def judge(frame: pd.DataFrame) -> Verdict:
    """Judge whether the intervals of the exponents with batch norm contain the predictions."""
    best, stable = exponents(frame), exponents(frame, largest_stable)
    asked = [(part, scale, law, best.get((part, "batch", scale, NO))) for part, scale, law in PREDICTED]
    hits = [found is not None and _contains_only(found, law) for _, _, law, found in asked]
    # a factor on the branches explains an exponent only if it is another one without the factor
    same = [scale != "none" and _contains(best.get((part, "batch", "none", NO)), law) for part, scale, law, _ in asked]
    hits = [hit and not each for hit, each in zip(hits, same, strict=True)]
    word = HOLDS if all(hits) else CONDITION if any(hits) else NOT
    inside = [_named(part, scale) for (part, scale, _, _), hit in zip(asked, hits, strict=True) if hit]
    condition = {
        HOLDS: "",
        CONDITION: f" The prediction is confirmed only for {' and '.join(inside)}.",
        NOT: " None of the predictions is confirmed.",
    }[word]
    said = "; ".join(f"{_named(part, scale)} {_text(found)} ({law:g} predicted)" for part, scale, law, found in asked)
    return Verdict(
        word,
        f"Exponent of the best rate over the depth, with batch norm: {said}.{condition}",
        (
            f"Exponent of the best rate without a factor: {_by_norm(best, 'none')}."
            + (
                " With AdamW the interval contains 0 without the factor too, which is not shown to be the cause."
                * any(same)
            ),
            *(f"With a factor on the branches, {NAMES[norm]}: {_by_scale(best, norm)}." for norm in ("batch", "none")),
            f"Exponent of the largest stable rate without a factor: {_by_norm(stable, 'none')}.",
            *_of_warm_up(frame, best),
            _at_ends(frame),
        ),
    )


def _contains(found: Interval | None, law: float) -> bool:
    """Return whether an interval contains a prediction; an arm without a fit decides nothing."""
    return found is None or found.low <= law <= found.high


def _contains_only(found: Interval, law: float) -> bool:
    """Return whether the interval contains a prediction and excludes the other one: a wide interval decides nothing."""
    return all((found.low <= each <= found.high) == (each == law) for each in {law for _, _, law in PREDICTED})


def _named(part: str, scale: str) -> str:
    return part if scale == "none" else f"{part}, branches times {scale}"


def _text(found: Interval | None) -> str:
    return "no fit" if found is None else found.text(2)


def _by_norm(found: Exponents, scale: str) -> str:
    arms = [(part, norm) for part in PARTS for norm in NAMES if (part, norm, scale, NO) in found]
    return "; ".join(f"{part}, {NAMES[norm]} {_text(found[part, norm, scale, NO])}" for part, norm in arms)


def _by_scale(found: Exponents, norm: str) -> str:
    arms = [(part, scale) for part, of, scale, warm in found if of == norm and scale != "none" and warm == NO]
    return "; ".join(f"{_named(part, scale)} {_text(found[part, norm, scale, NO])}" for part, scale in arms)


def _of_warm_up(frame: pd.DataFrame, best: Exponents) -> tuple[str, ...]:
    said = []
    for part in (MLP, RESNET):
        for norm in NAMES:
            arms = {
                warm_up: frame[
                    (frame["part"] == part)
                    & (frame["norm"] == norm)
                    & (frame["branch_scale"] == "none")
                    & (frame["warm_up"] == warm_up)
                ]
                for warm_up in (NO, YES)
            }
            if not any(arm.empty for arm in arms.values()):
                before, after = (np.log(largest_stable(arms[warm_up])) for warm_up in (NO, YES))
                factor = np.exp((after - before).stack().mean())
                text = _text(best[part, norm, "none", YES])
                said.append(f"{part}, {NAMES[norm]} {text}, largest stable rate times {factor:.2g}")
    return (f"With a warm-up the exponents of the best rate are: {'; '.join(said)}.",) if said else ()


def _at_ends(frame: pd.DataFrame) -> str:
    """Return a sentence on the cases whose exponent is doubtful: no rate, or the best one at an end of the grid."""
    cases = ends = missing = 0
    for _, arm in frame.groupby(ARM, sort=False):
        best = best_rates(arm)
        low, high = arm["learning_rate"].min(), arm["learning_rate"].max()
        cases, missing = cases + best.size, missing + int(best.isna().sum().sum())
        ends += int((best.isin([low, high])).sum().sum())
    return (
        f"Of {cases} networks (arm, depth and seed) {missing} learned at no rate of the grid, and {ends} learned "
        "best at an end of it. A depth at which a seed did not learn is left out of the fit."
    )


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the exponents of each arm, and its best rates, from the shallowest network to the deepest."""
    best, stable = exponents(frame), exponents(frame, largest_stable)
    lines = []
    for arm, of_arm in frame.groupby(ARM, sort=False):
        part, norm, scale, warm_up = arm
        means = np.exp(np.log(best_rates(of_arm)).mean())
        lines.append(
            {
                "network": part,
                "norm": NAMES[norm],
                "branch scale": scale,
                "warm-up": warm_up,
                "exponent, best rate": _text(best[arm]),
                "exponent, largest stable rate": _text(stable[arm]),
                "best rates": ", ".join("none" if np.isnan(mean) else f"{mean:.2g}" for mean in means),
            }
        )
    return pd.DataFrame(lines)


def draw(frame: pd.DataFrame) -> Figure:
    """Draw the best rate over the depth, in a column per network, with and without a factor on the branches."""
    figure, axes = panels(len(PARTS), width=3.4, height=6.0, share_y=False, rows=2)
    places = [(part, scale) for scale in ("none", "1/depth") for part in PARTS]
    plain = frame[frame["warm_up"] == NO]
    for shown, (part, scale) in zip(axes, places, strict=True):
        here = plain[(plain["part"] == part) & (plain["branch_scale"] == scale)]
        for index, (norm, name) in enumerate(NAMES.items()):
            of_norm = here[here["norm"] == norm]
            if not of_norm.empty:
                for rates_of, style, label in ((best_rates, "o-", name), (largest_stable, ":", None)):
                    means = np.exp(np.log(rates_of(of_norm)).mean())
                    shown.plot(means.index, means, style, color=f"C{index}", label=label, markersize=4)
        depths = np.unique(plain.loc[plain["part"] == part, "depth"])
        law = 0.0 if scale == "1/depth" else -1.5
        middle = float(np.sqrt(here["learning_rate"].min() * here["learning_rate"].max())) if len(here) else 1.0
        guide = middle * (depths / np.sqrt(depths[0] * depths[-1])) ** law
        shown.plot(depths, guide, "--", color="black", linewidth=1, label="predicted slope")
        shown.set(yscale="log", title=part if scale == "none" else f"branches times {scale}")
        if len(here):
            shown.set_ylim(here["learning_rate"].min() / 1.2, here["learning_rate"].max() * 1.2)  # the grid
        log_axis(shown, depths, "depth", base=2)
    for shown in axes[:: len(PARTS)]:
        shown.set_ylabel("best learning rate")
    handles, _ = axes[0].get_legend_handles_labels()
    handles.append(Line2D([], [], linestyle=":", color="grey", label="largest stable rate"))
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    return figure


CLAIM = Claim(
    statement=(
        "The best learning rate falls as depth^-3/2, with batch normalization too, and is the same at every depth if "
        "residual branches are divided by the depth."
    ),
    evidence=(
        "The best rate falls as depth^-3/2 in plain networks (Jelassi et al. 2023), in convolutional and residual "
        "networks (Zhang et al. 2025) and in transformers (Wu et al. 2026). With branches divided by the depth, the "
        "best rate of AdamW is the same at every depth of a transformer (CompleteP, Dey et al. 2025)."
    ),
    contradiction=(
        "The derivations have no batch norm. It makes the weights before it independent of their scale, so that the "
        "effective rate adapts in training. With SGD, a factor of 1/sqrt(depth) transfers the rate (Bordelon et al. "
        "2023). The largest stable rate depends on the warm-up (Kalra & Barkeshli "
        "2024)."
    ),
    setup=(
        "Residual MLPs with 7, 13, 25, 49 and 97 hidden layers of 32 units, and ResNets with 8, 14, 26, 50 and 68 "
        "layers of 4 to 16 channels, on scikit-learn's digits. Each with batch norm, layer norm and no norm before the "
        "weights (pre), and with a factor on each residual branch: none, 1/sqrt(depth), or 1/depth, where the depth is "
        "the number of branches. Plain SGD without momentum or weight decay, batches of 64, 2 epochs, a constant rate, "
        "one of seven from 0.003 to 10. Without a factor also with a warm-up: the rate rises linearly over the first "
        "epoch. The MLPs also with AdamW without weight decay, rates from 0.0003 to 1, without a factor and with "
        "1/depth. The best rate of a seed has the lowest validation loss, its largest stable rate is the largest that "
        "learned. The exponent is the slope of the mean of their logarithms over the logarithm of the number of "
        "layers. Its interval combines Student's t interval over the seeds with the error of a grid, half a step."
    ),
    criterion=(
        "`holds` if with batch norm and without a warm-up the 95 % interval of the exponent of the best rate contains "
        "-3/2 and not 0 in the MLP and in the ResNet, both with SGD and without a factor, and contains 0 and not -3/2 "
        "in the MLP with AdamW and the factor 1/depth, where it does not contain 0 without the factor. `holds with a "
        "condition` if this is true of one or two of the three. Otherwise `does not hold`. All other exponents are "
        "only reported. Pilot runs of single networks set the grids of the rates. The comparison with AdamW without "
        "the factor was added after the run, in which the exponent was 0 with and without it."
    ),
    measure=measure,
    judge=judge,
    table=table,
    draw=draw,
    caption=(
        "The best learning rate over the depth (solid, geometric means over the seeds) and the largest stable one "
        "(dotted). The dashed line has the predicted slope. Above without a factor on the branches, below with 1/depth."
    ),
    references=(
        "[Jelassi et al. 2023](https://arxiv.org/abs/2305.07810)",
        "[Zhang et al. 2025](https://arxiv.org/abs/2510.04327)",
        "[Wu et al. 2026](https://arxiv.org/abs/2602.07494)",
        "[Dey et al. 2025](https://arxiv.org/abs/2505.01618)",
        "[Bordelon et al. 2023](https://arxiv.org/abs/2309.16620)",
        "[Kalra & Barkeshli 2024](https://arxiv.org/abs/2406.09405)",
    ),
)
