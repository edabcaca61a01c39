"""95 % intervals of metrics: Wilson's for a share of the examples, the bootstrap for others."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnzoo.metrics.metric import Metric, Prepared

RESAMPLES = 1000
_SEED = 0
_DEVIATIONS = 1.959963984540054  # of the normal distribution, on each side of 95 %


@dataclass(frozen=True)
class Measured:
    """The value of a metric with its 95 % interval.

    Attributes:
        value: Float.
        low: Float, the lower end of the interval.
        high: Float, the upper end.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} (95 % interval {self.low:.4g} to {self.high:.4g})"

    def text(self, metric: Metric) -> str:
        """Return the value and its interval as text."""
        return f"{metric.text(self.value)} (95 % interval {self.ends(metric)})"

    def ends(self, metric: Metric) -> str:
        """Return the interval as text."""
        return f"{metric.text(self.low)} to {metric.text(self.high)}"


def measured(metrics: Mapping[str, Metric], predictions: np.ndarray, truth: np.ndarray) -> dict[str, Measured]:
    """Compute metrics with their 95 % intervals.

    The interval of a share is that of Wilson (1927). That of another metric has the 2.5 and 97.5 percentiles of the
    metric in 1,000 samples of the examples, with replacement and with a fixed seed (Efron 1979).

    Args:
        metrics: Dict of metrics by name.
        predictions: As `Metric.compute` takes them.
        truth: Array of the true values.
    """
    prepared = {name: metric.prepare(predictions, truth) for name, metric in metrics.items()}
    ones = np.ones(len(truth))
    values = {name: function(ones) for name, function in prepared.items()}
    sampled = {name: function for name, function in prepared.items() if not metrics[name].share}
    ends = _bootstrap(sampled, len(truth))
    ends |= {name: wilson(values[name], len(truth)) for name in prepared if metrics[name].share}
    return {name: Measured(value, *ends[name]) for name, value in values.items()}


def wilson(share: float, examples: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of independent examples, by Wilson (1927)."""
    z = _DEVIATIONS**2 / examples
    middle = (share + z / 2) / (1 + z)
    half = math.sqrt(z * share * (1 - share) + z * z / 4) / (1 + z)
    return max(0.0, middle - half), min(1.0, middle + half)


def _bootstrap(functions: Mapping[str, Prepared], examples: int) -> dict[str, Any]:
    if not functions:
        return {}
    random = np.random.default_rng(_SEED)
    found: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(RESAMPLES):
        weights = np.bincount(random.integers(examples, size=examples), minlength=examples).astype(np.float64)
        for name, function in functions.items():
            found[name].append(function(weights))
    # not numpy.nanpercentile, which warns of a metric that no sample has, such as the AUC of one class
    known = {name: [value for value in values if not math.isnan(value)] or [math.nan] for name, values in found.items()}
    return {name: tuple(np.percentile(values, (2.5, 97.5)).tolist()) for name, values in known.items()}
