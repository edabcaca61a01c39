"""`bnzoo tune`."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bnzoo.cli.console import UserError, mistakes, quietly, say
from bnzoo.cli.inputs import SOURCES, Column, ImageSize, TaskWord, load_data

if TYPE_CHECKING:
    from bnzoo.tuning import Space, Study

_FAMILIES = ("resnet", "densenet", "vit", "mlp")
_OF_DATA = ("input_shape", "classes", "scale", "target_scale")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def tune(
    family: Annotated[str, typer.Argument(help="resnet, densenet, vit or mlp.")] = "resnet",
    data: Annotated[str, typer.Option(help=f"{SOURCES}.")] = "digits",
    target: Column = None,
    task: TaskWord = None,
    depths: Annotated[
        str | None,
        typer.Option(
            help="Whole numbers: 6n+2 for resnet (8,14,20 by default), 6n+4 for densenet (10,16,22), blocks of a vit, "
            "hidden layers of an mlp (2,4,8). At most 2000."
        ),
    ] = None,
    learning_rates: Annotated[
        str | None,
        typer.Option(
            help="LOW:HIGH[:POINTS], a log grid of at most 1000 points; by default 1e-3:3:7, for vit 1e-4:0.1:7."
        ),
    ] = None,
    norms: Annotated[
        str | None,
        typer.Option(help="Names of norms, none among them: batch,group,none. By default batch,none; vit layer,batch."),
    ] = None,
    placement: Annotated[
        str, typer.Option(help="pre, post, act_norm; resnet: those of He et al. 2016; vit: peri. Several: pre,post.")
    ] = "pre",
    activation: Annotated[str | None, typer.Option(help="Activations of Keras: relu,silu.")] = None,
    batch_size: Annotated[str, typer.Option(help="Examples in a training batch: 64, or 32,128.")] = "64",
    weight_decay: Annotated[str | None, typer.Option(help="Shares of the learning rate: 0,1e-4.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE[,VALUE...] for the family's builder: growth_rate=8,12 or width=64. Repeatable."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Seeds of every configuration, at most 1000.")] = 1,
    epochs: Annotated[int, typer.Option(help="Epochs of every trial, at most 1000000.")] = 15,
    sampler: Annotated[str, typer.Option(help="grid (all), random, tpe or gp.")] = "grid",
    pruner: Annotated[
        str | None, typer.Option(help="successive_halving, hyperband or median: ends trials that others surpass.")
    ] = None,
    sampler_seed: Annotated[int, typer.Option(help="Seed of the sampler.")] = 0,
    enqueue: Annotated[
        list[str] | None, typer.Option(help="Where to start: depth=8,learning_rate=0.1. Repeatable.")
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Processes that share the trials and this machine's cores, at most 256.")
    ] = 1,
    budget: Annotated[str | None, typer.Option(help="Time in which trials are begun: 90s, 10m, 2h.")] = None,
    trials: Annotated[
        int | None, typer.Option(help="How many trials the study has at most; 100000 is the highest.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="A database shared with other machines, each running this same command: "
            "postgresql://user@host/database, with the password in PGPASSWORD or ~/.pgpass."
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            help="The study's name in the database. By default that of the study in the folder, or of the folder."
        ),
    ] = None,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard's HParams runs.")] = None,
    image_size: ImageSize = None,
    output: Annotated[Path | None, typer.Option(help="Folder of the study. By default runs/FAMILY-DATA.")] = None,
) -> None:
    """Find the learning rate and depth for your data, and ship the winner."""
    if family not in _FAMILIES:
        from bnzoo.errors import unknown

        raise UserError(unknown("family", family, _FAMILIES))
    axes = _axes(depths, learning_rates, norms, placement, activation, batch_size, weight_decay, option or [])
    start = [dict(_point(part) for part in text.split(",")) for text in enqueue or ()]
    seconds = None if budget is None else _seconds(budget)
    with mistakes(ValueError, OSError, ImportError):
        with quietly():
            _needs_extra()
            from bnzoo import tuning
        space = _space(family, axes)
        examples = load_data(data, target, task, image_size)
        output = output or Path("runs") / f"{family}-{examples.stem}"
        found = tuning.Study(
            space,
            examples,
            output,
            seeds=seeds,
            epochs=epochs,
            sampler=sampler,
            pruner=pruner,
            sampler_seed=sampler_seed,
            enqueue=start,
            storage=storage,
            name=study,
        )
        bounds: dict[str, Any] = {"workers": workers, "budget": seconds, "trials": trials}
        found.check_bounds(**bounds)
    _run(found, bounds)
    if tensorboard is not None:
        from bnzoo.reports.tensorboard import write_hparams

        with mistakes(ValueError, OSError, ImportError):
            write_hparams(found.results, tensorboard)
    _print_finding(found)
    if found.results.best is None:
        raise typer.Exit(1)
    _print_artefact(found)


def _axes(
    depths: str | None,
    learning_rates: str | None,
    norms: str | None,
    placement: str,
    activation: str | None,
    batch_size: str,
    weight_decay: str | None,
    options: list[str],
) -> dict[str, Any]:
    """What is searched, as a space takes it."""
    axes = {
        "depths": depths and _numbers("--depths", depths, ",", int, "whole numbers separated by commas, as 8,14,20"),
        "learning_rates": learning_rates
        and _numbers("--learning-rates", learning_rates, ":", float, "two positive numbers and a count, as 1e-3:3:7"),
        "norms": norms and norms.split(","),
        "placement": _one_or_more(placement.split(",")),
        "activation": activation and _one_or_more(activation.split(",")),
        "batch_size": _one_or_more(_numbers("--batch-size", batch_size, ",", int, "whole numbers, as 64 or 32,128")),
        "weight_decay": weight_decay
        and _one_or_more(_numbers("--weight-decay", weight_decay, ",", float, "numbers, as 1e-4 or 0,1e-4")),
    }
    given: dict[str, Any] = {}
    for text in options:
        name, values = _assignment("--option", text)
        _check_option(name, known=axes, given=given)
        given[name] = _one_or_more([_value(part) for part in values.split(",")])
    return {**axes, **given}


def _check_option(name: str, known: Collection[str], given: Collection[str]) -> None:
    """Refuse an option of the builder that is given twice, is one of this command, or follows from the data."""
    if name in given:
        raise UserError(f"--option {name} is given twice; several values are separated by commas")
    if name in known:
        raise UserError(f"--option {name} cannot be used; the option is --{name.replace('_', '-')}")
    if name in _OF_DATA:
        raise UserError(f"--option {name} cannot be used: it follows from the data")


def _run(study: "Study", bounds: dict[str, Any]) -> None:
    with mistakes(ValueError, OSError, ImportError):
        try:
            study.run(**bounds)
        except KeyboardInterrupt as error:
            study.refresh()
            done = f"{len(study.results)} of {study.results.size} trials are done"
            say(f"stopped, {done}; the same command goes on with the others")
            raise typer.Exit(130) from error
        except RuntimeError as error:
            say(str(error))
            raise typer.Exit(1) from error
        report, results = study.directory / "report.html", study.directory / "results.json"
        if len(study.results) and not (report.exists() and report.stat().st_mtime >= results.stat().st_mtime):
            study.report()


def _space(family: str, axes: dict[str, Any]) -> "Space":
    from bnzoo import tuning

    kind = {
        "resnet": tuning.ResNetSpace,
        "densenet": tuning.DenseNetSpace,
        "vit": tuning.ViTSpace,
        "mlp": tuning.MLPSpace,
    }[family]
    return kind(**{name: values for name, values in axes.items() if values is not None})


def _needs_extra() -> None:
    try:
        import filelock  # noqa: F401
        import jinja2  # noqa: F401
        import keras_tuner  # noqa: F401
        import matplotlib  # noqa: F401
        import optuna  # noqa: F401
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
        table.add_row(*map(_cell, columns.columns, row))
    console.print(table)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in study.results.counts.items() if count)
    verdict = study.verdict
    for line in (f"{len(study.results)} trials: {counts or 'none'}.", verdict.sentence):
        console.print(line, highlight=False, soft_wrap=True)
    for warning in verdict.warnings:
        console.print(f"warning: {warning}", style="yellow", highlight=False, soft_wrap=True)


def _cell(column: str, value: Any) -> str:
    if column in ("best learning rate", "largest usable"):
        return "none" if value is None or value != value else f"{value:.3g}"
    if value != value:
        return ""
    from bnzoo.metrics import METRICS

    for metric in METRICS:
        if column == metric.name:
            return metric.text(value)
    return f"{value:.4f}" if column == "loss" else str(value)


def _print_artefact(study: "Study") -> None:
    with mistakes(ValueError, OSError, ImportError):
        try:
            with Console(stderr=True).status("verifying the SavedModel in a process of its own"):
                artefact = study.export()
        except RuntimeError as error:
            say(str(error))
            raise typer.Exit(1) from error
    norms = artefact.norms_folded + len(artefact.norms_kept)
    folded = f"{artefact.norms_folded} of {norms} batch norms folded, " if norms else ""
    typer.echo(
        f"Test {artefact.finding} on {artefact.test_examples} examples, measured on the SavedModel\n"
        f"{artefact.path}  SavedModel: {folded}differs from the model by {artefact.difference:.1e}\n"
        f"{study.directory / 'best.keras'}\n"
        f"{study.directory / 'report.html'}"
    )


def _numbers(option: str, text: str, separator: str, kind: type, example: str) -> tuple:
    try:
        return tuple(kind(part) for part in text.split(separator))
    except ValueError as error:
        raise UserError(f"{option} must be {example}. Received: {text!r}") from error


def _one_or_more(values: Any) -> Any:
    """What an axis takes: the value, or several to be searched."""
    return values[0] if len(values) == 1 else tuple(values)


def _assignment(option: str, text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name.isidentifier() and sign and value):
        raise UserError(f"{option} must be NAME=VALUE. Received: {text!r}")
    return name, value


def _point(text: str) -> tuple[str, Any]:
    name, value = _assignment("--enqueue", text)
    return name, value if name in ("norm", "placement", "activation") else _value(value)


def _value(text: str) -> Any:
    """A number, a truth value, nothing, or else the text."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if not match or not float(match[1]):
        raise UserError(f"--budget must be a time, as 90s, 10m or 2h. Received: {text!r}")
    return float(match[1]) * _SECONDS[match[2] or "s"]
