"""The tables of the command line."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from bnzoo.tuning import Study

# a width that every table has room in
_WIDE = 10_000


def print_table(console: Console, table: Table) -> None:
    """Print a table whose words are not cut: on a narrow terminal its columns move together, a file has no width."""
    needed = console.measure(table, options=console.options.update(width=_WIDE)).maximum
    if not console.is_terminal:
        console.width = max(needed, console.width)
    elif needed > console.width:
        table.collapse_padding, table.pad_edge = True, False
        for column in table.columns:
            column.overflow = "fold"
    console.print(table)


def print_confirmed(console: Console, study: "Study") -> None:
    """Print the table of the confirmed configurations, if there are any."""
    from bnzoo.reports.tables import confirmed

    found = confirmed(study.results)
    if not found.rows:
        return
    table = Table(*found.head, box=None, header_style="bold")
    for column in table.columns:
        column.justify = "right"
    for row in found.rows:
        table.add_row(*row.cells)
    console.print("The best configurations with new seeds:", highlight=False)
    print_table(console, table)
