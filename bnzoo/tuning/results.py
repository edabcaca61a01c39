"""The results of a study: its trials, and tables that are computed from them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bnzoo.files import whole_file, write_text
from bnzoo.json_text import json_ready, json_text
from bnzoo.metrics import metric_for
from bnzoo.training.class_weights import BALANCED
from bnzoo.tuning.confirmation import table, winner
from bnzoo.tuning.costs import COUNTS, Latencies, cost_text
from bnzoo.tuning.definition import outputs_of
from bnzoo.tuning.effective_rate import rate_times_decay
from bnzoo.tuning.front import best_of_networks
from bnzoo.tuning.objective import Objective, loss_objective
from bnzoo.tuning.planning import StudyPlan

OUTCOMES = ("ok", "stalled", "diverged", "pruned", "failed")
_COUNT = "Int64"  # the type of Pandas for integers of which some may be missing
AXES = ("depth", "norm", "learning_rate")  # the axes of every study; a study may have more


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
            return _float(value)
        if name == "history":
            return {key: [_float(entry) for entry in curve] for key, curve in value.items()}
        if name == "measured":
            return {key: _float(entry) for key, entry in value.items()}
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


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    return float(value)


class Results:
    """The results of a study.

    Args:
        trials: Sequence of `TrialResult`s.
        definition: Dict, the definition of the study: space, data, seeds, epochs, sampler, pruner.
        not_tried: Sequence of dicts, the values and the seed of each requested trial without a result.
        objective: The `Objective`. By default the loss.
        baseline: Float, the metric on the validation data of guessing the most frequent class, the shares of the
            labels, or the mean of the targets; `None` if it is not known.
        values: Dict, the values of each hyperparameter of the space but the learning rate; empty if they are not known.
        confirmation: The `Results` of the best configurations with new seeds; `None` if they were not confirmed.
        examples: Integer, the validation examples of a trial; `None` if they are not known.
        latencies: The `Latencies` of the networks; `None` if none has been measured.
    """

    def __init__(
        self,
        trials: Sequence[TrialResult],
        definition: dict[str, Any],
        not_tried: Sequence[dict[str, Any]] = (),
        objective: Objective | None = None,
        baseline: float | None = None,
        values: Mapping[str, Sequence[Any]] | None = None,
        confirmation: "Results | None" = None,
        examples: int | None = None,
        latencies: Latencies | None = None,
    ) -> None:
        self.trials: list[TrialResult] = sorted(trials, key=lambda trial: trial.trial)
        self.definition = definition
        self.not_tried = list(not_tried)
        weighted = definition.get("class_weight") == BALANCED
        self.objective = objective or loss_objective(*outputs_of(definition), weighted)
        self.baseline = baseline
        self.values = dict(values or {})
        self.confirmation, self.examples = confirmation, examples
        self.latencies = latencies or Latencies()

    def __len__(self) -> int:
        return len(self.trials)

    @property
    def every(self) -> list[TrialResult]:
        """The trials of the search and of the confirmation."""
        return [*self.trials, *(self.confirmation.trials if self.confirmation is not None else ())]

    @property
    def size(self) -> int:
        """The number of trials, including those that were not tried."""
        return len(self.trials) + len(self.not_tried)

    @property
    def cap(self) -> float:
        """The upper limit of scores, which a failed trial has."""
        return self.objective.cap

    @property
    def of_loss(self) -> bool:
        """`True` if the objective is the loss."""
        return self.objective.metric is None

    @property
    def plan(self) -> str:
        """The plan for the budget in words; empty if there was none."""
        plan = self.definition.get("plan")
        return "" if plan is None else str(StudyPlan.from_config(plan))

    @property
    def metric(self) -> str:
        """The name of the metric besides the score: `accuracy`, `mean_average_precision` for labels, or `r2`."""
        task, _ = outputs_of(self.definition)
        return metric_for(task).name

    @property
    def counts(self) -> dict[str, int]:
        """The number of trials with each outcome."""
        return {outcome: sum(trial.outcome == outcome for trial in self.trials) for outcome in OUTCOMES}

    @cached_property
    def axes(self) -> dict[str, list[Any]]:
        """The values of each axis that were tried: numbers in ascending order, strings in the order of the study."""
        names = dict.fromkeys(name for trial in self.trials for name in trial.values) or dict.fromkeys(AXES)
        axes = {name: list(dict.fromkeys(t.values[name] for t in self.trials if name in t.values)) for name in names}
        for values in axes.values():
            if all(isinstance(value, int | float) for value in values):
                values.sort()
        return axes

    @property
    def never_tried(self) -> dict[str, list[Any]]:
        """The values of each hyperparameter that no trial has, by its name."""
        missing = {
            name: [value for value in values if value not in self.axes.get(name, ())]
            for name, values in self.values.items()
        }
        return {name: values for name, values in missing.items() if values}

    @cached_property
    def measured(self) -> list[str]:
        """The names of the values of the study's `measure` function."""
        return list(dict.fromkeys(name for trial in self.trials for name in trial.measured))

    @property
    def costs(self) -> list[str]:
        """The columns with the known costs: `parameters`, `multiplications`, and milliseconds as `saved_model_ms`."""
        counted = [name for name in COUNTS if any(getattr(trial, name) is not None for trial in self.trials)]
        return [*counted, *self.latencies.columns]

    @staticmethod
    def cost_text(column: str, value: Any) -> str:
        """Return the value of a column of `costs` as text, such as `272 k` or `1.31`; empty if it is missing."""
        return cost_text(column, value)

    @staticmethod
    def text(value: Any) -> str:
        """Return the value of an axis as text."""
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    def words(self, values: Mapping[str, Any] | pd.Series) -> str:
        """Return the values of a configuration as text, with the names of the axes."""
        return ", ".join(f"{axis.replace('_', ' ')} {self.text(values[axis])}" for axis in self.axes)

    def frame(self) -> pd.DataFrame:
        """Return a table with one row per trial, without learning curves.

        If weight decay is not zero, it has the column `rate_times_decay`.
        """
        skipped = ("trial", "values", "seed", "history", "measured", "traceback", "versions")
        names = [f.name for f in fields(TrialResult) if f.name not in skipped]
        rows = [
            [
                t.trial,
                *(t.values.get(axis) for axis in self.axes),
                t.seed,
                *(getattr(t, name) for name in names),
                *self.latencies.of(t.values),
                *(t.measured.get(name, math.nan) for name in self.measured),
            ]
            for t in self.trials
        ]
        columns = [*(name.replace("accuracy", self.metric) for name in names), *self.latencies.columns]
        table = pd.DataFrame(rows, columns=["trial", *self.axes, "seed", *columns, *self.measured])
        table = table.astype(dict.fromkeys(COUNTS, _COUNT))
        products = [self.rate_times_decay(trial) for trial in self.trials]
        return table.assign(rate_times_decay=products) if np.nansum(products) else table

    def rate_times_decay(self, trial: TrialResult) -> float:
        """Return the learning rate times the weight decay, on which the steps of normalized weights depend.

        It is NaN for a trial without a norm. See [van Laarhoven 2017](https://arxiv.org/abs/1706.05350).
        """
        return rate_times_decay(trial.values, self.definition["space"])

    @cached_property
    def configurations(self) -> pd.DataFrame:
        """A table with one row per configuration that has run with all seeds, best first.

        `score`, `accuracy` (or `r2`) and `moving_score` are means over the seeds. `moving_score` is the score with the
        moving statistics, and the `score` itself if the objective is not the loss. `spread` is the difference between
        the highest and the lowest score, `deviation` the standard deviation, NaN for one seed. `ok` is `True` if the
        outcome of every seed is `ok`. The columns `costs` have the cost of the network.
        """
        rows = self.frame().assign(ok=lambda f: f["outcome"] == "ok")
        rows["moving_score"] = rows["moving_loss"].replace(np.inf, np.nan).fillna(self.cap).clip(upper=self.cap)
        if not self.of_loss:
            rows["moving_score"] = rows["score"]
        groups = rows.groupby(list(self.axes), as_index=False, sort=False, dropna=False)
        aggregates: dict[str, Any] = {
            "score": ("score", "mean"),
            "lowest": ("score", "min"),
            "highest": ("score", "max"),
            "deviation": ("score", "std"),
            self.metric: (self.metric, "mean"),
            "moving_score": ("moving_score", "mean"),
            "ok": ("ok", "all"),
            "seeds": ("seed", "nunique"),
            **{name: (name, "first") for name in self.costs},
        }
        table = groups.agg(**aggregates)
        table["spread"] = table.pop("highest") - table.pop("lowest")
        return table[table["seeds"] == self.definition["seeds"]].sort_values("score", ignore_index=True, kind="stable")

    @property
    def confirmed(self) -> pd.DataFrame:
        """A table with one row per confirmed configuration, best first: its figures in the search and with new seeds.

        `low` and `high` are the 95 % interval of the confirmed metric, by Student's t distribution of the seeds. `tie`
        is `True` for the best configuration and those that cannot be told apart from it.
        """
        return table(self)

    @property
    def usable(self) -> pd.DataFrame:
        """The configurations with the outcome `ok` for every seed, best first."""
        return self.configurations[self.configurations["ok"]].reset_index(drop=True)

    @property
    def best(self) -> TrialResult | None:
        """The best seed of the `winner`, of its confirmation if it was confirmed; `None` if there is no winner."""
        if self.winner is None:
            return None
        found = self.confirmation
        source = self if found is None or found.usable.empty else found
        return min(source.of(self.winner), key=lambda trial: trial.score)

    @cached_property
    def winner(self) -> pd.Series | None:
        """The row of `configurations` with the best mean score; `None` if no configuration is usable.

        If the best configurations were confirmed, it is the one with the best score in the confirmation.
        """
        return winner(self)

    @property
    def candidate(self) -> TrialResult | None:
        """The trial from which a longer training starts: the best one; `None` if there is nothing to start from.

        If no configuration is usable, it is the one with the best score of those that ended early or had not learned
        yet, as all trials of a short search may be too short.
        """
        early = [trial for trial in self.trials if trial.outcome in ("pruned", "stalled")]
        return self.best or min(early, key=lambda trial: trial.score, default=None)

    def of(self, values: Mapping[str, Any] | pd.Series) -> list[TrialResult]:
        """Return the trials of a configuration, one per seed.

        Args:
            values: The value of each axis, as in `TrialResult.values` or a row of `configurations`. A missing axis may
                have any value.
        """
        wanted = {axis: values[axis] for axis in self.axes if axis in values}
        return [t for t in self.trials if all(t.values.get(axis) == value for axis, value in wanted.items())]

    def table(self) -> pd.DataFrame:
        """Return the best and the largest usable learning rate of each combination of the other axes.

        A learning rate is usable if the outcome of every seed is `ok`. `accuracy` (or `r2`) and the score, by
        default `loss`, are those of the best learning rate on the validation data, with recalibrated statistics, means
        over the seeds. The columns `costs` have the cost of the network.
        """
        rows = []
        others = [axis for axis in self.axes if axis != "learning_rate"]
        for key, group in self.configurations.groupby(others, sort=False, dropna=False):
            usable = group[group["ok"]]
            best = usable.iloc[0] if len(usable) else None
            rows.append(
                {
                    **dict(zip(others, key, strict=True)),
                    "best learning rate": None if best is None else best["learning_rate"],
                    "largest usable": usable["learning_rate"].max() if len(usable) else None,
                    self.metric: math.nan if best is None else best[self.metric],
                    self.objective.label: math.nan if best is None else best["score"],
                    "usable": f"{len(usable)}/{len(group)}",
                    **group.iloc[0][self.costs],
                }
            )
        order = {axis: {value: number for number, value in enumerate(self.axes[axis])} for axis in others}
        rows.sort(key=lambda row: [order[axis].get(row[axis], -1) for axis in others])
        columns = [*others, "best learning rate", "largest usable", self.metric, self.objective.label, "usable"]
        table = pd.DataFrame(rows, columns=[*columns, *self.costs])
        return table.astype({name: _COUNT for name in COUNTS if name in table})

    def networks(self, cost: str) -> pd.DataFrame:
        """Return the best usable configuration of each combination of the axes without the learning rate, best first.

        Args:
            cost: String, one of `costs`. Configurations whose cost is not known are left out.

        Returns:
            A table with the axes, the cost, the score and the metric, and the lowest and the highest of a seed.
        """
        return best_of_networks(self, cost)

    def save(self, folder: Path, command: str) -> None:
        """Write `results.csv` and `results.json` into a folder.

        Args:
            folder: `pathlib.Path`.
            command: String, the command line that repeats the study.
        """
        with whole_file(folder / "results.csv") as draft:
            self.frame().to_csv(draft, index=False)
        best = self.best
        document = {
            "command": command,
            "study": self.definition,
            "best": None if best is None else best.trial,
            "trials": [asdict(trial) for trial in self.trials],
            "not_tried": self.not_tried,
            **({"latency": self.latencies.to_dict()} if self.latencies.columns else {}),
        }
        if self.confirmation is not None:
            document["confirmation"] = {
                "configurations": self.confirmed.to_dict("records"),
                "trials": [asdict(trial) for trial in self.confirmation.trials],
            }
        write_text(folder / "results.json", json_text(document))
