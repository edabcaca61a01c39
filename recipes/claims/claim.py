"""What a claim is: a sentence, a criterion, a way to measure, and a verdict that follows from the numbers alone."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from recipes.claims.bench import Bench

HOLDS, CONDITION, NOT = "holds", "holds with a condition", "does not hold"


@dataclass(frozen=True)
class Verdict:
    """What the numbers say of a claim.

    Attributes:
        word: `holds`, `holds with a condition` or `does not hold`.
        sentence: What was found, with the numbers; the condition, if there is one.
        notes: Further findings, a sentence each: what contradicts the claim, what limits the result.
    """

    word: str
    sentence: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.word}. {self.sentence}"


@dataclass(frozen=True)
class Claim:
    """A claim about batch normalization, and how it is tried.

    `judge`, `table` and `draw` see nothing but the rows that were stored: figures and verdicts are made again without
    training.

    Attributes:
        statement: What is claimed, one sentence.
        evidence: The strongest published evidence for it, with its source.
        contradiction: The strongest published result against it, or against how it is understood.
        setup: What is trained here, one paragraph.
        criterion: What each verdict asks for, fixed before the run; what pilots changed in it is told.
        measure: Function of the `Bench` that gives the raw rows.
        judge: Function of the rows that gives the `Verdict`.
        table: Function of the rows that gives the few numbers to print.
        draw: Function of the rows that gives the picture.
        caption: What the picture shows.
        references: Sequence of Markdown links.
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


def get(name: str) -> Claim:
    """The claim in the file of this name, one of `recipes.claims.NAMES`."""
    return importlib.import_module(f"recipes.claims.{name}").CLAIM
