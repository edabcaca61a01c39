"""The pages of the claims, made from the stored rows: a picture and a Markdown page each, and one HTML page for all."""

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
    """A claim with its results.

    Attributes:
        name: String, the name of the claim.
        claim: The `Claim`.
        rows: The stored rows.
        origin: The `Origin` of the rows.
    """

    name: str
    claim: Claim
    rows: pd.DataFrame
    origin: Origin

    @property
    def title(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ")

    @property
    def setup(self) -> str:
        """The description of the experiment, with a note on a quick run."""
        less = (
            ""
            if self.origin.size == "full"
            else " The quick run uses fewer values, epochs and seeds than described here."
        )
        return self.claim.setup + less

    @cached_property
    def verdict(self) -> Verdict:
        """The verdict on the claim."""
        return self.claim.judge(self.rows)

    @cached_property
    def cells(self) -> tuple[list[str], list[list[str]]]:
        """The columns and the rows of the table, as text."""
        table = self.claim.table(self.rows)
        return [str(column) for column in table.columns], [
            [_text(cell) for cell in row] for row in table.to_numpy(object)
        ]

    @cached_property
    def drawn(self) -> tuple[Figure, str]:
        """The picture, as a figure and as SVG."""
        return draw(self.name, self.claim.draw, self.rows)


def find(store: Store, names: Sequence[str] = NAMES) -> list[Finding]:
    """Return the findings for all claims that have rows in a store.

    Args:
        store: A `Store`.
        names: The claims to look for.
    """
    return [Finding(name, get(name), store.rows(name), store.origin(name)) for name in names if store.has(name)]


def write(finding: Finding, folder: Path) -> None:
    """Write the picture and the Markdown page of a claim."""
    figure, _ = finding.drawn
    with whole_file(folder / f"{finding.name}.png") as draft:
        figure.savefig(draft, dpi=100, pil_kwargs={"optimize": True})
    write_text(folder / f"{finding.name}.md", markdown(finding))


def write_overview(findings: Sequence[Finding], folder: Path) -> None:
    """Write the index and `claims.html`."""
    write_text(folder / "README.md", index(findings))
    write_text(folder / "claims.html", render(_TEMPLATE, findings=findings))


def index(findings: Sequence[Finding]) -> str:
    """Return the Markdown page with the table of all verdicts."""
    lines = [
        "# Claims about batch normalization, tested",
        "",
        "Each page has the claim, the criterion, the numbers, the picture and the strongest published "
        "counter-evidence. Each criterion was fixed before the run. The pages are made from the CSV files in this "
        "folder. The networks are small, and the data is scikit-learn's digits. That is enough to see a mechanism, "
        "but not to predict the size of its effect in a large network.",
        "",
        *_table(
            ["claim", "", "verdict", "result"],
            [
                [f"[{f.title}]({f.name}.md)", f.claim.statement, f"**{f.verdict.word}**", f.verdict.sentence]
                for f in findings
            ],
        ),
    ]
    return "\n".join(lines) + "\n"


def gallery(findings: Sequence[Finding], folder: str) -> str:
    """Return a Markdown table of pictures and verdicts, two in a row, for the README.

    Args:
        findings: The findings to show, an even number.
        folder: String, the folder of their pages.
    """
    pictures = [f"[![{f.title}]({folder}/{f.name}.png)]({folder}/{f.name}.md)" for f in findings]
    said = [f"“{f.claim.statement}” **{f.verdict.word.capitalize()}.** {f.verdict.sentence}" for f in findings]
    rows = [line for i in range(0, len(findings), 2) for line in (pictures[i : i + 2], said[i : i + 2])]
    return "\n".join(_table(rows[0], rows[1:]))


def markdown(finding: Finding) -> str:
    """Return the Markdown page of a claim."""
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
        f"**Setup.** {finding.setup}",
        "",
        f"**Criterion, fixed before the run.** {claim.criterion}",
        "",
        f"**Evidence.** {claim.evidence}",
        "",
        f"**Counter-evidence.** {claim.contradiction}",
        "",
        *([f"{'; '.join(claim.references)}.", ""] if claim.references else []),
        f"`{origin.command} {finding.name}`: {_words(origin)}. Rows: [{finding.name}.csv]({finding.name}.csv).",
    ]
    return "\n".join(lines) + "\n"


def _words(origin: Origin) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
    return f"{origin.seconds:.0f} s on {origin.processors} cores shared with other claims; {packages}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table. pandas would need another package for it."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in (columns, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in escaped]
    return [lines[0], "|" + " --- |" * len(columns), *lines[1:]]


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return "" if pd.isna(cell) else f"{cell:.4g}"
    return str(cell)
