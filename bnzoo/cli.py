"""The command line: one function a command, each as thin as it can be."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

import bnzoo

if TYPE_CHECKING:
    from bnzoo.models import ModelCard
    from bnzoo.tuning import Study

app = typer.Typer(
    name="bnzoo",
    help="The model zoo for Keras 3 in which normalization is an argument.",
    epilog="Example: bnzoo tune resnet --data digits --depths 8,14 --norms batch,group,none",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_FAMILIES = ("resnet", "mlp")


class _UserError(Exception):
    """The user's mistake, in one line."""


def main() -> NoReturn:
    """Runs a command; the user's mistakes are one line on stderr and exit status 2."""
    try:
        status = app(standalone_mode=False)
    except typer.TyperException as error:
        status = _say(error.format_message()) if str(error.format_message()).strip() else 2
    except _UserError as error:
        status = _say(str(error))
    sys.exit(status or 0)


def _say(message: str) -> int:
    print(f"bnzoo: {' '.join(message.split())}", file=sys.stderr)
    return 2


@contextmanager
def _mistakes(*kinds: type[Exception]) -> Iterator[None]:
    """Turns errors that are the user's to mend into one line; anything else is ours and keeps its traceback."""
    try:
        yield
    except kinds as error:
        text = str(error)
        if isinstance(error, OSError) and error.strerror:
            text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        raise _UserError(text) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keeps what TensorFlow says while it is loaded off stderr, unless loading it fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said:
        stderr = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            said.seek(0)
            os.write(stderr, said.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _row(card: "ModelCard") -> list[str]:
    params = "" if card.params is None else f"{card.params / 1e6:.2f} M"
    macs = "" if card.macs is None else f"{card.macs / 1e9:.2f} G" if card.macs >= 1e9 else f"{card.macs / 1e6:.0f} M"
    accuracy = "" if card.accuracy is None else f"{card.accuracy:.2f}"
    return [card.name, params, macs, accuracy, card.norm, card.placement, card.paper.split(",")[0]]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"bnzoo {bnzoo.__version__}")
        raise typer.Exit


@app.callback()
def _bnzoo(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")] = False,
) -> None:
    pass


@app.command(epilog="Example: bnzoo models 'resnet*_cifar'")
def models(
    pattern: Annotated[str, typer.Argument(help="A name, or a part of one, or a pattern with * and ?.")] = "*",
) -> None:
    """List the zoo."""
    with _quietly():
        names = bnzoo.list_models(pattern)
        cards = [bnzoo.model_card(name) for name in names]
    if not cards:
        raise _UserError(f"No model matches {pattern!r}; `bnzoo models` lists them all")
    rows = [_row(card) for card in cards]
    table = Table(box=None, header_style="bold")
    for title, *words in zip(("model", "params", "MACs", "top-1 %", "norm", "placement", "paper"), *rows, strict=True):
        numbers = title in ("params", "MACs", "top-1 %")
        # the paper is what a narrow terminal may cut
        width = None if title == "paper" else max(map(len, [title, *words]))
        table.add_column(title, justify="right" if numbers else "left", min_width=width, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    typer.echo("top-1: as published, on ImageNet or CIFAR-10; `bnzoo.model_card(name).source` says by whom")


@app.command(epilog="Example: bnzoo tune mlp --data wine --depths 2,4 --norms batch,layer,none --seeds 3")
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

        raise _UserError(unknown("family", family, _FAMILIES))
    layers = None
    if depths is not None:
        layers = _numbers("--depths", depths, ",", int, "whole numbers separated by commas, as 8,14,20")
    rates = _numbers("--learning-rates", learning_rates, ":", float, "two positive numbers and a count, as 1e-3:3:7")
    with _mistakes(ValueError, OSError, ImportError):
        with _quietly():
            _needs_extra()
            from bnzoo import data as datasets
            from bnzoo import tuning
        space = {"resnet": tuning.ResNetSpace, "mlp": tuning.MLPSpace}[family](
            layers, rates, norms.split(","), placement
        )
        examples = datasets.load(data, image_size=None if image_size is None else (image_size, image_size))
        output = output or Path("runs") / f"{family}-{examples.stem}"
        study = tuning.Study(space, examples, output, seeds=seeds, epochs=epochs, batch_size=batch_size)
    with _mistakes(OSError):
        try:
            study.run()
        except KeyboardInterrupt as error:
            done = f"{len(study.results)} of {study.results.size} trials are done"
            _say(f"stopped, {done}; the same command goes on with the others")
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
        _say(str(error))
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
        raise _UserError(f"{option} must be {example}. Received: {text!r}") from error
