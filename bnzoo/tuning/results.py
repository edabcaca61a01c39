"""What a study found: a row a trial, and what follows from the rows."""

import json
import math
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bnzoo.files import whole_file, write_text

OUTCOMES = ("ok", "stalled", "diverged", "failed")


def score_cap(classes: int) -> float:
    """What a score is at most, in nats: a network that says nothing has half of it."""
    return 2 * math.log(classes)


@dataclass(frozen=True)
class TrialResult:
    """One trial.

    Attributes:
        trial: Integer, its place in the grid.
        depth: Integer.
        norm: String, the label of the norm.
        learning_rate: Float.
        seed: Integer.
        outcome: `ok`, `stalled`, `diverged`, or `failed` (it raised).
        reason: Why it is not `ok`; of a failed trial the error.
        score: Validation cross-entropy with recalibrated statistics, capped at `2 ln(classes)`; the lower the better.
        loss: The same, not capped.
        accuracy: Validation accuracy with recalibrated statistics.
        moving_loss: Validation cross-entropy with the moving statistics.
        moving_accuracy: Validation accuracy with the moving statistics.
        compile_seconds: Time to build, trace and compile; 0 where a compiled model was reused.
        train_seconds: Time to train, recalibrate and evaluate.
        history: The learning curve, an entry an epoch.
        traceback: String, of a failed trial.
        versions: The versions of what it ran on.
    """

    trial: int
    depth: int
    norm: str
    learning_rate: float
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
    history: dict[str, list[float]] = field(default_factory=dict)
    traceback: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes the trial as JSON."""
        write_text(path, json.dumps(_plain(asdict(self)), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "TrialResult":
        """Reads a trial."""
        values = json.loads(path.read_text(encoding="utf-8"))
        for name in (f.name for f in fields(cls) if f.type is float):
            values[name] = float(values[name])
        values["history"] = {key: [float(v) for v in curve] for key, curve in values["history"].items()}
        return cls(**values)


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become the strings that `float` reads."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


class Results:
    """The trials of a study, and what follows from them.

    Args:
        trials: `TrialResult`s.
        definition: Dict, what the study is: space, data, seeds, epochs, batch size.
    """

    def __init__(self, trials: list[TrialResult], definition: dict[str, Any]) -> None:
        self.trials = sorted(trials, key=lambda trial: trial.trial)
        self.definition = definition

    def __len__(self) -> int:
        return len(self.trials)

    @property
    def size(self) -> int:
        """The number of trials of the whole grid."""
        space = self.definition["space"]
        return len(space["depths"]) * len(space["norms"]) * len(space["learning_rates"]) * self.definition["seeds"]

    @property
    def cap(self) -> float:
        """The highest score that there is: that of a trial that was lost."""
        return score_cap(self.definition["data"]["classes"])

    @property
    def counts(self) -> dict[str, int]:
        """How many trials had each outcome."""
        return {outcome: sum(trial.outcome == outcome for trial in self.trials) for outcome in OUTCOMES}

    def frame(self) -> pd.DataFrame:
        """A row a trial, without learning curves."""
        columns = [f.name for f in fields(TrialResult) if f.name not in ("history", "traceback", "versions")]
        return pd.DataFrame([[getattr(t, c) for c in columns] for t in self.trials], columns=columns)

    @cached_property
    def configurations(self) -> pd.DataFrame:
        """A row for each depth, norm and learning rate that has all its seeds, best first.

        `score`, `accuracy` and `moving_score` are means over seeds, `spread` is the difference between the highest and
        the lowest score, `ok` whether every seed was.
        """
        rows = self.frame().assign(ok=lambda f: f["outcome"] == "ok")
        rows["moving_score"] = rows["moving_loss"].replace(np.inf, np.nan).fillna(self.cap).clip(upper=self.cap)
        groups = rows.groupby(["depth", "norm", "learning_rate"], as_index=False, sort=False)
        table = groups.agg(
            score=("score", "mean"),
            lowest=("score", "min"),
            highest=("score", "max"),
            accuracy=("accuracy", "mean"),
            moving_score=("moving_score", "mean"),
            ok=("ok", "all"),
            seeds=("seed", "size"),
        )
        table["spread"] = table.pop("highest") - table.pop("lowest")
        return table[table["seeds"] == self.definition["seeds"]].sort_values("score", ignore_index=True, kind="stable")

    @property
    def usable(self) -> pd.DataFrame:
        """The configurations of which every seed was `ok`, best first."""
        return self.configurations[self.configurations["ok"]].reset_index(drop=True)

    @property
    def best(self) -> TrialResult | None:
        """The best seed of the configuration with the best mean score; `None` while no configuration is usable."""
        if self.usable.empty:
            return None
        row = self.usable.iloc[0]
        return min(self.of(row["depth"], row["norm"], row["learning_rate"]), key=lambda trial: trial.score)

    def of(self, depth: int, norm: str, learning_rate: float) -> list[TrialResult]:
        """The trials of a configuration, a seed each."""
        key = (depth, norm, learning_rate)
        return [trial for trial in self.trials if (trial.depth, trial.norm, trial.learning_rate) == key]

    def table(self) -> pd.DataFrame:
        """A row for each depth and norm: the best and the largest usable learning rate, and what the best gives.

        A learning rate is usable if every seed was `ok` with it. `accuracy` and `loss` are on the validation data, with
        recalibrated statistics, means over seeds.
        """
        rows = []
        configurations = self.configurations
        for (depth, norm), group in configurations.groupby(["depth", "norm"], sort=False):
            usable = group[group["ok"]]
            best = usable.iloc[0] if len(usable) else None
            rows.append(
                {
                    "depth": depth,
                    "norm": norm,
                    "best learning rate": None if best is None else best["learning_rate"],
                    "largest usable": usable["learning_rate"].max() if len(usable) else None,
                    "accuracy": math.nan if best is None else best["accuracy"],
                    "loss": math.nan if best is None else best["score"],
                    "usable": f"{len(usable)}/{len(group)}",
                }
            )
        order = {norm: i for i, norm in enumerate(dict.fromkeys(trial.norm for trial in self.trials))}
        rows.sort(key=lambda row: (row["depth"], order[row["norm"]]))
        columns = ["depth", "norm", "best learning rate", "largest usable", "accuracy", "loss", "usable"]
        return pd.DataFrame(rows, columns=columns)

    def save(self, folder: Path, command: str) -> None:
        """Writes `results.csv` and `results.json` into a folder."""
        with whole_file(folder / "results.csv") as draft:
            self.frame().to_csv(draft, index=False)
        best = self.best
        document = {
            "command": command,
            "study": self.definition,
            "best": None if best is None else best.trial,
            "trials": [asdict(trial) for trial in self.trials],
        }
        write_text(folder / "results.json", json.dumps(_plain(document), indent=1) + "\n")
