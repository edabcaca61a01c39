"""The encoder of tables: from columns to the features of a model, learned on training rows and saved as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bnzoo.data import columns
from bnzoo.errors import is_finite, number, unknown
from bnzoo.files import write_text
from bnzoo.reading import read_json

if TYPE_CHECKING:
    import pandas as pd


# a column whose largest number is between these keeps its unit: float32 can represent its variance
_SMALL, _LARGE = 1e-6, 1e15


@dataclass(frozen=True)
class Numeric:
    """A column of numbers, or of booleans as 0 and 1.

    Attributes:
        name: String, the name of the column.
        median: Float, the replacement of a missing value.
        missing: Boolean, whether the training rows have missing values. A second feature is then 1 for a missing value.
        unit: Float, the divisor of the numbers: 1, or a power of ten if float32 cannot represent their variance.
    """

    name: str
    median: float
    missing: bool
    unit: float = 1.0
    kind: ClassVar[str] = "numeric"

    @classmethod
    def learn(cls, name: str, column: "pd.Series") -> "Numeric":
        """Learn from the column of the training rows."""
        values = columns.numbers(name, column)
        columns.check_distinct(f"column {name!r}", column, values)
        missing = np.isnan(values)
        present = values[~missing]
        return cls(name, float(np.median(present)), bool(missing.any()), _unit(float(np.abs(present).max())))

    @property
    def features(self) -> list[str]:
        """The names of the features."""
        return [self.name, *[f"{self.name} is missing"] * self.missing]

    def encode(self, column: "pd.Series") -> list[np.ndarray]:
        """Return the features of a column."""
        values = columns.numbers(self.name, column)
        missing = np.isnan(values)
        return [np.where(missing, self.median, values) / self.unit, *[missing] * self.missing]


def _unit(largest: float) -> float:
    """Return the divisor for a column with this largest number."""
    if largest == 0 or _SMALL <= largest <= _LARGE:
        return 1.0
    return float(10.0 ** np.floor(np.log10(largest)))


@dataclass(frozen=True)
class Categorical:
    """A column of categories, in one-hot encoding.

    Attributes:
        name: String, the name of the column.
        categories: Tuple of strings. All features are 0 for any other category.
        missing: Boolean, whether the training rows have missing values, which are then a category too.
    """

    name: str
    categories: tuple[str, ...]
    missing: bool
    kind: ClassVar[str] = "categorical"

    @classmethod
    def learn(cls, name: str, column: "pd.Series") -> "Categorical":
        """Learn from the column of the training rows."""
        codes, categories = columns.categories(name, column)
        columns.check_categories(name, column, len(categories))
        return cls(name, tuple(sorted(set(categories))), bool((codes < 0).any()))

    @property
    def features(self) -> list[str]:
        """The names of the features."""
        return [f"{self.name}={category}" for category in self.categories] + [f"{self.name} is missing"] * self.missing

    def encode(self, column: "pd.Series") -> list[np.ndarray]:
        """Return the features of a column."""
        codes, categories = columns.categories(self.name, column)
        known = {category: number for number, category in enumerate(self.categories)}
        # the code -1 of a missing value selects the last entry
        numbers = np.array([known.get(category, -1) for category in categories] + [-1])[codes]
        return [numbers == number for number in range(len(known))] + [codes < 0] * self.missing


_KINDS = {kind.kind: kind for kind in (Numeric, Categorical)}


@dataclass(frozen=True)
class TableEncoder:
    """An encoder of the columns of a table as the features of a model.

    Numbers are not changed. A missing number becomes the median, and a second feature marks it. Columns whose largest
    number is above 1e15 or below 1e-6 are divided by a power of ten. Booleans become 0 or 1. Texts and categories are
    one-hot encoded, and a missing value is a category too; all features are 0 for a category that the training rows do
    not have. Everything is learned from the training rows only.

    The encoder is saved as JSON, so that a server of the model needs neither the table nor the same library versions.

    Attributes:
        columns: Tuple of `Numeric` and `Categorical`, in the order of the table.

    Examples:
    >>> houses = bnzoo.data.load("houses.csv", target="price")
    >>> houses.encoder.save("encoder.json")
    >>> encoder = bnzoo.data.TableEncoder.load("encoder.json")
    >>> model.predict(encoder.encode([{"rooms": 4, "heating": "gas", "built": None}]))
    """

    columns: tuple[Numeric | Categorical, ...]

    @classmethod
    def learn(cls, frame: "pd.DataFrame") -> "TableEncoder":
        """Learn from the training rows.

        Args:
            frame: DataFrame of the training rows, without the target.

        Raises:
            ValueError: If a column cannot be used. The message names it.
        """
        return cls(tuple(_learned(name, frame[name]) for name in frame.columns))

    @property
    def features(self) -> list[str]:
        """The names of the features: `rooms`, `rooms is missing`, `heating=gas`."""
        return [feature for column in self.columns for feature in column.features]

    def encode(self, rows: "pd.DataFrame | Sequence[Mapping[str, Any]]") -> np.ndarray:
        """Return the features of rows.

        Args:
            rows: A DataFrame, or a sequence of dicts with `None` for a missing value. Other columns, such as the
                target, are ignored.

        Returns:
            float32 array of shape `(rows, features)`.

        Raises:
            ValueError: If a column is missing, or a column of numbers has other values. The message names it.
        """
        frame = columns.frame(rows, [column.name for column in self.columns])
        features = np.empty((len(frame), len(self.features)), np.float32)
        number = 0
        for column in self.columns:
            for values in column.encode(frame[column.name]):
                features[:, number] = values
                number += 1
        return features

    def get_config(self) -> dict[str, Any]:
        """Return the encoder as JSON."""
        return {"columns": [{"kind": column.kind, **asdict(column)} for column in self.columns]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "TableEncoder":
        """Return the encoder of a config from `get_config`."""
        return cls(tuple(_column(**column) for column in config["columns"]))

    def save(self, path: str | Path) -> None:
        """Write the encoder as a JSON file, atomically."""
        write_text(path, json.dumps(self.get_config(), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "TableEncoder":
        """Read an encoder from a file that `save` wrote.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If the file is not one of an encoder.
        """
        try:
            return cls.from_config(read_json(path, "a table encoder"))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path} was not written by `TableEncoder.save` ({error!r})") from error


def _learned(name: str, column: "pd.Series") -> Numeric | Categorical:
    return _KINDS[columns.kind(name, column)].learn(name, column)


def problems_of(training: "pd.DataFrame", rows: "pd.DataFrame") -> list[str]:
    """Return a sentence for each column that an encoder of the training rows cannot learn, or cannot encode.

    Args:
        training: DataFrame of the training rows.
        rows: DataFrame of all rows.
    """
    found = []
    for name in training.columns:
        try:
            _learned(name, training[name]).encode(rows[name])
        except ValueError as error:
            found.append(str(error))
    return found


def _column(kind: str, name: str, missing: bool, **learned: Any) -> Numeric | Categorical:
    if kind not in _KINDS:
        raise ValueError(unknown("kind of column", kind, _KINDS))
    if not (isinstance(name, str) and isinstance(missing, bool)):
        raise TypeError(f"a column must have a string `name` and a boolean `missing`. Received: {name!r}, {missing!r}")
    if kind == Numeric.kind:
        numbers = {key: _finite(key, value) for key, value in learned.items()}
        number("unit", numbers.get("unit", 1.0), above=0)
        return Numeric(name, missing=missing, **numbers)
    categories = learned.pop("categories")
    if not (isinstance(categories, list | tuple) and all(isinstance(category, str) for category in categories)):
        raise TypeError(f"the categories of {name!r} must be a list of strings. Received: {categories!r}")
    return Categorical(name, tuple(categories), missing, **learned)


def _finite(key: str, value: Any) -> float:
    if not is_finite(value):
        raise TypeError(f"{key} must be a finite number. Received: {value!r}")
    return float(value)
