"""The Pareto front of models: those that are worth their cost."""

import numpy as np
import pandas as pd


def on_front(costs: np.ndarray, badness: np.ndarray) -> np.ndarray:
    """Return a mask of the points on the front: no other point is as good in both, and better in one of them.

    Args:
        costs: Array of floats, lower is better.
        badness: Array of floats, lower is better.
    """
    least = pd.Series(badness).groupby(costs).min()  # by rising cost
    better = least[least < least.cummin().shift(fill_value=np.inf)]
    return np.isin(costs, better.index) & (badness == least.reindex(costs).to_numpy())
