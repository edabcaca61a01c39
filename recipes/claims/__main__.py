"""The command line: `python -m recipes.claims [NAME ...] [--data FILE.npz] [--quick] [--seeds N] [--output FOLDER]`."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from recipes.claims import NAMES, FailedTrialsError

_MOST_WORKERS = 8

Name = StrEnum("Name", {name.upper(): name for name in NAMES})
Names = Annotated[
    list[Name] | None,
    typer.Argument(help="Claims to test. Default: all; with --data those that have an experiment on images."),
]
Data = Annotated[
    Path | None,
    typer.Option(
        help="An .npz file with images x and classes y: test claims with small ResNets on at most 10,000 of them. "
        "Default: an MLP or a ResNet on scikit-learn's digits.",
        show_default=False,
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="Run fewer values, epochs and seeds: minutes instead of hours.")]
Seeds = Annotated[
    int | None,
    typer.Option(min=1, help="Seeds per configuration. Default: 5, with --data 3, with --quick 2.", show_default=False),
]
Output = Annotated[
    Path | None,
    typer.Option(help="Output folder. Default: runs/claims, with --quick runs/claims-quick.", show_default=False),
]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def claims(
    names: Names = None, data: Data = None, quick: Quick = False, seeds: Seeds = None, output: Output = None
) -> None:
    """Test claims about batch normalization, and print the verdicts.

    An interrupted run resumes where it stopped. A claim whose rows are in the folder is not run again: only its picture
    and its pages are made again. Results on the images of a file are in a subfolder with the name of the file, and on
    the pages they are beside those on the digits.
    """
    # These imports load TensorFlow, which prints to stderr: the command line is checked first.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from bnzoo.machine import available_cores
    from recipes.claims.bench import Bench
    from recipes.claims.claim import names_on_images
    from recipes.claims.run import run
    from recipes.claims.store import SEEDS, SEEDS_ON_IMAGES, STUDIES, Size

    size = Size.QUICK if quick else Size.FULL
    folder = output or Path("runs/claims-quick" if quick else "runs/claims")
    workers = min(available_cores(), _MOST_WORKERS)
    # plain strings: worker processes cannot unpickle an enum of `__main__`
    asked = [name.value for name in names or ()]
    usual = SEEDS[size] if data is None else SEEDS_ON_IMAGES[size]
    bench = Bench(folder / STUDIES, size, seeds or usual, workers, file=data)
    run(asked or (NAMES if data is None else names_on_images()), bench, folder)


def main() -> NoReturn:
    """Run the command, and print an error as one line on stderr.

    The exit status is 2 for a mistake, and 1 for a failed trial.
    """
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except typer.Abort:
        print("claims: interrupted. Run the same command again to resume.", file=sys.stderr)
        sys.exit(130)
    except (typer.TyperException, ValueError, OSError) as error:
        said = error.format_message() if isinstance(error, typer.TyperException) else str(error)
        print(f"claims: {' '.join(said.split())}", file=sys.stderr)
        sys.exit(2)
    except FailedTrialsError as error:
        print(f"claims: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
