"""From the columns of a table to the features of a model: learned once, kept as JSON, repeated wherever it serves."""

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


# numbers whose largest is between these keep their unit: in float32 they are standardized without loss
_SMALL, _LARGE = 1e-6, 1e15


@dataclass(frozen=True)
class Numeric:
    """A column of numbers, or of truth values as 0 and 1.

    Attributes:
        name: String, the column.
        median: Float, what takes the place of a missing value.
        missing: Boolean, whether there were missing values: a feature of its own, 1 for a missing value, tells them.
        unit: Float, what the numbers are divided by: 1, or a power of ten where float32 would not hold their variance.
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
        """What each feature is."""
        return [self.name, *[f"{self.name} is missing"] * self.missing]

    def encode(self, column: "pd.Series") -> list[np.ndarray]:
        """Return the features of a column."""
        values = columns.numbers(self.name, column)
        missing = np.isnan(values)
        return [np.where(missing, self.median, values) / self.unit, *[missing] * self.missing]


def _unit(largest: float) -> float:
    if largest == 0 or _SMALL <= largest <= _LARGE:
        return 1.0
    return float(10.0 ** np.floor(np.log10(largest)))


@dataclass(frozen=True)
class Categorical:
    """A column of words, one feature for each, which is 1 where the word stands.

    Attributes:
        name: String, the column.
        categories: Tuple of strings. Any other word is 0 in every feature.
        missing: Boolean, whether there were missing values, which are then a category too.
    """

    name: str
    categories: tuple[str, ...]
    missing: bool
    kind: ClassVar[str] = "categorical"

    @classmethod
    def learn(cls, name: str, column: "pd.Series") -> "Categorical":
        """Learns from the column of the training rows."""
        places, words = columns.words(name, column)
        columns.check_categories(name, column, len(words))
        return cls(name, tuple(sorted(set(words))), bool((places < 0).any()))

    @property
    def features(self) -> list[str]:
        """What each feature is."""
        return [f"{self.name}={word}" for word in self.categories] + [f"{self.name} is missing"] * self.missing

    def encode(self, column: "pd.Series") -> list[np.ndarray]:
        """The features of a column."""
        places, words = columns.words(self.name, column)
        known = {word: place for place, word in enumerate(self.categories)}
        codes = np.array([known.get(word, -1) for word in words] + [-1])[places]  # the place -1 is a missing value's
        return [codes == place for place in range(len(known))] + [places < 0] * self.missing


_KINDS = {kind.kind: kind for kind in (Numeric, Categorical)}


@dataclass(frozen=True)
class TableEncoder:
    """How the columns of a table became the features of a model.

    A number stays what it is, and a missing one becomes the median, with a further feature that tells so. The numbers
    of a column whose largest is above 1e15 or below 1e-6 are divided by a power of ten. A truth value is 0 or 1. Text
    and categories become a feature for each word, a missing value counting as a word of its own; words that the
    training rows did not have are 0 in all of them. All is learned from the training rows alone.

    It is kept as JSON, so that what serves the model needs neither the table nor the version of a library that it was
    read with.

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
        """Learns from the training rows.

        Args:
            frame: DataFrame of the features' columns.

        Raises:
            ValueError: If a column cannot be used; the message names it.
        """
        return cls(tuple(_KINDS[columns.kind(name, frame[name])].learn(name, frame[name]) for name in frame.columns))

    @property
    def features(self) -> list[str]:
        """What each feature is: `rooms`, `rooms is missing`, `heating=gas`."""
        return [feature for column in self.columns for feature in column.features]

    def encode(self, rows: "pd.DataFrame | Sequence[Mapping[str, Any]]") -> np.ndarray:
        """The features of rows.

        Args:
            rows: A DataFrame, or a sequence of dicts with `None` for a missing value. Columns that the encoder does not
                have, the target for instance, are left aside.

        Returns:
            float32 array of shape `(rows, features)`.

        Raises:
            ValueError: If a column is not there, or a column of numbers holds something else; the message names it.
        """
        frame = columns.frame(rows, [column.name for column in self.columns])
        features = np.empty((len(frame), len(self.features)), np.float32)
        place = 0
        for column in self.columns:
            for values in column.encode(frame[column.name]):
                features[:, place] = values
                place += 1
        return features

    def get_config(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {"columns": [{"kind": column.kind, **asdict(column)} for column in self.columns]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "TableEncoder":
        """What `get_config` gave, again an encoder."""
        return cls(tuple(_column(**column) for column in config["columns"]))

    def save(self, path: str | Path) -> None:
        """Writes it as JSON, whole or not at all."""
        write_text(path, json.dumps(self.get_config(), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "TableEncoder":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file holds something else.
        """
        try:
            return cls.from_config(read_json(path, "a table encoder"))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}: not what `TableEncoder.save` wrote ({error!r})") from error


def _column(kind: str, name: str, missing: bool, **learned: Any) -> Numeric | Categorical:
    if kind not in _KINDS:
        raise ValueError(unknown("kind of column", kind, _KINDS))
    if not (isinstance(name, str) and isinstance(missing, bool)):
        raise TypeError(f"a column has a name and whether values were missing. Received: {name!r}, {missing!r}")
    if kind == Numeric.kind:
        numbers = {key: _finite(key, value) for key, value in learned.items()}
        number("unit", numbers.get("unit", 1.0), above=0)
        return Numeric(name, missing=missing, **numbers)
    categories = learned.pop("categories")
    if not (isinstance(categories, list | tuple) and all(isinstance(word, str) for word in categories)):
        raise TypeError(f"the categories of {name!r} must be a list of texts. Received: {categories!r}")
    return Categorical(name, tuple(categories), missing, **learned)


def _finite(key: str, value: Any) -> float:
    if not is_finite(value):
        raise TypeError(f"{key} must be a finite number. Received: {value!r}")
    return float(value)
