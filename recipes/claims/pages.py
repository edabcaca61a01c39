"""What is shown of claims: a picture and a Markdown page each, and one HTML page of all; all from the stored rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from bnzoo.files import whole_file, write_text
from bnzoo.reports.page import draw, render
from recipes.claims import NAMES
from recipes.claims.claim import Claim, Verdict, get
from recipes.claims.store import Origin, Store

_TEMPLATE = Path(__file__).with_name("claims.html.j2")


@dataclass(frozen=True)
class Finding:
    """A claim that has been tried.

    Attributes:
        name: String, its file.
        claim: The `Claim`.
        rows: What was measured.
        origin: How.
    """

    name: str
    claim: Claim
    rows: pd.DataFrame
    origin: Origin

    @property
    def title(self) -> str:
        """The name as words."""
        return self.name.replace("_", " ")

    @property
    def setup(self) -> str:
        """What was trained."""
        less = (
            "" if self.origin.size == "full" else " The quick run takes fewer values, epochs and seeds than told here."
        )
        return self.claim.setup + less

    @cached_property
    def verdict(self) -> Verdict:
        """What follows."""
        return self.claim.judge(self.rows)

    @cached_property
    def cells(self) -> tuple[list[str], list[list[str]]]:
        """The table: its columns, and its rows as text."""
        table = self.claim.table(self.rows)
        return [str(column) for column in table.columns], [
            [_text(cell) for cell in row] for row in table.to_numpy(object)
        ]

    @cached_property
    def drawn(self) -> tuple[Figure, str]:
        """The picture, and the same as SVG."""
        return draw(self.name, self.claim.draw, self.rows)


def find(store: Store, names: Sequence[str] = NAMES) -> list[Finding]:
    """The claims of which a store has rows.

    Args:
        store: A `Store`.
        names: Those to look for.
    """
    return [Finding(name, get(name), store.rows(name), store.origin(name)) for name in names if store.has(name)]


def write(finding: Finding, folder: Path) -> None:
    """Writes the picture and the Markdown page of a claim."""
    figure, _ = finding.drawn
    with whole_file(folder / f"{finding.name}.png") as draft:
        figure.savefig(draft, dpi=100, pil_kwargs={"optimize": True})
    write_text(folder / f"{finding.name}.md", markdown(finding))


def write_overview(findings: Sequence[Finding], folder: Path) -> None:
    """Writes the index and `claims.html`."""
    write_text(folder / "README.md", index(findings))
    write_text(folder / "claims.html", render(_TEMPLATE, findings=findings))


def index(findings: Sequence[Finding]) -> str:
    """The verdicts in a table."""
    lines = [
        "# What is said of batch normalization, tried",
        "",
        "Made from the CSV files beside it; each page has the criterion, which was fixed before the run, the numbers, "
        "the picture and the strongest published result to the contrary. The networks are small and the data is "
        "scikit-learn's digits: enough to see whether a mechanism works, not how much it gives at your scale.",
        "",
        *_table(
            ["claim", "", "verdict", "found"],
            [
                [f"[{f.title}]({f.name}.md)", f.claim.statement, f"**{f.verdict.word}**", f.verdict.sentence]
                for f in findings
            ],
        ),
    ]
    return "\n".join(lines) + "\n"


def gallery(findings: Sequence[Finding], folder: str) -> str:
    """Some pictures and what they show, two side by side, for the README.

    Args:
        findings: Which, an even number.
        folder: String, where their pages are.
    """
    pictures = [f"[![{f.title}]({folder}/{f.name}.png)]({folder}/{f.name}.md)" for f in findings]
    said = [f"“{f.claim.statement}” **{f.verdict.word.capitalize()}.** {f.verdict.sentence}" for f in findings]
    rows = [line for i in range(0, len(findings), 2) for line in (pictures[i : i + 2], said[i : i + 2])]
    return "\n".join(_table(rows[0], rows[1:]))


def markdown(finding: Finding) -> str:
    """The page of a claim."""
    claim, verdict, origin = finding.claim, finding.verdict, finding.origin
    columns, cells = finding.cells
    lines = [
        f"# {finding.title.capitalize()}: {verdict.word}",
        "",
        f"> {claim.statement}",
        "",
        verdict.sentence,
        *(f"\n{note}" for note in verdict.notes),
        "",
        f"![{claim.caption}]({finding.name}.png)",
        "",
        claim.caption,
        "",
        *_table(columns, cells),
        "",
        f"**Tried how.** {finding.setup}",
        "",
        f"**Criterion, fixed before the run.** {claim.criterion}",
        "",
        f"**Evidence for it.** {claim.evidence}",
        "",
        f"**What contradicts it.** {claim.contradiction}",
        "",
        *([f"{'; '.join(claim.references)}.", ""] if claim.references else []),
        f"`{origin.command} {finding.name}`: {_words(origin)}. Rows: [{finding.name}.csv]({finding.name}.csv).",
    ]
    return "\n".join(lines) + "\n"


def _words(origin: Origin) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
    return f"{origin.seconds:.0f} s, with others beside it, on {origin.processors} cores; {packages}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; pandas would need another package to write one."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in (columns, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in escaped]
    return [lines[0], "|" + " --- |" * len(columns), *lines[1:]]


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return "" if pd.isna(cell) else f"{cell:.4g}"
    return str(cell)
