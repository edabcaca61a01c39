"""The cost of a network: its parameters, its multiplications, and its measured latencies."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import pandas as pd

from bnzoo.errors import number
from bnzoo.models import count_macs

# the columns of results with counted costs
COUNTS = ("parameters", "multiplications")
# the end of the name of a column with the milliseconds of a format
_MS = "_ms"
_UNITS = (("G", 1e9), ("M", 1e6), ("k", 1e3))


@dataclass(frozen=True)
class Latency:
    """The latency of a network.

    Attributes:
        network: Dict, the hyperparameters that determine the network.
        milliseconds: Float, the median time of a call with one example.
    """

    network: Mapping[str, Any]
    milliseconds: float


@dataclass(frozen=True)
class Latencies:
    """The measured latencies of the networks of a study.

    Attributes:
        formats: Dict from the name of an export format to a sequence of `Latency`.
    """

    formats: Mapping[str, Sequence[Latency]] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The names of their columns in results, such as `saved_model_ms`."""
        return [f"{format}{_MS}" for format in self.formats]

    def of(self, values: Mapping[str, Any]) -> list[float]:
        """Return the milliseconds of the network of a trial in each format. NaN is a latency that was not measured.

        Args:
            values: Dict, the hyperparameters of the trial.
        """
        return [
            next((each.milliseconds for each in latencies if each.network.items() <= values.items()), math.nan)
            for latencies in self.formats.values()
        ]

    def with_more(self, format: str, measured: Iterable[Latency]) -> "Latencies":
        """Return these latencies and those of further networks in a format, which becomes the last one."""
        others = {name: latencies for name, latencies in self.formats.items() if name != format}
        return Latencies({**others, format: [*self.formats.get(format, ()), *measured]})

    def to_dict(self) -> dict[str, Any]:
        """Return the latencies as JSON."""
        return {
            format: [{"network": dict(each.network), "milliseconds": each.milliseconds} for each in latencies]
            for format, latencies in self.formats.items()
        }

    @classmethod
    def from_dict(cls, formats: Any) -> "Latencies":
        """Return the latencies of a dict from `to_dict`.

        Raises:
            ValueError: If it has another form.
        """
        try:
            return cls({format: [_latency(entry) for entry in entries] for format, entries in formats.items()})
        except (AttributeError, TypeError, KeyError, ValueError) as error:
            raise ValueError(f"its latencies are damaged: {error}") from error


def _latency(entry: Any) -> Latency:
    network = entry["network"]
    if not all(isinstance(value, str | int | float) for value in network.values()):
        raise ValueError("a hyperparameter must be a number or a string")
    return Latency(network, number("milliseconds", entry["milliseconds"], at_least=0))


def counts_of(model: keras.Model) -> tuple[int, int | None]:
    """Return the number of parameters and of multiply-accumulates; `None` for multiplications that are not counted."""
    try:
        multiplications = sum(count_macs(model))
    except (ValueError, AttributeError):  # a space of a user may have any layers and inputs
        multiplications = None
    return model.count_params(), multiplications


def cost_text(column: str, value: float) -> str:
    """Return the value of a column of costs as text, such as `272 k`, `40.8 M` or `1.31`; empty if it is missing."""
    if pd.isna(value):
        return ""
    if column not in COUNTS:
        return f"{value:.3g}"
    rounded = float(f"{value:.3g}")
    return next((f"{rounded / size:g} {unit}" for unit, size in _UNITS if rounded >= size), f"{rounded:g}")


def cost_words(column: str) -> str:
    """Return the unit of a column of costs: its name, or `ms as saved_model`."""
    return column if column in COUNTS else f"ms as {column.removesuffix(_MS)}"
