"""A fair choice of the learning rate, and confidence intervals over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bnzoo.tuning import ties

# the accuracy of a network that has trained well, fixed before the runs: on the digits, and on images
LEVEL, LEVEL_ON_IMAGES = 0.9, 0.8


def level(rows: pd.DataFrame) -> float:
    """Return the accuracy of a network that has trained well: the column `level`, which rows on the digits lack."""
    return float(rows["level"].iloc[0]) if "level" in rows else LEVEL


def at_best_rate(rows: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """Return the rows at the best learning rate of each arm, by the mean validation score over the seeds.

    Args:
        rows: The rows of a grid, with the columns `learning_rate` and `score`.
        arms: The columns that identify an arm.
    """
    case = [*arms, "learning_rate"]
    best = rows.groupby(case, sort=False)["score"].mean().groupby(list(arms), sort=False).idxmin()
    return rows[rows.set_index(case).index.isin(best)]


def every_seed_learned(rows: pd.DataFrame, case: Sequence[str]) -> pd.Series:
    """Return, for each case, `True` if all of its rows have the outcome `ok`.

    Args:
        rows: The rows of a grid, with the column `outcome`.
        case: The columns that identify a case.
    """
    return rows.assign(ok=rows["outcome"] == "ok").groupby(list(case))["ok"].all()


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval.

    Attributes:
        mean: Float.
        low: Float, minus infinity for a single value, which has no interval.
        high: Float.
    """

    mean: float
    low: float
    high: float

    def text(self, digits: int = 1, sign: bool = True) -> str:
        """Return text such as `+1.2 [0.4, 2.0]`, without the interval for a single value."""
        plus = "+" if sign else ""
        if not np.isfinite(self.low):
            return f"{self.mean:{plus}.{digits}f} (one seed: no interval)"
        return f"{self.mean:{plus}.{digits}f} [{self.low:{plus}.{digits}f}, {self.high:{plus}.{digits}f}]"


def interval(values: Sequence[float] | pd.Series) -> Interval:
    """Return the mean of a value per seed, with its 95 % interval by Student's t distribution."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return Interval(float(values.mean()), -np.inf, np.inf)
    return Interval(float(values.mean()), *ties.interval(values))


def exponent(values: pd.DataFrame, step: float) -> Interval | None:
    """Return the exponent of a power law, fitted as a line in both logarithms, with its 95 % interval.

    A value on a logarithmic grid is known up to half a step. The half-width of the interval is the root of the sum of
    two squares: that of Student's t interval over the seeds, and that of two standard errors by the grid, on which the
    mean at each base has a uniform error within half a step.

    Args:
        values: Data frame with a row per seed, and a column per value of the base, such as the depth. A column with a
            missing value is left out.
        step: Float, the ratio of neighbouring values of the grid.

    Returns:
        An `Interval`, or `None` if fewer than three columns are left.
    """
    complete = values.dropna(axis="columns")
    if complete.shape[1] < 3:
        return None
    x, y = np.log(np.asarray(complete.columns, float)), np.log(complete.to_numpy(float))
    weights = (x - x.mean()) / np.square(x - x.mean()).sum()
    of_seeds = interval(y @ weights)
    by_seeds = of_seeds.high - of_seeds.mean if len(y) > 1 else 0.0
    by_grid = 2 * np.log(step) * np.sqrt(np.square(weights).sum() / 12)
    half = float(np.hypot(by_seeds, by_grid))
    return Interval(of_seeds.mean, of_seeds.mean - half, of_seeds.mean + half)


def paired(rows: pd.DataFrame, arm: str, first: object, second: object, value: str) -> pd.Series:
    """Return the difference of a value between two arms for each seed: the first arm minus the second.

    Args:
        rows: Rows with the column `seed`, one for each seed of both arms.
        arm: The column that identifies the arm.
        first: Its value in the first arm.
        second: Its value in the second arm.
        value: The column to compare.
    """
    table = rows.pivot(index="seed", columns=arm, values=value)
    return table[first] - table[second]
