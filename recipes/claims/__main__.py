"""The command line: `python -m recipes.claims [NAME ...] [--quick] [--seeds N] [--output FOLDER]`."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from recipes.claims import NAMES

_MOST_WORKERS = 8

Name = StrEnum("Name", {name.upper(): name for name in NAMES})
Names = Annotated[list[Name] | None, typer.Argument(help="Which claims, instead of all.", show_default=False)]
Quick = Annotated[bool, typer.Option("--quick", help="Less of each: minutes instead of an hour.")]
Seeds = Annotated[
    int | None, typer.Option(min=1, help="Of every configuration; 5, with --quick 2.", show_default=False)
]
Output = Annotated[
    Path | None, typer.Option(help="Folder; runs/claims, with --quick runs/claims-quick.", show_default=False)
]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def claims(names: Names = None, quick: Quick = False, seeds: Seeds = None, output: Output = None) -> None:
    """Tries claims about batch normalization, and prints what is so.

    Stopped and started again, it goes on where it was. A claim whose rows are in the folder is not run again: its
    picture and its pages are made anew.
    """
    # not before mistakes have been told: what follows loads TensorFlow, which speaks too
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from bnzoo.machine import available_cores
    from recipes.claims.bench import Bench
    from recipes.claims.run import run
    from recipes.claims.store import SEEDS, Size

    size = Size.QUICK if quick else Size.FULL
    folder = output or Path("runs/claims-quick" if quick else "runs/claims")
    workers = min(available_cores(), _MOST_WORKERS)
    asked = [name.value for name in names or ()]  # plain words: other processes do not know this module
    run(asked or NAMES, Bench(folder / "studies", size, seeds or SEEDS[size], workers), folder)


def main() -> NoReturn:
    """Runs the command; the user's mistakes are one line on stderr and exit status 2."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except typer.Abort:
        print("claims: stopped; the same command goes on where it was", file=sys.stderr)
        sys.exit(130)
    except (typer.TyperException, ValueError, OSError) as error:
        said = error.format_message() if isinstance(error, typer.TyperException) else str(error)
        print(f"claims: {' '.join(said.split())}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
