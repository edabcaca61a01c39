"""Summaries of the times: a table of medians and paired ratios, and a bar chart."""

import pandas as pd
from matplotlib.figure import Figure

from recipes.benchmarks.inference.artefacts import FORMATS, STOCK
from recipes.benchmarks.inference.race import PYTORCH
from recipes.benchmarks.report import bars

COLOURS = dict(zip((STOCK, *FORMATS, PYTORCH), ("0.75", "C0", "C3", "C4", "C5", "C2"), strict=True))


def table(times: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each network, batch size and kind.

    Args:
        times: Data frame of the rows of `race`.

    Returns:
        A data frame with the columns `ms` (of a call), `quartiles`, `ratio`, `size_mb`, `load_s`, `load_ratio`,
        `first_s` (the first call after loading) and `difference`. Ratios are relative to Keras' own export, the median
        of pairs.
    """
    calls = times[times["what"] == "call"]
    keys = ["network", "batch", "kind"]
    rows = {
        (network, batch, kind): _row(times[times["network"] == network], batch, kind)
        for network, batch, kind in calls[keys].drop_duplicates().itertuples(index=False)
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(keys)


def _row(times: pd.DataFrame, batch: int, kind: str) -> dict:
    def series(what: str, of: str = kind, batch: int = 0) -> pd.Series:
        chosen = times[(times["what"] == what) & (times["kind"] == of) & (times["batch"] == batch)]
        return chosen.set_index("round")["value"]

    call, load = series("call", batch=batch), series("load")
    return {
        "ms": 1e3 * call.median(),
        "quartiles": "{:.4g} to {:.4g}".format(*1e3 * call.quantile([0.25, 0.75])),
        "ratio": (call / series("call", STOCK, batch)).median(),
        "size_mb": series("size").median() / 1e6,
        "load_s": load.median(),
        "load_ratio": (load / series("load", STOCK)).median(),
        "first_s": series("first").median(),
        "difference": series("difference").median(),
    }


def chart(summary: pd.DataFrame) -> Figure:
    """Draw a group of bars for each network and batch size: the time of a call, relative to Keras' own export."""
    groups = {
        f"{network}\nbatch {batch}": [
            (f"{kind}, {row['ms']:.4g} ms", row["ratio"], COLOURS[str(kind)]) for (*_, kind), row in rows.iterrows()
        ]
        for (network, batch), rows in summary.groupby(level=["network", "batch"], sort=False)
    }
    return bars(groups, "time of an answer, that of Keras' own export being 1 (medians of pairs)")
