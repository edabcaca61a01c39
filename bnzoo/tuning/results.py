"""The results of a study: tables that are computed from its trials."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bnzoo.files import whole_file, write_text
from bnzoo.json_text import json_text
from bnzoo.metrics import metric_for
from bnzoo.training.class_weights import BALANCED
from bnzoo.tuning.confirmation import table, winner
from bnzoo.tuning.costs import COUNTS, Latencies, cost_text
from bnzoo.tuning.definition import outputs_of
from bnzoo.tuning.effective_rate import rate_times_decay
from bnzoo.tuning.folder import RESULTS, TABLE
from bnzoo.tuning.front import best_of_networks
from bnzoo.tuning.objective import Objective, loss_objective, score_cap
from bnzoo.tuning.planning import StudyPlan
from bnzoo.tuning.trial_result import OUTCOMES, TrialResult

_COUNT = "Int64"  # the type of Pandas for integers of which some may be missing
AXES = ("depth", "norm", "learning_rate")  # the axes of every study; a study may have more


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
        self.objective = objective or loss_objective(score_cap(*outputs_of(definition)), weighted)
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

    @cached_property
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
        with whole_file(folder / TABLE) as draft:
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
        write_text(folder / RESULTS, json_text(document))
