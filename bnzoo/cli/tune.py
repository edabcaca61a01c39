"""`bnzoo tune`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from bnzoo.cli.console import UserError, mistakes, quietly, say

if TYPE_CHECKING:
    from bnzoo.tuning import Study

_FAMILIES = ("resnet", "mlp")


def tune(
    family: Annotated[str, typer.Argument(help="resnet or mlp.")] = "resnet",
    data: Annotated[
        str, typer.Option(help="digits, wine, breast_cancer, an .npz file with x and y, or a folder of image folders.")
    ] = "digits",
    depths: Annotated[
        str | None,
        typer.Option(help="Whole numbers; 6n+2 for resnet. By default 8,14,20 for resnet and 2,4,8 for mlp."),
    ] = None,
    learning_rates: Annotated[str, typer.Option(help="LOW:HIGH[:POINTS], a log grid.")] = "1e-3:3:7",
    norms: Annotated[str, typer.Option(help="Names of norms, none among them: batch,group,none.")] = "batch,none",
    placement: Annotated[str, typer.Option(help="pre, post, act_norm; resnet: those of He et al. 2016 too.")] = "pre",
    seeds: Annotated[int, typer.Option(help="Seeds of every configuration.")] = 1,
    epochs: Annotated[int, typer.Option(help="Epochs of every trial.")] = 15,
    batch_size: Annotated[int, typer.Option(help="Examples in a training batch.")] = 64,
    image_size: Annotated[int | None, typer.Option(help="Resize the images of a folder to this side.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder of the study. By default runs/FAMILY-DATA.")] = None,
) -> None:
    """Find the learning rate and depth for your data, and ship the winner."""
    if family not in _FAMILIES:
        from bnzoo.errors import unknown

        raise UserError(unknown("family", family, _FAMILIES))
    layers = None
    if depths is not None:
        layers = _numbers("--depths", depths, ",", int, "whole numbers separated by commas, as 8,14,20")
    rates = _numbers("--learning-rates", learning_rates, ":", float, "two positive numbers and a count, as 1e-3:3:7")
    with mistakes(ValueError, OSError, ImportError):
        with quietly():
            _needs_extra()
            from bnzoo import data as datasets
            from bnzoo import tuning
        space = {"resnet": tuning.ResNetSpace, "mlp": tuning.MLPSpace}[family](
            layers, rates, norms.split(","), placement
        )
        examples = datasets.load(data, image_size=None if image_size is None else (image_size, image_size))
        output = output or Path("runs") / f"{family}-{examples.stem}"
        study = tuning.Study(space, examples, output, seeds=seeds, epochs=epochs, batch_size=batch_size)
    with mistakes(OSError):
        try:
            study.run()
        except KeyboardInterrupt as error:
            done = f"{len(study.results)} of {study.results.size} trials are done"
            say(f"stopped, {done}; the same command goes on with the others")
            raise typer.Exit(130) from error
        if not (output / "report.html").exists():
            study.report()
        _print_finding(study)
        if study.results.best is None:
            raise typer.Exit(1)
        _print_artefact(study)


def _needs_extra() -> None:
    try:
        import filelock  # noqa: F401
        import jinja2  # noqa: F401
        import keras_tuner  # noqa: F401
        import matplotlib  # noqa: F401
        import pandas  # noqa: F401
    except ImportError as error:
        raise ImportError(f"`bnzoo tune` needs the extra `tune` ({error}): pip install 'bnzoo[tune]'") from error


def _print_finding(study: "Study") -> None:
    console = Console()
    columns = study.results.table()
    table = Table(*columns.columns, box=None, header_style="bold")
    for column in table.columns:
        column.justify = "right"
    for row in columns.itertuples(index=False):
        depth, norm, best, largest, accuracy, loss, usable = row
        none = best is None or best != best
        figures = (
            ["none", "none", "", ""] if none else [f"{best:.3g}", f"{largest:.3g}", f"{accuracy:.2%}", f"{loss:.4f}"]
        )
        table.add_row(str(depth), norm, *figures, usable)
    console.print(table)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in study.results.counts.items() if count)
    verdict = study.verdict
    for line in (f"{len(study.results)} trials: {counts}.", verdict.sentence):
        console.print(line, highlight=False, soft_wrap=True)
    for warning in verdict.warnings:
        console.print(f"warning: {warning}", style="yellow", highlight=False, soft_wrap=True)


def _print_artefact(study: "Study") -> None:
    try:
        with Console(stderr=True).status("verifying the SavedModel in a process of its own"):
            artefact = study.export()
    except RuntimeError as error:
        say(str(error))
        raise typer.Exit(1) from error
    norms = artefact.norms_folded + len(artefact.norms_kept)
    folded = f"{artefact.norms_folded} of {norms} batch norms folded, " if norms else ""
    typer.echo(
        f"Test accuracy {artefact.test_accuracy:.2%} on {artefact.test_examples} examples, measured on the SavedModel\n"
        f"{artefact.path}  SavedModel: {folded}differs from the model by {artefact.difference:.1e}\n"
        f"{study.directory / 'best.keras'}\n"
        f"{study.directory / 'report.html'}"
    )


def _numbers(option: str, text: str, separator: str, kind: type, example: str) -> tuple:
    try:
        return tuple(kind(part) for part in text.split(separator))
    except ValueError as error:
        raise UserError(f"{option} must be {example}. Received: {text!r}") from error
