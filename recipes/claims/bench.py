"""The bench of the claims: the size of a run, its data, and its studies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from bnzoo.data import Dataset
from bnzoo.tuning import Results, Space, Study, TrialResult
from bnzoo.tuning.tuner import MeasureFunction
from recipes.claims import FailedTrialsError, data_sets
from recipes.claims.measures import test_accuracy
from recipes.claims.store import Origin, Size

T = TypeVar("T")
# the columns of a trial in the raw rows of a claim, in addition to its axes and measurements
_KEPT = ("seed", "outcome", "score", "accuracy", "moving_accuracy")


@dataclass(frozen=True)
class Bench:
    """A runner for the studies of claims.

    Attributes:
        folder: Folder of the studies; those on images are in a subfolder with the whole name of the file, which no
            study has. An interrupted study resumes. Claims that use the same study share it.
        size: A `Size`.
        seeds: Integer.
        workers: Integer, the number of processes that share the trials.
        alone: Boolean, whether to show a progress bar. `False` if other processes print to the same terminal.
        file: `pathlib.Path`, an `.npz` file of images; `None` for scikit-learn's digits.
    """

    folder: Path
    size: Size
    seeds: int
    workers: int = 1
    alone: bool = True
    file: Path | None = None

    def on(self, *, digits: T, images: T) -> T:
        """Return the value for the data of the run: the digits, or the images of a file."""
        return digits if self.file is None else images

    def some(self, values: Sequence[T], quick: int, smallest: Sequence[T] | None = None) -> tuple[T, ...]:
        """Return the values of an axis for the size of the run.

        A full run takes all values. A quick run takes `quick` values, evenly spaced. The smallest size takes both ends.

        Args:
            values: Sequence, in order.
            quick: Integer, the number of values in a quick run.
            smallest: Sequence, the values at the smallest size, if the ends would take too long.
        """
        if smallest is not None and self.size is Size.SMALLEST:
            return tuple(smallest)
        many = self.points(len(values), min(quick, len(values)))
        positions = np.linspace(0, len(values) - 1, many).round().astype(int) if many > 1 else [len(values) // 2]
        return tuple(values[position] for position in positions)

    def points(self, full: int, quick: int) -> int:
        """Return the number of learning rates for the size of the run."""
        return {Size.FULL: full, Size.QUICK: quick, Size.SMALLEST: min(2, quick)}[self.size]

    def epochs(self, full: int, quick: int | None = None) -> int:
        """Return the number of epochs for the size of the run: one at the smallest size."""
        return {Size.FULL: full, Size.QUICK: quick or full, Size.SMALLEST: 1}[self.size]

    @cached_property
    def data(self) -> Dataset:
        """The digits, or images of the file; few at the smallest size."""
        return data_sets.digits(self.size) if self.file is None else data_sets.images(self.file, self.size)

    @property
    def subfolder(self) -> str:
        """The folder of the rows within that of the digits: the name of the file without its suffix."""
        return "" if self.file is None else self.file.stem

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the images, or nothing for the digits."""
        return "" if self.file is None else self.data.fingerprint

    def origin(self, seconds: float) -> Origin:
        """Return the origin of rows that were measured with this bench."""
        made = Origin.here(self.size, self.seeds, seconds)
        if self.file is None:
            return made
        parts = (self.data.train, self.data.validation, self.data.test)
        examples = [len(part.y) for part in parts]
        return replace(made, data=self.file.name, examples=examples, fingerprint=self.fingerprint)

    def study(
        self,
        name: str,
        space: Space,
        data: Dataset,
        *,
        epochs: int,
        seeds: int | None = None,
        measure: MeasureFunction = test_accuracy,
    ) -> Results:
        """Return the results of the grid of a space, and run its study first if it is not finished.

        Args:
            name: String, the folder of the study.
            space: A `Space`.
            data: A `Dataset`.
            epochs: Integer.
            seeds: Integer, by default the seeds of the bench.
            measure: The argument of `bnzoo.tuning.Study`.

        Raises:
            FailedTrialsError: If a trial failed. A verdict would be computed without it.
        """
        folder = self.folder / ("" if self.file is None else self.file.name) / name
        study = Study(space, data, folder, epochs=epochs, seeds=seeds or self.seeds, measure=measure)
        if not study.finished:
            study.run(None if self.alone else lambda *event: None, workers=self.workers)
            if not self.alone:
                print(f"  {name}: finished {len(study.results)} trials", flush=True)
        if failed := [trial for trial in study.results.trials if trial.outcome == "failed"]:
            raise FailedTrialsError(
                f"{folder}: {len(failed)} of {len(study.results)} trials failed, the first with {failed[0].reason!r}. "
                "No verdict is computed without them. Delete the folder, and run the same command again."
            )
        return study.results


def rows(
    results: Results, of: Mapping[str, Callable[[TrialResult], float]] = MappingProxyType({}), **more: Any
) -> pd.DataFrame:
    """Return a data frame with a row per trial: axes, seed, outcome, scores and measurements.

    Args:
        results: `Results` of a study.
        of: Further columns, each computed by a function of the trial.
        **more: Further columns, with the same value in each row.
    """
    frame = results.frame()
    made = {name: [column(trial) for trial in results.trials] for name, column in of.items()}
    return frame[[*results.axes, *_KEPT, *results.measured]].assign(**made, **more)
