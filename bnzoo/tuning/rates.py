"""The results of learning-rate range tests: the interval of usable rates, with its reason."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# the loss at the start is the mean over this share of the steps, in which the rate is too low to change it
_START = 0.1
# the width of the smoothing, as a share of the steps
_SMOOTHING = 0.025
# a rate is too high if the loss has risen again by this share of its whole fall
_RISEN = 0.25
# a loss that rises above the loss at the start by so many times its fall has exploded
_EXPLODED = 10
# the suggested rate as a share of the one with the lowest loss
_SUGGESTED = 0.25
# the least fall of the loss, as a share of the loss at the start, and in deviations of the smoothed loss there
_LEAST_FALL, _DEVIATIONS = 0.01, 5


@dataclass(frozen=True)
class RateTest:
    """The result of the learning-rate range test of a model.

    The loss is the mean over the orders of the data. For the interval it is limited to the loss at the start plus twice
    its fall, so that an explosion weighs no more than a rise, and smoothed over the steps.

    Attributes:
        name: String, the model or its configuration.
        rates: Array of shape `(steps,)`, the learning rate of each step.
        losses: Array of shape `(orders, steps)`, the loss of each batch; infinite after a loss that is not finite.
        values: Dict, the configuration in a space; empty for a model.
    """

    name: str
    rates: np.ndarray
    losses: np.ndarray
    values: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def loss(self) -> np.ndarray:
        """The loss of each step, the mean over the orders of the data."""
        return self.losses.mean(0)

    @cached_property
    def smoothed(self) -> np.ndarray:
        """The smoothed loss of each step."""
        from scipy.ndimage import gaussian_filter1d

        if not np.isfinite(self.start):
            return self.loss
        most = self.start + 2 * abs(self.start - self.loss.min())
        return gaussian_filter1d(np.minimum(self.loss, most), _SMOOTHING * len(self.rates), mode="nearest")

    @property
    def start(self) -> float:
        """The loss before the rate is high enough to change it."""
        return float(self.loss[: self._first].mean())

    @property
    def interval(self) -> tuple[float, float] | None:
        """The lowest and the highest usable rate; `None` if no rate lowers the loss.

        At the lowest one the loss falls fastest, or has fallen by half. Above the highest one it has risen again by a
        quarter of its fall.
        """
        return None if self._ends is None else (float(self.rates[self._ends[0]]), float(self.rates[self._ends[1]]))

    @property
    def steepest(self) -> float | None:
        """The rate at which the loss falls fastest; `None` if no rate lowers the loss."""
        return None if self._ends is None else float(self.rates[self._steepest])

    @property
    def suggested(self) -> float | None:
        """The suggested highest rate of a training; `None` without an interval.

        It is a quarter of the rate with the lowest loss, but not below the interval: the loss lags behind the rate.
        """
        if self.interval is None:
            return None
        return max(self.interval[0], _SUGGESTED * float(self.rates[self.smoothed.argmin()]))

    @property
    def end(self) -> str:
        """The reason for the upper end of the interval.

        `"diverged"`: the loss explodes. `"stalled"`: it only rises again, as is common with batch norm. `"range"`:
        neither is seen up to the highest rate of the test. Empty if no rate lowers the loss.
        """
        if self._ends is None:
            return ""
        if not len(self._above):
            return "range"
        fall = self.start - self.smoothed.min()
        return "diverged" if self._above.max() > self.start + _EXPLODED * fall else "stalled"

    @property
    def reason(self) -> str:
        """The reason for the interval, or for its absence."""
        if self.interval is None:
            # the networks of a space are never trained before
            hint = "" if self.values else "; if the model is trained already, test it before its training"
            return (
                f"no rate from {self.rates[0]:.2g} to {self.rates[-1]:.2g} lowers the loss, which is {self.start:.3g} "
                f"at the start{hint}"
            )
        high, best = f"{self.interval[1]:.2g}", float(self.smoothed.min())
        mean = float(self._above.mean()) if len(self._above) else best
        ends = {
            "diverged": f"diverges above {high}",
            "stalled": f"stalls above {high}, where it is {mean:.3g} on average, against {best:.3g} at best",
            "range": f"neither diverges nor stalls up to {high}, the highest rate of the test",
        }
        return f"the loss falls fastest at {self.steepest:.2g}, and {ends[self.end]}"

    def table(self) -> pd.DataFrame:
        """Return the steps as a table: `rate`, `loss`, `smoothed` and `outcome`.

        The outcome is `ok` in the interval, `slow` below it, and `diverged` or `stalled` above it; `stalled` everywhere
        if no rate lowers the loss.
        """
        outcomes = np.full(len(self.rates), "stalled", object)
        if self._ends is not None:
            low, high = self._ends
            outcomes[:low], outcomes[low : high + 1], outcomes[high + 1 :] = "slow", "ok", self.end
        columns = {"rate": self.rates, "loss": self.loss, "smoothed": self.smoothed, "outcome": outcomes}
        return pd.DataFrame(columns)

    def plot(self, path: str | Path) -> None:
        """Write the loss over the rate as a picture.

        Args:
            path: The file, `.png` or `.svg`. Its folder must exist.

        Raises:
            ValueError: If the name has another suffix.
        """
        RateTests((self,)).plot(path)

    def __str__(self) -> str:
        if self.interval is None:
            return f"{self.name}: {self.reason}"
        low, high = self.interval
        return f"{self.name}: rates from {low:.2g} to {high:.2g}, suggested {self.suggested:.2g}; {self.reason}"

    @property
    def _first(self) -> int:
        return max(1, round(_START * len(self.rates)))

    @cached_property
    def _ends(self) -> tuple[int, int] | None:
        """The first and the last usable step."""
        if not np.isfinite(self.start):
            return None
        smoothed, best = self.smoothed, int(self.smoothed.argmin())
        fall = self.start - smoothed[best]
        noise = float(smoothed[: self._first].std())
        if best == 0 or fall <= max(_DEVIATIONS * noise, _LEAST_FALL * abs(self.start)):
            return None
        half = int(np.argmax(smoothed < self.start - fall / 2))
        risen = np.flatnonzero(smoothed[best:] > smoothed[best] + _RISEN * fall)
        return min(self._steepest, half), best + int(risen[0]) - 1 if len(risen) else len(smoothed) - 1

    @property
    def _above(self) -> np.ndarray:
        """The losses above the interval."""
        return self.loss[len(self.rates) if self._ends is None else self._ends[1] + 1 :]

    @property
    def _steepest(self) -> int:
        """The step, up to that of the lowest loss, at which the loss falls fastest."""
        return int(np.gradient(self.smoothed)[: self.smoothed.argmin() + 1].argmin())


@dataclass(frozen=True)
class RateTests:
    """The results of the range tests of the configurations of a space.

    Attributes:
        tests: Tuple of `RateTest`.
    """

    tests: tuple[RateTest, ...]

    def __iter__(self) -> Iterator[RateTest]:
        return iter(self.tests)

    def __len__(self) -> int:
        return len(self.tests)

    def table(self) -> pd.DataFrame:
        """Return a row for each configuration: its values, `lowest`, `highest`, `suggested` and `end`."""
        rows = []
        for test in self.tests:
            low, high = test.interval or (np.nan, np.nan)
            suggested = np.nan if test.suggested is None else test.suggested
            rows.append({**test.values, "lowest": low, "highest": high, "suggested": suggested, "end": test.end})
        return pd.DataFrame(rows)

    def plot(self, path: str | Path) -> None:
        """Write the loss over the rate as a picture, a panel for each configuration.

        Args:
            path: The file, `.png` or `.svg`. Its folder must exist.

        Raises:
            ValueError: If the name has another suffix.
        """
        from bnzoo.reports.rates import write_rates

        write_rates(self.tests, path)

    def __str__(self) -> str:
        return "\n".join(map(str, self.tests))
