"""Intervals of means over seeds, and configurations whose difference may be chance."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtrit

# the probability on each side of a 95 % interval
_TAIL = 0.025


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of at least two values, by Student's t distribution."""
    half = _quantile(len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return float(np.mean(values) - half), float(np.mean(values) + half)


def ties(configurations: pd.DataFrame) -> pd.DataFrame:
    """Return the configurations that cannot be told apart from the best one.

    The 95 % interval of the difference of their mean scores includes 0, by Student's t test of two samples with the
    same variance. There are none with a single seed.

    Args:
        configurations: Rows of `Results.configurations`, best first.
    """
    others = configurations.iloc[1:]
    if others.empty or configurations["seeds"].iloc[0] < 2:
        return others.iloc[:0]
    best, seeds = configurations.iloc[0], int(configurations["seeds"].iloc[0])
    error = np.sqrt((others["deviation"] ** 2 + best["deviation"] ** 2) / seeds)
    return others[others["score"] - best["score"] <= _quantile(2 * seeds - 2) * error]


def _quantile(degrees: int) -> float:
    return float(stdtrit(degrees, 1 - _TAIL))
