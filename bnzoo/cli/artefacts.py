"""An artefact on the command line."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from bnzoo.training.artefact import Artefact


def _print_measures(artefact: "Artefact") -> None:
    """Print a table of the metrics of the best model."""
    rows = artefact.measures.rows()
    if not rows:
        return
    table = Table(*rows[0], box=None, header_style="bold")
    for number, column in enumerate(table.columns):
        column.justify = "right" if number else "left"
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)


def print_artefact(artefact: "Artefact", *files: Path) -> None:
    """Print the metrics of the best model, its SavedModel and further files."""
    norms = artefact.norms_folded + len(artefact.norms_kept)
    folded = f"{artefact.norms_folded} of {norms} batch norms folded, " if norms else ""
    _print_measures(artefact)
    typer.echo(
        f"Test {artefact.finding} on {artefact.test_examples} examples, measured with the SavedModel\n"
        f"{artefact.path}  SavedModel: {folded}differs from the model by {artefact.difference:.1e}"
    )
    for file in files:
        typer.echo(file)
