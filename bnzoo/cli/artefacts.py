"""Tables of an artefact on the command line."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from bnzoo.training.artefact import Artefact


def print_measures(artefact: "Artefact") -> None:
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
