"""What a claim leaves behind: its raw rows as CSV, and beside them how they were obtained."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import pandas as pd

from bnzoo.files import whole_file, write_text
from bnzoo.json_text import json_text
from bnzoo.machine import available_cores


class Size(StrEnum):
    """How much of a setup is run."""

    FULL = "full"
    QUICK = "quick"
    SMALLEST = "smallest"  # for tests: that it runs, nothing to conclude from


SEEDS = {Size.FULL: 5, Size.QUICK: 2, Size.SMALLEST: 1}


@dataclass(frozen=True)
class Origin:
    """How rows were obtained.

    Attributes:
        size: String, `full` or `quick`.
        seeds: Integer.
        seconds: Float, how long the run took that finished them: shorter where it went on, or another claim had run a
            study that it shares.
        processors: Integer, how many cores it could use.
        versions: The versions that decide about results.
    """

    size: str
    seeds: int
    seconds: float
    processors: int
    versions: dict[str, str]

    @classmethod
    def here(cls, size: str, seeds: int, seconds: float) -> "Origin":
        """Of rows that were obtained in this process."""
        from bnzoo.tuning.definition import versions  # which loads TensorFlow

        return cls(str(size), seeds, round(seconds, 1), available_cores(), versions())

    @property
    def command(self) -> str:
        """What obtains them again, for the name of a claim."""
        quick = " --quick" if self.size == "quick" else ""
        return f"python -m recipes.claims{quick} --seeds {self.seeds}"


class Store:
    """The rows of claims, in a folder.

    Args:
        folder: `pathlib.Path`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, name: str) -> bool:
        """Whether the rows of a claim are there, whole."""
        return self._rows(name).exists() and self._origin(name).exists()

    def rows(self, name: str) -> pd.DataFrame:
        """The rows of a claim."""
        return pd.read_csv(self._rows(name), keep_default_na=False, na_values=[""])

    def origin(self, name: str) -> Origin:
        """How they were obtained."""
        return Origin(**json.loads(self._origin(name).read_text(encoding="utf-8")))

    def save(self, name: str, rows: pd.DataFrame, origin: Origin) -> None:
        """Writes the rows of a claim, then how they were obtained: only both together count."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self._rows(name)) as draft:
            rows.to_csv(draft, index=False, float_format="%.6g")
        write_text(self._origin(name), json_text(asdict(origin)))

    def refuse_others(self, names: Sequence[str], size: str, seeds: int) -> None:
        """Refuses to go on with rows that were obtained in another way than is asked for.

        Raises:
            ValueError: If some were; the message says what to do.
        """
        for name in filter(self.has, names):
            there = self.origin(name)
            if (there.size, there.seeds) != (size, seeds):
                raise ValueError(
                    f"{self._rows(name)} is of a {there.size} run with {there.seeds} seeds, asked for is a {size} run "
                    f"with {seeds}: choose another --output, or delete that file to run it again"
                )

    def _rows(self, name: str) -> Path:
        return self.folder / f"{name}.csv"

    def _origin(self, name: str) -> Path:
        return self.folder / f"{name}.json"
