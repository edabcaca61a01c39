"""Choosing a learning rate fairly, and how sure a difference over seeds is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

_RESAMPLES = 10_000


def at_best_rate(rows: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """The rows at the best learning rate of each arm, by the mean validation score over the seeds: tuned alike.

    Args:
        rows: Of a grid, with the columns `learning_rate` and `score`.
        arms: The columns that tell arms apart.
    """
    case = [*arms, "learning_rate"]
    best = rows.groupby(case, sort=False)["score"].mean().groupby(list(arms), sort=False).idxmin()
    return rows[rows.set_index(case).index.isin(best)]


def every_seed_learned(rows: pd.DataFrame, case: Sequence[str]) -> pd.Series:
    """Whether every row of a case has the outcome `ok`.

    Args:
        rows: Of a grid, with the column `outcome`.
        case: The columns that tell cases apart.
    """
    return rows.assign(ok=rows["outcome"] == "ok").groupby(list(case))["ok"].all()


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % bootstrap interval.

    Attributes:
        mean: Float.
        low: Float; minus infinity where one value tells nothing of chance.
        high: Float.
    """

    mean: float
    low: float
    high: float

    def text(self, digits: int = 1, sign: bool = True) -> str:
        """`+1.2 [0.4, 2.0]`, or without an interval where there is none."""
        plus = "+" if sign else ""
        if not np.isfinite(self.low):
            return f"{self.mean:{plus}.{digits}f} (one seed: no interval)"
        return f"{self.mean:{plus}.{digits}f} [{self.low:{plus}.{digits}f}, {self.high:{plus}.{digits}f}]"


def interval(values: Sequence[float] | pd.Series) -> Interval:
    """The mean of values, seed by seed, and its 95 % percentile bootstrap interval; the same for the same values."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return Interval(float(values.mean()), -np.inf, np.inf)
    found = stats.bootstrap((values,), np.mean, n_resamples=_RESAMPLES, method="percentile", rng=0)
    return Interval(float(values.mean()), *map(float, found.confidence_interval))


def paired(rows: pd.DataFrame, arm: str, first: object, second: object, value: str) -> pd.Series:
    """The difference of a value between two arms, seed by seed: the first minus the second.

    Args:
        rows: With a row for each seed of both arms, and the column `seed`.
        arm: The column that tells the arms apart.
        first: Its value in the first arm.
        second: In the second.
        value: The column to compare.
    """
    table = rows.pivot(index="seed", columns=arm, values=value)
    return table[first] - table[second]
