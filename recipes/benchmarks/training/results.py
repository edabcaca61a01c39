"""Summaries of the times: a table of medians and paired ratios, and a bar chart."""

import pandas as pd
from matplotlib.figure import Figure

from recipes.benchmarks.report import bars
from recipes.benchmarks.training.contestants import KINDS, NETWORKS

COLOURS = dict(zip(KINDS, ("C0", "0.75", "C1", "C2"), strict=True))


def table(times: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each network, precision and kind.

    Args:
        times: Data frame of the rows of `race`.

    Returns:
        A data frame with the columns `step_ms`, `quartiles`, `bnzoo_ratio` (bnzoo's time of a step over that of the
        kind, the median of pairs), `first_step_s`, `bnzoo_first_ratio`, `optimizer_first_s` (the first step after the
        optimizer was built), `build_s` and `matrix_share` (the arithmetic rate of a step over that of a matrix
        product).
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
    # forward, backward by inputs and backward by weights, with two operations per multiplication
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
    """Return the time of a step relative to bnzoo's network without norms: the median of pairs for each kind."""
    steps = times[times["what"] == "step"]
    steps = steps.pivot(index=["network", "precision", "round", "pair"], columns="kind", values="value")
    ratios = steps.reindex(columns=["bnzoo", "Keras"]).div(steps["without norms"], axis=0)
    return ratios.groupby(level=["network", "precision"], sort=False).median()


def chart(summary: pd.DataFrame) -> Figure:
    """Draw a group of bars for each network and precision: the time of a step of each kind, relative to bnzoo."""
    groups = {
        "\n".join(names): [
            (f"{kind}, {row['step_ms']:.0f} ms", 1 / row["bnzoo_ratio"], COLOURS[str(kind)])
            for (*_, kind), row in rows.iterrows()
        ]
        for names, rows in summary.groupby(level=["network", "precision"], sort=False)
    }
    return bars(groups, "time of a training step, bnzoo's being 1 (medians of pairs)")
