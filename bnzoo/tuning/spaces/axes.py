"""The axes of a space: the values of a hyperparameter, and their labels for JSON and Keras Tuner."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras_tuner
import numpy as np

from bnzoo.errors import is_finite

POINTS = 7
MOST_POINTS = 1000

Label = str | int | float
Check = Callable[[str, Any], Any]


@dataclass(frozen=True)
class Axis:
    """A hyperparameter and its values. An axis with a single value is not searched.

    Attributes:
        name: String.
        values: Tuple, as the builder takes them.
        labels: Tuple, one label for each value: numbers of one type, or strings.
    """

    name: str
    values: tuple[Any, ...]
    labels: tuple[Label, ...]

    @classmethod
    def of(cls, name: str, values: Any, check: Check | None = None) -> "Axis":
        """Return an axis of one value, or of a list or tuple of values.

        Args:
            name: String, the name of the argument.
            values: The value or the values.
            check: Function of the name and a value, which returns the value or raises `ValueError`.

        Raises:
            ValueError: If there is no value, a value occurs twice, or `check` refuses one.
        """
        several = distinct(name, values if isinstance(values, list | tuple) else (values,))
        if check is not None:
            several = tuple(check(name, value) for value in several)
        return cls(name, several, _labels(several))

    @property
    def searched(self) -> bool:
        """`True` if the axis has several values."""
        return len(self.values) > 1

    def value(self, label: Label) -> Any:
        """Return the value of a label.

        Raises:
            ValueError: If the axis does not have the label.
        """
        if label not in self.labels:
            known = ", ".join(map(str, self.labels))
            raise ValueError(f"`{self.name}` must be one of {known}. Received: {self.name}={label!r}")
        return self.values[self.labels.index(label)]

    def declare(self, hp: keras_tuner.HyperParameters) -> None:
        """Declare the axis to Keras Tuner."""
        hp.Choice(self.name, list(self.labels))

    def plain(self) -> Any:
        """Return the single value, or all values in a list, as JSON."""
        return list(self.values) if self.searched else self.values[0]


def _labels(values: tuple[Any, ...]) -> tuple[Label, ...]:
    """Return labels that Keras Tuner takes: numbers of one type, or strings. It converts booleans to integers."""
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        return tuple(float(value) for value in values)
    if len(kinds) == 1 and kinds <= {str, int, float}:
        return values
    return tuple("none" if value is None else str(value) for value in values)


def distinct(name: str, values: Any) -> tuple:
    """Return the values as a tuple.

    Raises:
        ValueError: If the values are not a sequence, or a value occurs twice, or there is none.
    """
    if isinstance(values, str) or not isinstance(values, Sequence) or not len(values):
        raise ValueError(f"`{name}` must be a sequence of at least one value. Received: {name}={values!r}")
    if any(value in values[:i] for i, value in enumerate(values)):
        raise ValueError(f"`{name}` must not hold a value twice. Received: {name}={values!r}")
    return tuple(values)


def log_grid(learning_rates: Any) -> tuple[float, ...]:
    """Return the logarithmic grid of `(low, high)` or `(low, high, points)`, in four significant digits.

    Raises:
        ValueError: If the argument has another form.
    """
    numbers = isinstance(learning_rates, Sequence) and all(map(is_finite, learning_rates))
    if numbers and len(learning_rates) in (2, 3):
        low, high, points = (*learning_rates, POINTS)[:3]
        if 0 < low <= high and points in range(1, MOST_POINTS + 1) and (low < high) == (points > 1):
            # between rounded ends, so that the ends of a grid give the same grid again
            rates = np.geomspace(_rounded(low), _rounded(high), int(points))
            return distinct("learning_rates", tuple(map(_rounded, rates)))
    raise ValueError(
        "`learning_rates` must be two positive numbers, the lower first, and optionally the number of points, "
        f"{POINTS} by default and at most {MOST_POINTS:,}: (0.001, 3.0) or (0.001, 3.0, {POINTS}). Received: "
        f"{learning_rates!r}"
    )


def _rounded(rate: float) -> float:
    return float(f"{rate:.4g}")
