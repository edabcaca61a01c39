"""The pages of the claims, made from the stored rows: a picture and a Markdown page each, and one HTML page for all."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from matplotlib.figure import Figure

from bnzoo.files import whole_file, write_text
from bnzoo.reports.page import draw, render
from recipes.claims import NAMES
from recipes.claims.claim import CONDITION, Claim, Verdict, get
from recipes.claims.store import Origin, Store

_TEMPLATE = Path(__file__).with_name("claims.html.j2")


@dataclass(frozen=True)
class Result:
    """The result of a claim on one data set.

    Attributes:
        claim: The `Claim`.
        rows: The stored rows.
        origin: The `Origin` of the rows.
        path: String, the path of its files without their suffixes, in the folder of the pages.
    """

    claim: Claim
    rows: pd.DataFrame
    origin: Origin
    path: str

    @property
    def setup(self) -> str:
        """The description of the experiment, with its data and a note on a quick run."""
        if self.origin.data:
            said = f"{_data(self.origin)} {self.claim.on_images}"
            fewer = "values and seeds"
        else:
            said, fewer = self.claim.setup, "values, epochs and seeds"
        quick = f" The quick run uses fewer {fewer} than described here."
        return said + quick * (self.origin.size != "full")

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
        return draw(self.path, self.claim.draw, self.rows)


@dataclass(frozen=True)
class Finding:
    """A claim with its results.

    Attributes:
        name: String, the name of the claim.
        claim: The `Claim`.
        results: Its `Result` on each data set, at least one. The digits are the first.
    """

    name: str
    claim: Claim
    results: tuple[Result, ...]

    @property
    def title(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ")

    @property
    def verdict(self) -> Verdict:
        """The first verdict."""
        return self.results[0].verdict

    @property
    def words(self) -> str:
        """The word of the verdict. If verdicts differ, the word of each."""
        words = [result.verdict.word for result in self.results]
        if len(set(words)) == 1:
            return words[0]
        return ", ".join(f"{word} on {on.origin.title}" for word, on in zip(words, self.results, strict=True))

    @property
    def comparison(self) -> str:
        """A sentence that says whether the words of the verdicts agree; empty for a single one."""
        if len(self.results) == 1:
            return ""
        if len({result.verdict.word for result in self.results}) > 1:
            return f"The verdicts differ: {self.words}. Their setups say how the experiments differ."
        conditions = " The conditions may differ." if self.words == CONDITION else ""
        titles = " and ".join(result.origin.title for result in self.results)
        return f"The verdict on {titles} is: {self.words}.{conditions}"


def find(store: Store, names: Sequence[str] = NAMES) -> list[Finding]:
    """Return the findings for all claims that have rows in a store or its subfolders.

    Args:
        store: The `Store` of the digits.
        names: The claims to look for.
    """
    stores = (store, *store.others())
    found = ((name, tuple(_result(each, name) for each in stores if each.has(name))) for name in names)
    return [Finding(name, get(name), results) for name, results in found if results]


def _result(store: Store, name: str) -> Result:
    return Result(get(name), store.rows(name), store.origin(name), store.path(name))


def write(finding: Finding, folder: Path) -> None:
    """Write the pictures and the Markdown page of a claim."""
    for result in finding.results:
        figure, _ = result.drawn
        with whole_file(folder / f"{result.path}.png") as draft:
            figure.savefig(draft, dpi=100, pil_kwargs={"optimize": True})
    write_text(folder / f"{finding.name}.md", markdown(finding))


def write_overview(findings: Sequence[Finding], folder: Path) -> None:
    """Write the index and `claims.html`."""
    write_text(folder / "README.md", index(findings))
    write_text(
        folder / "claims.html",
        render(_TEMPLATE, findings=findings, data=_data_sets(findings), titles=_titles(findings)),
    )


def _titles(findings: Sequence[Finding]) -> list[str]:
    """Return the titles of all data sets."""
    return list(dict.fromkeys(result.origin.title for finding in findings for result in finding.results))


def _data_sets(findings: Sequence[Finding]) -> str:
    """Return all data sets in words."""
    origins = {result.origin.title: result.origin for finding in findings for result in finding.results}
    return " or ".join(origin.words for origin in origins.values())


def index(findings: Sequence[Finding]) -> str:
    """Return the Markdown page with the table of all verdicts."""
    titles = _titles(findings)
    if len(titles) == 1:
        columns = ["verdict", "result"]
        verdicts = [[f"**{f.verdict.word}**", f.verdict.sentence] for f in findings]
    else:
        columns, verdicts = titles, [[_verdict_on(title, f) for title in titles] for f in findings]
    lines = [
        "# Claims about batch normalization, tested",
        "",
        "Each page has the claim, the criterion, the numbers, the picture and the strongest published "
        "counter-evidence. Each criterion was fixed before the run; one that was changed later says so. The pages are "
        "made from the CSV files in this folder. The networks are small, and the data is "
        f"{_data_sets(findings)}. That is enough to see a mechanism, "
        "but not to predict the size of its effect in a large network. An interval is that of the mean over the seeds, "
        "by Student's t distribution: it covers other seeds, not other examples. (After the runs it replaced a "
        "bootstrap of the seeds, which is too narrow for five of them.) As in any study, a trial ends early if after "
        "1, 3 or 9 epochs, and at least 100 steps, neither its training loss nor its validation loss is below that of "
        "guessing.",
        "",
        *_table(
            ["claim", "", *columns],
            [
                [f"[{f.title}]({f.name}.md)", f.claim.statement, *cells]
                for f, cells in zip(findings, verdicts, strict=True)
            ],
        ),
    ]
    return "\n".join(lines) + "\n"


def _verdict_on(title: str, finding: Finding) -> str:
    verdicts = [result.verdict for result in finding.results if result.origin.title == title]
    return "".join(f"**{verdict.word}.** {verdict.sentence}" for verdict in verdicts)


def gallery(findings: Sequence[Finding], folder: str) -> str:
    """Return a Markdown table of pictures and the first verdicts, two in a row, for the README.

    Args:
        findings: The findings to show, an even number.
        folder: String, the folder of their pages.
    """
    pictures = [f"[![{f.title}]({folder}/{quote(f.results[0].path)}.png)]({folder}/{f.name}.md)" for f in findings]
    said = [f"“{f.claim.statement}” **{f.verdict.word.capitalize()}.** {f.verdict.sentence}" for f in findings]
    rows = [line for i in range(0, len(findings), 2) for line in (pictures[i : i + 2], said[i : i + 2])]
    return "\n".join(_table(rows[0], rows[1:]))


def markdown(finding: Finding) -> str:
    """Return the Markdown page of a claim. Several results are side by side, and each has its details below."""
    claim, results = finding.claim, finding.results
    if len(results) == 1:
        (result,) = results
        verdict = result.verdict
        notes = [f"\n{note}" for note in verdict.notes]
        of_data = [verdict.sentence, *notes, "", _picture(result), "", claim.caption, "", *_details(result)]
    else:
        table = _table(
            ["", *(result.origin.title for result in results)],
            [
                ["verdict", *(f"**{result.verdict.word}**" for result in results)],
                ["result", *(result.verdict.sentence for result in results)],
                ["picture", *map(_picture, results)],
            ],
        )
        of_data = [finding.comparison, "", *table, "", claim.caption]
        for result in results:
            of_data += ["", f"## On {result.origin.title}", *(f"\n{note}" for note in result.verdict.notes), ""]
            of_data += [*_details(result), "", _source(finding, result)]
        of_data += ["", "## Criterion and publications"]
    lines = [
        f"# {finding.title.capitalize()}: {finding.words}",
        "",
        f"> {claim.statement}",
        "",
        *of_data,
        "",
        f"**Criterion.** {claim.criterion}",
        "",
        f"**Evidence.** {claim.evidence}",
        "",
        f"**Counter-evidence.** {claim.contradiction}",
        *(["", f"{'; '.join(claim.references)}."] if claim.references else []),
        *(["", _source(finding, results[0])] if len(results) == 1 else []),
    ]
    return "\n".join(lines) + "\n"


def _picture(result: Result) -> str:
    return f"![{result.claim.caption}]({quote(result.path)}.png)"


def _details(result: Result) -> list[str]:
    """Return the table and the setup."""
    return [*_table(*result.cells), "", f"**Setup.** {result.setup}"]


def _source(finding: Finding, result: Result) -> str:
    """Return the command, its duration and the file of the rows."""
    origin, rows = result.origin, f"{result.path}.csv"
    return f"`{origin.command} {finding.name}`: {_words(origin)}. Rows: [{rows}]({quote(rows)})."


def _data(origin: Origin) -> str:
    training, validation, testing = origin.examples
    parts = f"{training:,} for training, {validation:,} for validation, {testing:,} for testing"
    return f"The data is {origin.words}: {parts}."


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
