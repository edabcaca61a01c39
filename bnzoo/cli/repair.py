"""`bnzoo fold`, `bnzoo recalibrate`, `bnzoo health`: repairs and a check-up of trained models."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import bnzoo
from bnzoo.cli.console import UserError, mistakes
from bnzoo.cli.inputs import (
    Column,
    Data,
    Drop,
    Encoding,
    ImageSize,
    Separator,
    Source,
    TaskWord,
    between,
    check_folder,
    check_suffix,
    load,
    load_compiled,
    load_examples,
    table_options,
)
from bnzoo.cli.waiting import waiting
from bnzoo.files import whole_file

if TYPE_CHECKING:
    import keras

    from bnzoo.data import Dataset

Target = Annotated[
    Path, typer.Argument(metavar="OUT.keras", help="The file to write, without optimizer. It must not exist.")
]
BatchSize = Annotated[
    int, typer.Option(callback=between(1, 1_000_000), help="The number of examples in a batch, at most 1000000.")
]
Batches = Annotated[
    int | None,
    typer.Option(
        callback=between(1, 1_000_000),
        help="The largest number of batches to use, at most 1000000. By default all batches.",
    ),
]


def fold(source: Source, target: Target) -> None:
    """Fold batch norms into the linear layers next to them. The outputs stay the same."""
    _check_target(source, target)
    model = load(source)
    with mistakes(ValueError, OSError):
        folded, report = bnzoo.tools.fold_batch_norm(model)
        _save(folded, target)
    typer.echo(f"{report}\n{target}")


def recalibrate(
    source: Source,
    target: Target,
    data: Data,
    batches: Batches = None,
    batch_size: BatchSize = 256,
    column: Column = None,
    task: TaskWord = None,
    drop: Drop = None,
    separator: Separator = None,
    encoding: Encoding = None,
    image_size: ImageSize = None,
) -> None:
    """Replace the moving statistics of batch norms by the statistics of your training data (PreciseBN)."""
    _check_target(source, target)
    model = load(source)
    with mistakes(ValueError, OSError):
        recalibration = bnzoo.tools.Recalibration(model)
        if not recalibration.norms:
            raise UserError(f"{source} has no batch norm, so there are no statistics to replace")
        examples = load_examples(model, data, column, task, image_size, **table_options(drop, separator, encoding))
        with waiting("recalibrating"):
            before = _accuracy(model, examples, batch_size)
            recalibration(examples.train.x, batches, batch_size)
            after = _accuracy(model, examples, batch_size)
        _save(model, target)
    used = len(examples.train.x) if batches is None else min(batches * batch_size, len(examples.train.x))
    typer.echo(f"{len(recalibration.norms)} batch norms recalibrated on {used} examples")
    if before is not None and after is not None:
        from bnzoo.metrics import metric_for

        count = len(examples.validation.x)
        metric = metric_for(examples.task)
        figures = f"{metric.text(before)} before, {metric.text(after)} after"
        typer.echo(f"Validation {metric.label} {figures}, on {count} examples")
    typer.echo(target)


def health(
    source: Source,
    data: Data,
    batches: Batches = None,
    batch_size: BatchSize = 256,
    steps: Annotated[
        int | None,
        typer.Option(
            callback=between(0, 10**15),
            help="The number of training steps of the model. By default the number that its optimizer counts.",
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="An HTML file to write the report to.")] = None,
    column: Column = None,
    task: TaskWord = None,
    drop: Drop = None,
    separator: Separator = None,
    encoding: Encoding = None,
    image_size: ImageSize = None,
) -> None:
    """Check the health of a trained model: statistics, norms, gradients. The exit status is 1 for any finding."""
    if report is not None:
        check_suffix("--report", report, ".html")
        check_folder(report)
    model = load_compiled(source)
    examples = load_examples(model, data, column, task, image_size, **table_options(drop, separator, encoding))
    with mistakes(ValueError, OSError, ImportError):
        with waiting("checking"):
            checkup = bnzoo.tools.health(model, examples.train, batches=batches, batch_size=batch_size, steps=steps)
        typer.echo(checkup)
        if report is not None:
            checkup.report(report)
            typer.echo(report)
    raise typer.Exit(1 if checkup.findings else 0)


def _check_target(source: Path, target: Path) -> None:
    """Check that a file may be written, before anything is loaded.

    Raises:
        UserError: If the name is wrong, or the file exists.
    """
    check_suffix("OUT.keras", target, ".keras")
    check_folder(target)
    with mistakes(OSError):
        if target.exists() and source.exists() and target.samefile(source):
            raise UserError(f"OUT.keras must be another file than IN.keras. Received: {target}. Choose another name")
        _check_free(target)


def _check_free(target: Path) -> None:
    if os.path.lexists(target):  # true for a broken link too
        raise UserError(f"{target} exists and is not overwritten. Choose another name, or remove the file")


def _accuracy(model: "keras.Model", examples: "Dataset", batch_size: int) -> float | None:
    """Measure accuracy or mean average precision on the validation data; `None` without an output for each class."""
    shape = getattr(model, "output_shape", None)
    if not (isinstance(shape, tuple) and len(shape) == 2 and shape[-1] == examples.classes):
        return None
    from bnzoo.metrics import metric_for

    x, y = examples.validation  # both metrics are the same for logits and for probabilities
    return metric_for(examples.task).compute(model.predict(x, batch_size=batch_size, verbose=0), y)


def _save(model: "keras.Model", target: Path) -> None:
    with whole_file(target) as draft:
        model.save(draft)
        _check_free(target)  # another process may have written it since the first check
