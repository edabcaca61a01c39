"""The encoder of tables: from columns to the features of a model, learned on training rows and saved as JSON."""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, count, filterfalse
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bnzoo.data import columns, dates
from bnzoo.data.kinds import KINDS, Categorical, Date, Kind, Numeric
from bnzoo.errors import choice, is_finite, number, unknown
from bnzoo.files import write_text
from bnzoo.reading import read_json

if TYPE_CHECKING:
    import pandas as pd
    import tensorflow as tf


@dataclass(frozen=True)
class TableEncoder:
    """An encoder of the columns of a table as the features of a model.

    Numbers are not changed. A missing number becomes the median, and a second feature marks it. Columns whose largest
    number is above 1e15 or below 1e-6 are divided by a power of ten; columns whose differences float32 cannot
    represent, such as times since 1970, are standardized in float64. Booleans become 0 or 1. Dates become the
    standardized days since 1970, the year, the month, and the day of the week. Texts and categories are one-hot
    encoded, and a missing value is a category too. Of more than 100 categories, the most frequent 100 are kept, and the
    others are one. Without others, all features are 0 for a category that the training rows do not have. Everything is
    learned from the training rows only, but the form of dates, such as `DD/MM/YYYY`, is that of all rows.

    The encoder is saved as JSON, so that a server of the model needs neither the table nor the same library versions.

    Attributes:
        columns: Tuple of `Numeric`, `Date` and `Categorical`, in the order of the table.

    Examples:
    >>> houses = bnzoo.data.load("houses.csv", target="price")
    >>> houses.encoder.save("encoder.json")
    >>> encoder = bnzoo.data.TableEncoder.load("encoder.json")
    >>> model.predict(encoder.encode([{"rooms": 4, "heating": "gas", "built": None}]))
    """

    columns: tuple[Kind, ...]

    @classmethod
    def learn(cls, frame: "pd.DataFrame", rows: "pd.DataFrame | None" = None) -> "TableEncoder":
        """Learn from the training rows.

        Args:
            frame: DataFrame of the training rows, without the target.
            rows: DataFrame of all rows, which decide the form of dates; `None` for the training rows.

        Raises:
            ValueError: If a column cannot be used. The message names it.
        """
        rows = frame if rows is None else rows
        return cls(tuple(_learned(name, frame[name], rows[name]) for name in frame.columns))

    @property
    def features(self) -> list[str]:
        """The names of the features: `rooms`, `rooms is missing`, `heating=gas`."""
        return [feature for column in self.columns for feature in column.features]

    @property
    def texts(self) -> list[str]:
        """The names of the columns of categories. In a CSV file of a few rows, these may look like numbers."""
        return [column.name for column in self.columns if isinstance(column, Categorical)]

    def encode(self, rows: "pd.DataFrame | Sequence[Mapping[str, Any]]") -> np.ndarray:
        """Return the features of rows.

        Args:
            rows: A DataFrame, or a sequence of dicts with `None` for a missing value. Other columns, such as the
                target, are ignored.

        Returns:
            float32 array of shape `(rows, features)`.

        Raises:
            ValueError: If a column is missing, or a column of numbers or dates has other values. The message names it.
        """
        frame = columns.frame(rows, [column.name for column in self.columns])
        features = np.empty((len(frame), len(self.features)), np.float32)
        number = 0
        for column in self.columns:
            for values in column.encode(frame[column.name]):
                features[:, number] = values
                number += 1
        return features

    @property
    def inputs(self) -> dict[str, Kind]:
        """The columns by the name of their tensor: the name of the column in the characters A-Z, a-z, 0-9 and _."""
        named: dict[str, Kind] = {}
        taken: set[str] = set()
        for column in self.columns:
            letters = filterfalse(unicodedata.combining, unicodedata.normalize("NFKD", column.name))
            name = re.sub(r"[^A-Za-z0-9_]", "_", "".join(letters))
            if not name[:1].isalpha() or name == "self" or iskeyword(name):  # TensorFlow's signatures refuse these
                name = f"column_{name}"
            names = chain([name], (f"{name}_{number}" for number in count(2)))
            free = next(name for name in names if name.lower() not in taken)
            taken.add(free.lower())  # the names of TensorFlow's nodes have no case
            named[free] = column
        return named

    def encode_tensors(self, tensors: "Mapping[str, tf.Tensor]") -> "tf.Tensor":
        """Return the features of rows in TensorFlow, as `encode` in NumPy.

        Args:
            tensors: Dict of tensors of the shape `(rows,)`, by the names of `inputs`: float64 for numbers, with NaN for
                a missing value, and strings for texts and dates, with an empty one for a missing value.

        Returns:
            float32 tensor of shape `(rows, features)`.
        """
        import tensorflow as tf

        features = [values for name, column in self.inputs.items() for values in column.encode_tensor(tensors[name])]
        parts = [values if len(values.shape) == 2 else values[:, None] for values in features]
        return tf.concat([tf.cast(values, tf.float32) for values in parts], axis=1)

    def encode_arrays(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the features of rows in NumPy. The arrays are as the tensors of `encode_tensors`, with bytes."""
        import pandas as pd

        columns_ = {
            column.name: [text.decode() for text in arrays[name]] if column.dtype == "string" else arrays[name]
            for name, column in self.inputs.items()
        }
        return self.encode(pd.DataFrame(columns_))

    def examples(self) -> dict[str, np.ndarray]:
        """Return rows as `encode_arrays` takes them, with every category, an unknown one and missing values."""
        values = {name: column.examples() for name, column in self.inputs.items()}
        rows = range(max(map(len, values.values())))
        return {
            name: np.array([some[(row + place) % len(some)] for row in rows], np.float64)
            if self.inputs[name].dtype == "float64"
            else np.array([some[(row + place) % len(some)].encode() for row in rows], object)
            for place, (name, some) in enumerate(values.items())
        }

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


def _learned(name: str, column: "pd.Series", rows: "pd.Series") -> Kind:
    # without a form that fits all rows, `encode` names a row that the form of the training rows does not fit
    form = columns.form_of_dates(rows) or columns.form_of_dates(column)
    if form is None or columns.missing(column).all():
        return KINDS[columns.kind(name, column)].learn(name, column)
    return Date.learn(name, column, form)


def problems_of(training: "pd.DataFrame", rows: "pd.DataFrame") -> list[str]:
    """Return a sentence for each column that an encoder of the training rows cannot learn, or cannot encode.

    Args:
        training: DataFrame of the training rows.
        rows: DataFrame of all rows.
    """
    found = []
    for name in training.columns:
        try:
            _learned(name, training[name], rows[name]).encode(rows[name])
        except ValueError as error:
            found.append(str(error))
    return found


def _column(kind: str, name: str, missing: bool, **learned: Any) -> Kind:
    if kind not in (known := (*KINDS, Date.kind)):
        raise ValueError(unknown("kind of column", kind, known))
    if not (isinstance(name, str) and isinstance(missing, bool)):
        raise TypeError(f"a column must have a string `name` and a boolean `missing`. Received: {name!r}, {missing!r}")
    if kind == Categorical.kind:
        categories, other = learned.pop("categories"), learned.pop("other", False)
        if not (isinstance(categories, list | tuple) and all(isinstance(category, str) for category in categories)):
            raise TypeError(f"the categories of {name!r} must be a list of strings. Received: {categories!r}")
        if not isinstance(other, bool):
            raise TypeError(f"`other` of {name!r} must be a boolean. Received: {other!r}")
        return Categorical(name, tuple(categories), missing, other, **learned)
    form = learned.pop("form", None)
    numbers = {key: _finite(key, value) for key, value in learned.items()}
    number("unit", numbers.get("unit", 1.0), above=0)
    if kind == Numeric.kind:
        return Numeric(name, missing=missing, **numbers)
    choice("form", form, dates.FORMS)
    number("median", numbers.get("median"), at_least=dates.FIRST, at_most=dates.LAST + 1)
    return Date(name, missing, form, **numbers)


def _finite(key: str, value: Any) -> float:
    if not is_finite(value):
        raise TypeError(f"{key} must be a finite number. Received: {value!r}")
    return float(value)
