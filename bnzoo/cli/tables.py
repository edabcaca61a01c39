"""The tables of the command line."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from bnzoo.reports.tables import Table as ReportTable
    from bnzoo.tuning import Study

# a width that every table has room in
_WIDE = 10_000
# heads as those of `bnzoo models`: 80 columns have no room for the words of the report
_SHORT = {"parameters": "params", "multiplications": "MACs", "usable rates": "usable"}


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


def print_rates(console: Console, study: "Study") -> None:
    """Print the table of the best and the largest usable learning rates."""
    from bnzoo.reports.tables import rates

    _print(console, rates(study.results))


def print_confirmed(console: Console, study: "Study") -> None:
    """Print the table of the confirmed configurations, if there are any."""
    from bnzoo.reports.tables import confirmed

    found = confirmed(study.results)
    if found.rows:
        console.print("The best configurations with new seeds:", highlight=False)
        _print(console, found)


def _print(console: Console, of_report: "ReportTable") -> None:
    """Print a table of the report."""
    table = Table(*(_SHORT.get(head, head) for head in of_report.head), box=None, header_style="bold")
    for column in table.columns:
        column.justify = "right"
    for row in of_report.rows:
        table.add_row(*row.cells)
    print_table(console, table)
