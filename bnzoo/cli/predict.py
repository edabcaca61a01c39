"""`bnzoo predict`: the predictions of a model or an artefact for files."""

import csv
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bnzoo.cli.console import mistakes, quietly, say
from bnzoo.cli.deploy import read_labels
from bnzoo.cli.inputs import Encoding, Separator, check_folder, csv_options, shown_warnings
from bnzoo.files import whole_file

if TYPE_CHECKING:
    from bnzoo.predicting.answers import Answers
    from bnzoo.predicting.predictor import Predictor


def predict(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="The folder of a study, or of an artefact of bnzoo export; or a .keras file. An artefact runs with "
            "all your rights.",
        ),
    ],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Image files, and folders of images at any depth; or .csv and .parquet tables with the columns of the "
            "training; or .npz files with x (scaled as in training, or uint8 images).",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            help="A CSV file to write, with the probability of every class. By default a table on a terminal, else CSV."
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            help="The scaling of images in the training of a .keras file: raw (0 to 255, as in bnzoo tune), unit "
            "(0 to 1), tf, torch, caffe."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="A text file with the name of a class of a .keras file on each line. By default their numbers."
        ),
    ] = None,
    separator: Separator = None,
    encoding: Encoding = None,
) -> None:
    """Predict the classes of images, tables or arrays, or the numbers of a regression.

    The exit status is 1 if an image cannot be decoded. The reason is in the column `error`.
    """
    if output is not None:
        check_folder(output)
    names = None if labels is None else read_labels(labels)
    with mistakes(ValueError, OSError, ImportError), quietly():
        from bnzoo.predicting.predictor import open_predictor

        predictor = open_predictor(model, image, names)
    tally = _Tally()
    options = csv_options(separator, encoding)
    found = tally.counted(_answers(predictor, inputs, options))
    if output is not None:
        with mistakes(OSError), whole_file(output) as draft, draft.open("w", encoding="utf-8", newline="") as file:
            _write(found, file)
        typer.echo(f"{tally.done} predictions in {output}")
    elif sys.stdout.isatty():
        _show(found)
    else:
        _write(found, sys.stdout)
    if tally.failed:
        say(f"{tally.failed} of {tally.done} images have no prediction, such as {tally.example}")
        raise typer.Exit(1)


@dataclass
class _Tally:
    """The number of predictions, of those that failed, and one of these."""

    done: int = 0
    failed: int = 0
    example: str = ""

    def counted(self, parts: "Iterable[Answers]") -> "Iterator[Answers]":
        for part in parts:
            columns = dict(part.columns)
            names, errors = columns["input"], columns.get("error", ())
            self.done += len(names)
            self.failed += sum(map(bool, errors))
            failures = (f"{name}: {error}" for name, error in zip(names, errors, strict=False) if error)
            self.example = self.example or next(failures, "")
            yield part


def _answers(predictor: "Predictor", inputs: list[Path], options: dict[str, Any]) -> "Iterator[Answers]":
    from bnzoo.predicting.answers import answers
    from bnzoo.predicting.examples import batches

    parts = batches(predictor, inputs, **options)
    while True:
        with shown_warnings(), quietly(), mistakes(ValueError, OSError, ImportError):
            batch = next(parts, None)
            if batch is None:
                return
            found = answers(batch, predictor(batch.arrays, batch.signature), predictor.labels)
        yield found


def _write(parts: "Iterable[Answers]", file: IO[str]) -> None:
    """Write CSV, batch by batch."""
    writer = csv.writer(file, lineterminator="\n")
    begun = False
    for part in parts:
        columns = [*part.columns, *part.classes]
        if not begun:
            writer.writerow([name for name, _ in columns])
            begun = True
        writer.writerows(zip(*(values for _, values in columns), strict=True))


def _show(parts: "Iterable[Answers]") -> None:
    """Print a table for a terminal, without the probability of every class."""
    table = Table(box=None, header_style="bold")
    for part in parts:
        if not table.columns:
            for name, _ in part.columns:
                numbers = name not in ("input", "label", "error")
                table.add_column(name, justify="right" if numbers else "left", overflow="fold")
        for row in zip(*(values for _, values in part.columns), strict=True):
            table.add_row(*(Text(_cell(value)) for value in row))  # a name is no markup
    Console().print(table)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if hasattr(value, "dtype") else str(value)
