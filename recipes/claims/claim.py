"""The record of a claim: a sentence, a criterion, a measurement, and a verdict computed from the numbers alone."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from recipes.claims import NAMES

if TYPE_CHECKING:
    from recipes.claims.bench import Bench

HOLDS, CONDITION, NOT = "holds", "holds with a condition", "does not hold"


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim.

    Attributes:
        word: `holds`, `holds with a condition` or `does not hold`.
        sentence: The result with its numbers, and the condition if there is one.
        notes: Further results, one sentence each: counter-evidence and limits.
    """

    word: str
    sentence: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.word}. {self.sentence}"


@dataclass(frozen=True)
class Claim:
    """A claim about batch normalization, with the experiment that tests it.

    `judge`, `table` and `draw` read only the stored rows, so figures and verdicts can be made again without training.

    Attributes:
        statement: The claim, one sentence.
        evidence: The strongest published evidence for the claim, with its source.
        contradiction: The strongest published result against the claim, or against its usual explanation.
        setup: The experiment, one paragraph.
        criterion: The condition of each verdict, fixed before the run. It mentions later changes.
        measure: Function that takes a `Bench` and returns the raw rows.
        judge: Function that takes the rows and returns the `Verdict`.
        table: Function that takes the rows and returns the summary to print.
        draw: Function that takes the rows and returns the picture.
        caption: Description of the picture.
        references: Sequence of Markdown links.
        on_images: The experiment on the images of a file, one paragraph; empty if there is none. It says
            in what the criterion differs from that on the digits, if it does.
    """

    statement: str
    evidence: str
    contradiction: str
    setup: str
    criterion: str
    measure: Callable[["Bench"], pd.DataFrame]
    judge: Callable[[pd.DataFrame], Verdict]
    table: Callable[[pd.DataFrame], pd.DataFrame]
    draw: Callable[[pd.DataFrame], Figure]
    caption: str
    references: tuple[str, ...] = ()
    on_images: str = ""


def get(name: str) -> Claim:
    """Return the claim with this name, one of `recipes.claims.NAMES`."""
    return importlib.import_module(f"recipes.claims.{name}").CLAIM


def names_on_images() -> tuple[str, ...]:
    """Return the names of the claims that have an experiment on the images of a file."""
    return tuple(name for name in NAMES if get(name).on_images)
