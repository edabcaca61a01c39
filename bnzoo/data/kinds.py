"""The kinds of columns of a table: each learns from training rows, and encodes a column as features.

Each encodes in NumPy, for training, and in TensorFlow, for the SavedModel of a model.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bnzoo.data import columns, dates

if TYPE_CHECKING:
    import pandas as pd
    import tensorflow as tf

# a column whose largest number is between these keeps its unit: float32 can represent its variance
_SMALL, _LARGE = 1e-6, 1e15


@dataclass(frozen=True)
class Numeric:
    """A column of numbers, or of booleans as 0 and 1.

    Attributes:
        name: String, the name of the column.
        median: Float, the replacement of a missing value.
        missing: Boolean, whether the training rows have missing values. A second feature is then 1 for a missing value.
        unit: Float, the divisor of the numbers: 1, a power of ten if float32 cannot represent their variance, or their
            standard deviation if float32 cannot represent their differences.
        shift: Float, the number that is subtracted before: 0, or the mean in the last case.
    """

    name: str
    median: float
    missing: bool
    unit: float = 1.0
    shift: float = 0.0
    kind: ClassVar[str] = "numeric"
    dtype: ClassVar[str] = "float64"

    @classmethod
    def learn(cls, name: str, column: "pd.Series") -> "Numeric":
        """Learn from the column of the training rows."""
        values = columns.numbers(name, column)
        missing = np.isnan(values)
        present = values[~missing]
        unit, shift = _unit(float(np.abs(present).max())), 0.0
        if not columns.are_distinct(column, present):
            shift, unit = _standard(present)
            columns.check_distinct(f"column {name!r}", column, (present - shift) / unit)
        return cls(name, float(np.median(present)), bool(missing.any()), unit, shift)

    @property
    def features(self) -> list[str]:
        """The names of the features."""
        return [self.name, *[f"{self.name} is missing"] * self.missing]

    def encode(self, column: "pd.Series") -> list[np.ndarray]:
        """Return the features of a column."""
        values = columns.numbers(self.name, column)
        missing = np.isnan(values)
        return [(np.where(missing, self.median, values) - self.shift) / self.unit, *[missing] * self.missing]

    def encode_tensor(self, values: "tf.Tensor") -> list["tf.Tensor"]:
        """Return the features of a float64 tensor, in which NaN is a missing value."""
        import tensorflow as tf

        missing = tf.math.is_nan(values)
        filled = tf.where(missing, tf.constant(self.median, tf.float64), values)
        return [(filled - self.shift) / self.unit, *[missing] * self.missing]

    def examples(self) -> list[Any]:
        """Return values of a column, a missing one included."""
        return [self.median, math.nan, self.median + self.unit, self.shift, -self.unit]


def _unit(largest: float) -> float:
    """Return the divisor for a column with this largest number."""
    if largest == 0 or _SMALL <= largest <= _LARGE:
        return 1.0
    return float(10.0 ** np.floor(np.log10(largest)))


def _standard(values: np.ndarray) -> tuple[float, float]:
    """Return the mean and the standard deviation in float64. The deviation of equal numbers is 1."""
    return float(values.mean()), float(values.std()) or 1.0


@dataclass(frozen=True)
class Date:
    """A column of dates, with or without times, as days since 1970, year, month and day of the week.

    Attributes:
        name: String, the name of the column.
        missing: Boolean, whether the training rows have missing values. A further feature is then 1 for one.
        form: String, the form of the dates as text, such as `"YYYY-MM-DD"`.
        median: Float, the replacement of a missing date in days since 1970-01-01.
        unit: Float, the divisor of the days: their standard deviation.
        shift: Float, the number of days that is subtracted before: their mean.
    """

    name: str
    missing: bool
    form: str
    median: float
    unit: float
    shift: float
    kind: ClassVar[str] = "date"
    dtype: ClassVar[str] = "string"

    @classmethod
    def learn(cls, name: str, column: "pd.Series", form: str) -> "Date":
        """Learn from the column of the training rows, whose texts have a form."""
        found = columns.dates_of(name, column, form)
        present = found.days[found.valid]
        shift, unit = _standard(present)
        return cls(name, not found.valid.all(), form, float(np.median(present)), unit, shift)

    @property
    def features(self) -> list[str]:
        """The names of the features."""
        missing = [f"{self.name} is missing"] * self.missing
        return [self.name, *(f"{self.name} {part}" for part in ("year", "month", "weekday")), *missing]

    def encode(self, column: "pd.Series") -> list[np.ndarray]:
        """Return the features of a column."""
        return self._features(np.where, columns.dates_of(self.name, column, self.form))

    def encode_tensor(self, texts: "tf.Tensor") -> list["tf.Tensor"]:
        """Return the features of a tensor of texts. A text that is no date of the form is a missing value."""
        import tensorflow as tf

        def where(condition: "tf.Tensor", values: "tf.Tensor", other: float) -> "tf.Tensor":
            return tf.where(condition, values, tf.constant(other, tf.float64))

        return self._features(where, dates.of_tensor(texts, self.form))

    def examples(self) -> list[Any]:
        """Return texts of a column, a missing value included."""
        days = (0.0, self.median, self.shift + self.unit, self.shift - self.unit, 11_016.0)  # a 29th of February
        return ["", *(dates.text_of(min(max(day, dates.FIRST), dates.LAST), self.form) for day in days)]

    def _features(self, where: Any, found: dates.Dates) -> list[Any]:
        valid = found.valid
        middle = dates.of_days(self.median)
        days = where(valid, found.days, middle.days)
        year, month = where(valid, found.year, middle.year), where(valid, found.month, middle.month)
        return [(days - self.shift) / self.unit, year, month, dates.weekday(days), *[~valid] * self.missing]


@dataclass(frozen=True)
class Categorical:
    """A column of categories, in one-hot encoding.

    Attributes:
        name: String, the name of the column.
        categories: Tuple of strings. If there are more than 100, the most frequent ones.
        missing: Boolean, whether the training rows have missing values, which are then a category too. An empty text is
            a missing value. (In `categories` it is that of a table with empty texts.)
        other: Boolean, whether the training rows have other categories, which are then one category. If not, all
            features are 0 for any other category.
    """

    name: str
    categories: tuple[str, ...]
    missing: bool
    other: bool = False
    kind: ClassVar[str] = "categorical"
    dtype: ClassVar[str] = "string"

    @classmethod
    def learn(cls, name: str, column: "pd.Series") -> "Categorical":
        """Learn from the column of the training rows."""
        codes, categories = columns.categories(name, column)
        kept = columns.frequent(name, codes, categories)
        # an empty text is a missing value: as the category "", or else as this one
        missing = "" not in kept and bool((codes < 0).any() or "" in categories)
        return cls(name, tuple(sorted(kept)), missing, bool({*categories} - {*kept, ""}))

    @property
    def features(self) -> list[str]:
        """The names of the features."""
        known = [f"{self.name}={category}" for category in self.categories]
        return known + [f"{self.name} is other"] * self.other + [f"{self.name} is missing"] * self.missing

    def encode(self, column: "pd.Series") -> list[np.ndarray]:
        """Return the features of a column."""
        codes, categories = columns.categories(self.name, column)
        known = {category: number for number, category in enumerate(self.categories)}
        # the code -1 of a missing value selects the last entry
        absent = -1 if self.missing else known.get("", -1)
        numbers = np.array([*(known.get(category, -1) for category in categories), absent])[codes]
        missing = np.array([category == "" for category in categories] + [True])[codes] & (numbers < 0)
        other = [(numbers < 0) & ~missing] * self.other
        return [*(numbers == number for number in range(len(known))), *other, *[missing] * self.missing]

    def encode_tensor(self, texts: "tf.Tensor") -> list["tf.Tensor"]:
        """Return the features of a tensor of texts, in which an empty text is a missing value.

        The first tensor has a feature for each category.
        """
        import tensorflow as tf

        equal = tf.equal(texts[:, None], tf.constant(self.categories, tf.string))
        unknown = ~tf.reduce_any(equal, axis=1)
        missing = unknown & tf.equal(texts, "")
        return [equal, *[unknown & ~missing] * self.other, *[missing] * self.missing]

    def examples(self) -> list[Any]:
        """Return texts of a column, a missing value and an unknown text included."""
        return ["", "a text that the training rows do not have", *self.categories]


Kind = Numeric | Date | Categorical
KINDS: dict[str, type[Numeric | Categorical]] = {kind.kind: kind for kind in (Numeric, Categorical)}
