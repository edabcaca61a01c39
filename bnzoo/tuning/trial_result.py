"""The result of a trial, and its form as JSON."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

from bnzoo.json_text import json_number, json_ready

OUTCOMES = ("ok", "stalled", "diverged", "pruned", "failed")


@dataclass(frozen=True)
class TrialResult:
    """The result of one trial.

    Attributes:
        trial: Integer, the index of the trial in the study.
        values: Dict, the value of each axis: `depth`, `norm` (its label), `learning_rate` and further hyperparameters.
        seed: Integer, the seed.
        outcome: String: `ok`, `stalled`, `diverged`, `pruned` (stopped early, as others were better), or `failed` (it
            raised an error).
        reason: String, the reason for another outcome than `ok`, or for an end at the deadline; for a failed trial
            the error.
        score: Float, the objective on the validation data with recalibrated statistics, at most `Results.cap`. Lower
            is better. By default it is the loss. For a metric of which higher is better, it is 1 minus the metric. A
            pruned trial has its last score.
        loss: Float, the validation loss with recalibrated statistics: the cross-entropy, or for a regression the
            squared error divided by the variance of the target. For several labels or targets it is their mean.
        accuracy: Float, the validation accuracy with recalibrated statistics; the mean average precision for several
            labels an example, and R² for a regression.
        moving_loss: Float, the loss with the moving statistics.
        moving_accuracy: Float, the accuracy with the moving statistics.
        compile_seconds: Float, the time to build, trace and compile; near 0 for a compiled model that was reused.
        train_seconds: Float, the time to train, recalibrate and evaluate.
        started: Float, the start in seconds since 1970; NaN if it is not known.
        worker: String, the worker that ran the trial, `host:process`.
        parameters: Integer, the parameters of the network, moving statistics included; `None` if they are not known, as
            in a failed trial and in a study of an earlier version of bnzoo.
        multiplications: Integer, the multiply-accumulates of the convolutions, dense layers and attention of the
            network for one example; `None` if they are not known.
        history: Dict, the learning curves, one entry per epoch.
        measured: Dict, the values of the study's `measure` function.
        traceback: String, the traceback of a failed trial.
        versions: Dict, the versions of Python and of the packages.
    """

    trial: int
    values: dict[str, Any]
    seed: int
    outcome: str
    reason: str
    score: float
    loss: float = math.nan
    accuracy: float = math.nan
    moving_loss: float = math.nan
    moving_accuracy: float = math.nan
    compile_seconds: float = 0.0
    train_seconds: float = 0.0
    started: float = math.nan
    worker: str = ""
    parameters: int | None = None
    multiplications: int | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)
    traceback: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """The depth of the network."""
        return self.values["depth"]

    @property
    def norm(self) -> str:
        """The label of the norm."""
        return self.values["norm"]

    @property
    def learning_rate(self) -> float:
        """The learning rate."""
        return self.values["learning_rate"]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON. NaN and infinity, which JSON lacks, become strings."""
        return json_ready(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrialResult":
        """Return the result of a dict from `to_dict`.

        Raises:
            ValueError: If a field is missing, unknown or of the wrong type.
        """
        if not isinstance(values, dict):
            raise ValueError("it must be an object")
        known = {f.name: _field(f.name, f.type, values[f.name]) for f in fields(cls) if f.name in values}
        missing = [f.name for f in fields(cls) if f.name not in known and f.default is f.default_factory is MISSING]
        foreign = [name for name in values if name not in known]
        if missing or foreign:
            raise ValueError(f"it has missing or unknown fields: {', '.join(map(repr, missing + foreign[:3]))}")
        if known["outcome"] not in OUTCOMES:
            raise ValueError(f"'outcome' must be one of {', '.join(OUTCOMES)}")
        return cls(**known)


def _field(name: str, kind: Any, value: Any) -> Any:
    """Return the value of a field of a `TrialResult` from JSON. Raise `ValueError` if its type is wrong."""
    try:
        if kind is float:
            return json_number(value)
        if name == "history":
            return {key: [json_number(entry) for entry in curve] for key, curve in value.items()}
        if name == "measured":
            return {key: json_number(entry) for key, entry in value.items()}
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"{name!r} must be numbers") from error
    entries = value.values() if isinstance(value, dict) else ()
    if not isinstance(value, dict if name in ("values", "versions") else kind) or isinstance(value, bool):
        raise ValueError(f"{name!r} has the wrong type")
    if not all(isinstance(entry, str | int | float) for entry in entries):
        raise ValueError(f"the values of {name!r} must be numbers and strings")
    if name == "values" and not all(entry.isprintable() for entry in entries if isinstance(entry, str)):
        raise ValueError("'values' must have printable characters only")  # they are written to terminals
    return value
