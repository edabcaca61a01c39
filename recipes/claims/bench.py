"""Where claims are tried: how much of a setup is run, on which data, and the studies that run it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from bnzoo.data import Dataset, Split, load
from bnzoo.tuning import Results, Space, Study, TrialResult
from bnzoo.tuning.tuner import MeasureFunction
from recipes.claims.measures import test_accuracy
from recipes.claims.store import Size

T = TypeVar("T")
# what of a trial is kept in the raw rows of a claim, beside its axes and what was measured
_KEPT = ("seed", "outcome", "score", "accuracy", "moving_accuracy")
_SMALLEST_EXAMPLES = 128


@dataclass(frozen=True)
class Bench:
    """Runs the studies of claims.

    Attributes:
        folder: Where studies are kept. Stopped and started again, they go on where they were; several claims that ask
            for the same study share it.
        size: A `Size`.
        seeds: Integer.
        workers: Integer, processes that share the trials.
        alone: Boolean, whether nobody else writes to the terminal: there is a progress bar.
    """

    folder: Path
    size: Size
    seeds: int
    workers: int = 1
    alone: bool = True

    def some(self, values: Sequence[T], quick: int, smallest: Sequence[T] | None = None) -> tuple[T, ...]:
        """All values of an axis; `quick` of them, evenly spaced from end to end, or at the smallest size the two ends.

        Args:
            values: In their order.
            quick: Integer, how many, at most all.
            smallest: Sequence, what is taken at the smallest size, where the ends would take long.
        """
        if smallest is not None and self.size is Size.SMALLEST:
            return tuple(smallest)
        many = self.points(len(values), min(quick, len(values)))
        places = np.linspace(0, len(values) - 1, many).round().astype(int) if many > 1 else [len(values) // 2]
        return tuple(values[place] for place in places)

    def points(self, full: int, quick: int) -> int:
        """How many values an axis has: of learning rates, which lie evenly between their ends."""
        return {Size.FULL: full, Size.QUICK: quick, Size.SMALLEST: min(2, quick)}[self.size]

    def epochs(self, full: int, quick: int | None = None) -> int:
        """How long to train; one epoch at the smallest size."""
        return {Size.FULL: full, Size.QUICK: quick or full, Size.SMALLEST: 1}[self.size]

    @cached_property
    def digits(self) -> Dataset:
        """Scikit-learn's 1,797 scanned digits, two thirds to train, a fifth to test; few at the smallest size."""
        whole = load("digits")
        if self.size is not Size.SMALLEST:
            return whole
        splits = (whole.train, whole.validation, whole.test)
        few = (Split(*(array[:_SMALLEST_EXAMPLES] for array in split)) for split in splits)
        return Dataset("digits", whole.labels, *few)

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
        """The results of a space's grid, run now or before.

        Args:
            name: String, the study's folder.
            space: A `Space`.
            data: A `Dataset`.
            epochs: Integer.
            seeds: Integer, the bench's by default.
            measure: As `bnzoo.tuning.Study`'s.
        """
        study = Study(space, data, self.folder / name, epochs=epochs, seeds=seeds or self.seeds, measure=measure)
        if not study.finished:
            study.run(None if self.alone else lambda *event: None, workers=self.workers)
            if not self.alone:
                print(f"  {name}: {len(study.results)} trials have run", flush=True)
        return study.results


def rows(
    results: Results, of: Mapping[str, Callable[[TrialResult], float]] = MappingProxyType({}), **more: Any
) -> pd.DataFrame:
    """A row a trial: its axes, the seed, the outcome, scores and what was measured.

    Args:
        results: `Results` of a study.
        of: Further columns, a function of the trial each.
        **more: Further columns, the same in each row.
    """
    frame = results.frame()
    made = {name: [column(trial) for trial in results.trials] for name, column in of.items()}
    return frame[[*results.axes, *_KEPT, *results.measured]].assign(**made, **more)
