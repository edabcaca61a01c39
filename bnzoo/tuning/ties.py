"""Intervals of means over seeds, and configurations whose difference may be by chance."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtrit

# the probability on each side of a 95 % interval
_TAIL = 0.025
# the standard errors of a difference that chance explains
_ERRORS = 2.0


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


def ties_of_shares(shares: pd.Series, examples: int) -> pd.Series:
    """Return the shares, such as accuracies, that are not lower than the first one by more than two standard errors.

    The examples count as independent: on the same examples the true error of the difference is smaller.

    Args:
        shares: Series of floats.
        examples: Integer, the number of examples of which each is a share.
    """
    best, others = shares.iloc[0], shares.iloc[1:]
    errors = np.sqrt((best * (1 - best) + others * (1 - others)) / examples)
    return others[best - others <= _ERRORS * errors]


def _quantile(degrees: int) -> float:
    return float(stdtrit(degrees, 1 - _TAIL))
