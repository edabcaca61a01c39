"""`bnzoo models`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

import bnzoo
from bnzoo.cli.console import UserError, quietly

if TYPE_CHECKING:
    from bnzoo.models import ModelCard


def models(
    pattern: Annotated[str, typer.Argument(help="A name, a part of a name, or a pattern with * and ?.")] = "*",
) -> None:
    """List the models of the zoo."""
    with quietly():
        names = bnzoo.list_models(pattern)
        cards = [bnzoo.model_card(name) for name in names]
    if not cards:
        raise UserError(f"No model matches {pattern!r}. `bnzoo models` lists all models")
    rows = [_row(card) for card in cards]
    table = Table(box=None, header_style="bold")
    for title, *words in zip(("model", "params", "MACs", "top-1 %", "norm", "placement", "paper"), *rows, strict=True):
        numbers = title in ("params", "MACs", "top-1 %")
        # a narrow terminal may cut the paper only
        width = None if title == "paper" else max(map(len, [title, *words]))
        table.add_column(title, justify="right" if numbers else "left", min_width=width, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    typer.echo("top-1: published accuracy on ImageNet or CIFAR-10; `bnzoo.model_card(name).source` names the source")


def _row(card: "ModelCard") -> list[str]:
    params = "" if card.params is None else f"{card.params / 1e6:.2f} M"
    macs = "" if card.macs is None else f"{card.macs / 1e9:.2f} G" if card.macs >= 1e9 else f"{card.macs / 1e6:.0f} M"
    accuracy = "" if card.accuracy is None else f"{card.accuracy:.2f}"
    return [card.name, params, macs, accuracy, card.norm, card.placement, card.paper.split(",")[0]]
