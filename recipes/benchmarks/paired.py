"""The comparison of bnzoo with other tuners, paired by seed."""

import math
from collections.abc import Sequence

import pandas as pd

from bnzoo.tuning.ties import interval


def paired(frame: pd.DataFrame, trials: str, accuracies: Sequence[str]) -> pd.DataFrame:
    """Compare bnzoo with each arm, over the seeds of both.

    Args:
        frame: Data frame with a row for each run, and the columns `arm` and `seed`.
        trials: String, the column of the number of trials.
        accuracies: Strings, the columns of accuracies in %, which are NaN without a model.

    Returns:
        A data frame with a row for each arm. `times {trials}` is the median ratio of the trials of bnzoo to those of
        the arm, and `at least` the lowest one. For each accuracy, `{accuracy} not below` is the number of seeds in
        which bnzoo has a model that is at least as accurate (another arm without a model has 0 %), `{accuracy}
        difference` the mean of bnzoo's minus that of the arm in points, over the seeds in which both have a model,
        and `{accuracy} low` and `{accuracy} high` the ends of its 95 % t-interval, NaN for a single seed.
    """
    by_arm = {arm: rows.set_index("seed") for arm, rows in frame.groupby("arm", sort=False)}
    table = pd.DataFrame(index=pd.Index(by_arm, name="arm"))
    for arm, theirs in by_arm.items():
        ours = by_arm["bnzoo"].loc[by_arm["bnzoo"].index.intersection(theirs.index)]
        times = ours[trials] / theirs[trials]
        table.loc[arm, [f"times {trials}", "at least"]] = times.median(), times.min()
        for name in accuracies:
            table.loc[arm, f"{name} not below"] = (ours[name] >= theirs[name].reindex(ours.index).fillna(0.0)).sum()
            known = (ours[name] - theirs[name]).dropna().tolist()
            ends = interval(known) if len(known) > 1 else (math.nan, math.nan)
            columns = [f"{name} difference", f"{name} low", f"{name} high"]
            table.loc[arm, columns] = pd.Series(known, dtype=float).mean(), *ends
    return table


def printed(table: pd.DataFrame) -> str:
    """Return a table as text, with a column for each arm."""
    return table.round(2).T.to_string(float_format="%.6g")
