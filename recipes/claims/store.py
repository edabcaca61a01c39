"""The storage of a claim: its raw rows as CSV, and a JSON file with their origin."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pandas as pd

from bnzoo.errors import advised
from bnzoo.files import whole_file, write_text
from bnzoo.json_text import json_text
from bnzoo.machine import available_cores
from bnzoo.reading import read_json, reading
from recipes.claims import NAMES


class Size(StrEnum):
    """The size of a run."""

    FULL = "full"
    QUICK = "quick"
    SMALLEST = "smallest"  # for tests only: its verdicts mean nothing


STUDIES = "studies"  # the folder of the studies, in that of the rows
# the fields of an origin that are empty for the digits
_OF_A_FILE = ("data", "examples", "fingerprint")
_REMEDY = "Delete it to run the claim again."
SEEDS = {Size.FULL: 5, Size.QUICK: 2, Size.SMALLEST: 1}
SEEDS_ON_IMAGES = SEEDS | {Size.FULL: 3}


@dataclass(frozen=True)
class Origin:
    """The origin of rows.

    Attributes:
        size: String, `full` or `quick`.
        seeds: Integer.
        seconds: Float, the duration of the last run. It is shorter if the run was resumed, or if another claim had
            already run a shared study.
        processors: Integer, the number of available cores.
        versions: Dict, the versions of Python and of the packages that influence results.
        data: String, the name of the file of images; empty for scikit-learn's digits.
        examples: List of integers, the numbers of images for training, validation and testing; empty for the digits.
        fingerprint: String, the fingerprint of these images; empty for the digits.
    """

    size: str
    seeds: int
    seconds: float
    processors: int
    versions: dict[str, str]
    data: str = ""
    examples: list[int] = field(default_factory=list)
    fingerprint: str = ""

    @classmethod
    def here(cls, size: str, seeds: int, seconds: float) -> "Origin":
        """Return the origin of rows that were measured in this process."""
        from bnzoo.tuning.definition import versions  # here, because it loads TensorFlow

        return cls(str(size), seeds, round(seconds, 1), available_cores(), versions())

    @classmethod
    def of(cls, content: Any) -> "Origin":
        """Return the origin with these attributes. Raise `ValueError` if there are others."""
        try:
            return cls(**content)
        except TypeError as error:
            raise ValueError(f"it must be an object with the fields {', '.join(cls.__dataclass_fields__)}") from error

    @property
    def command(self) -> str:
        """The command that measures the rows again, without the name of the claim."""
        data = f" --data {shlex.quote(self.data)}" if self.data else ""
        quick = " --quick" if self.size == "quick" else ""
        return f"python -m recipes.claims{data}{quick} --seeds {self.seeds}"

    @property
    def title(self) -> str:
        """The name of the data in a heading."""
        return self.data or "digits"

    @property
    def words(self) -> str:
        """The data, in words."""
        return f"{sum(self.examples):,} images of `{self.data}`" if self.data else "scikit-learn's digits"


class Store:
    """A folder with the rows of claims on one data set.

    The folder itself has the rows on the digits. Each other data set has a subfolder with the name of its file, without
    its suffix.

    Args:
        folder: `pathlib.Path`.
        data: String, the name of the subfolder; empty for the digits.
    """

    def __init__(self, folder: Path, data: str = "") -> None:
        self.folder, self.data = folder / data, data

    def path(self, name: str) -> str:
        """Return the path of the files of a claim without their suffixes, in the folder of the digits."""
        return f"{self.data}/{name}" if self.data else name

    def others(self) -> list["Store"]:
        """Return the stores in the subfolders, which may have no rows."""
        return [Store(self.folder, path.name) for path in sorted(self.folder.glob("*/"))]

    def has(self, name: str) -> bool:
        """Return `True` if the rows of a claim are stored completely."""
        return self._rows(name).exists() and self._origin(name).exists()

    def rows(self, name: str) -> pd.DataFrame:
        """Return the rows of a claim."""
        with advised(_REMEDY), reading(self._rows(name), "the rows of a claim") as file:
            rows = pd.read_csv(file, keep_default_na=False, na_values=[""])
            if rows.empty:
                raise ValueError("it has no rows")
        return rows

    def origin(self, name: str) -> Origin:
        """Return the origin of the rows of a claim."""
        with advised(_REMEDY):
            return read_json(self._origin(name), "the origin of rows", Origin.of)

    def save(self, name: str, rows: pd.DataFrame, origin: Origin) -> None:
        """Write the rows of a claim, then their origin. Rows without an origin count as missing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self._rows(name)) as draft:
            rows.to_csv(draft, index=False, float_format="%.6g")
        stated = {name: value for name, value in asdict(origin).items() if value or name not in _OF_A_FILE}
        write_text(self._origin(name), json_text(stated))

    def refuse_others(self, names: Sequence[str], size: str, seeds: int, fingerprint: str = "") -> None:
        """Check that stored rows are of the requested size and number of seeds, and all rows of the same images.

        Args:
            names: Sequence of strings, the claims whose size and number of seeds are checked.
            size: String.
            seeds: Integer.
            fingerprint: String, the fingerprint of the images; empty for the digits.

        Raises:
            ValueError: If stored rows differ.
        """
        for name in filter(self.has, NAMES):
            there = self.origin(name)
            if name in names and (there.size, there.seeds) != (size, seeds):
                raise ValueError(
                    f"{self._rows(name)} is from a {there.size} run with {there.seeds} seeds, but this is a {size} run "
                    f"with {seeds}. Choose another --output, or delete the file to run the claim again."
                )
            if there.fingerprint != fingerprint:
                raise ValueError(
                    f"{self._rows(name)} has rows on other images: from another file of the name {there.data}, or from "
                    "a run of another size. Choose another --output, or another name for the file."
                )

    def _rows(self, name: str) -> Path:
        return self.folder / f"{name}.csv"

    def _origin(self, name: str) -> Path:
        return self.folder / f"{name}.json"
