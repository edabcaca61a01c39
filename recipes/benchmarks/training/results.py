"""What the times say: a table of medians and ratios in pairs, and a bar chart."""

import pandas as pd
from matplotlib.figure import Figure

from recipes.benchmarks.report import bars
from recipes.benchmarks.training.contestants import KINDS, NETWORKS

COLOURS = dict(zip(KINDS, ("C0", "0.75", "C1", "C2"), strict=True))


def table(times: pd.DataFrame) -> pd.DataFrame:
    """A row for each network, precision and kind.

    Args:
        times: What `race` yields.

    Returns:
        A data frame with the columns `step_ms`, `quartiles`, `bnzoo_ratio` (bnzoo's step over this kind's, the median
        of pairs), `first_step_s`, `bnzoo_first_ratio`, `optimizer_first_s` (the first step where the optimizer was
        built before it), `build_s` and `matrix_share` (the multiplications of the step over what the machine's matrix
        rate would do in its time).
    """
    rows = {
        (network, precision, kind): _row(part, network, kind)
        for (network, precision), part in times.groupby(["network", "precision"], sort=False)
        for kind in KINDS
        if kind in part["kind"].values
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["network", "precision", "kind"])


def _row(times: pd.DataFrame, network: str, kind: str) -> dict:
    def series(what: str, of: str | None = None) -> pd.Series:
        chosen = times[(times["what"] == what) & ((times["kind"] == of) if of else True)]
        return chosen.set_index(["round", "pair"])["value"]

    step, first = series("step", kind), series("first_step", kind)
    # forward, and backward for inputs and weights, of two operations each
    operations = 6 * series("macs").median() * NETWORKS[network].batch
    return {
        "step_ms": 1e3 * step.median(),
        "quartiles": "{:.0f} to {:.0f}".format(*1e3 * step.quantile([0.25, 0.75])),
        "bnzoo_ratio": (series("step", "bnzoo") / step).median(),
        "first_step_s": first.median(),
        "bnzoo_first_ratio": (series("first_step", "bnzoo") / first).median(),
        "optimizer_first_s": series("optimizer_first", kind).median(),
        "build_s": series("build", kind).median(),
        "matrix_share": operations / step.median() / series("matrix_rate").median(),
    }


def norm_taxes(times: pd.DataFrame) -> pd.DataFrame:
    """By network and precision: a kind's step over that of bnzoo's network without norms, the median of pairs."""
    steps = times[times["what"] == "step"]
    steps = steps.pivot(index=["network", "precision", "round", "pair"], columns="kind", values="value")
    ratios = steps.reindex(columns=["bnzoo", "Keras"]).div(steps["without norms"], axis=0)
    return ratios.groupby(level=["network", "precision"], sort=False).median()


def chart(summary: pd.DataFrame) -> Figure:
    """A group of bars for each network and precision: the time of each kind's step, bnzoo's being 1."""
    groups = {
        "\n".join(names): [
            (f"{kind}, {row['step_ms']:.0f} ms", 1 / row["bnzoo_ratio"], COLOURS[str(kind)])
            for (*_, kind), row in rows.iterrows()
        ]
        for names, rows in summary.groupby(level=["network", "precision"], sort=False)
    }
    return bars(groups, "time of a training step, bnzoo's being 1 (medians of pairs)")
