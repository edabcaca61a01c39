"""`bnzoo train`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from bnzoo.cli import train_study
from bnzoo.cli.artefacts import print_artefact
from bnzoo.cli.clock import Clock
from bnzoo.cli.console import UserError, failures, mistakes, prefer_fast_training, quietly, say
from bnzoo.cli.inputs import (
    Augment,
    ClassWeight,
    Column,
    Drop,
    Encoding,
    ImageSize,
    Separator,
    TaskWord,
    TrainingData,
    load_data,
    table_options,
)
from bnzoo.cli.progress import shown
from bnzoo.cli.space import (
    FAMILIES,
    Activation,
    BatchSize,
    BranchScale,
    Momentum,
    Optimizer,
    Option,
    Placement,
    WeightDecay,
    axes_of,
    check_family,
    needs_extra,
    refuse_several,
    seconds_of,
    space_of,
)

if TYPE_CHECKING:
    from bnzoo.training import Training


def train(
    context: typer.Context,
    family: Annotated[
        str, typer.Argument(help=f"The family of networks: {', '.join(FAMILIES)}; or the folder of a study.")
    ] = "resnet",
    data: TrainingData = "digits",
    target: Column = None,
    task: TaskWord = None,
    drop: Drop = None,
    separator: Separator = None,
    encoding: Encoding = None,
    image_size: ImageSize = None,
    augment: Augment = None,
    depth: Annotated[
        int | None, typer.Option(help="The depth: as for bnzoo tune, but a single one. By default the first of those.")
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="The highest learning rate. By default 0.1 for sgd, 0.001 for adamw and muon, 0.0025 for "
            "schedule_free_adamw."
        ),
    ] = None,
    norm: Annotated[
        str | None, typer.Option(help="The name of a norm, or none for no norm. By default batch, for vit layer.")
    ] = None,
    placement: Placement = None,
    branch_scale: BranchScale = None,
    activation: Activation = None,
    batch_size: BatchSize = None,
    optimizer: Optimizer = None,
    momentum: Momentum = None,
    weight_decay: WeightDecay = None,
    option: Option = None,
    epochs: Annotated[
        int | None, typer.Option(help="The number of epochs. By default 30, or as many as fit into the budget.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="The time of the command, export included: 90s, 10m, 2h.")] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="The learning rate in the training: warmup_cosine, linear, half_cosine or constant. By default "
            "warmup_cosine, for schedule_free_adamw constant after a warm-up of 0.05."
        ),
    ] = None,
    warmup: Annotated[
        float | None,
        typer.Option(help="The share of the steps in which the learning rate rises. By default 0.05, for constant 0."),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="auto (the fastest on this machine, measured), float32, bfloat16 or float16.")
    ] = "auto",
    average: Annotated[bool, typer.Option(help="Average the weights, if that lowers the validation loss.")] = True,
    patience: Annotated[
        int | None, typer.Option(help="End after so many epochs without a lower validation loss.")
    ] = None,
    class_weight: ClassWeight = None,
    all_data: Annotated[
        bool, typer.Option("--all-data", help="Train on the validation data too. Nothing is validated then.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The seed of the weights and of the order of the examples.")] = 0,
    trial: Annotated[
        int | None, typer.Option(help="The trial of a study, as in its results.csv. By default the best one.")
    ] = None,
    tensorboard: Annotated[Path | None, typer.Option(help="A folder for logs of TensorBoard.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="The folder of the training. By default runs/train-FAMILY-DATA.")
    ] = None,
) -> None:
    """Train one configuration, or the best of a study, to the end, and export it. A stopped command continues."""
    prefer_fast_training()
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    folder = Path(family) if family not in FAMILIES and Path(family).is_dir() else None
    if folder is not None:
        train_study.check_given(given)
    else:
        check_family(family)
        if trial is not None:
            raise UserError("--trial is for the folder of a study. Pass the folder instead of the family")
    clock = Clock(None if budget is None else seconds_of(budget))
    depths = None if depth is None else str(depth)
    axes = axes_of(depths, None, norm, placement, activation, None, None, option or [], branch_scale)
    refuse_several(axes, "A training has", "Search them with bnzoo tune")
    axes |= {"weight_decay": weight_decay, "optimizer": optimizer, "momentum": momentum}
    with mistakes(ValueError, OSError, ImportError):
        with quietly():
            needs_extra("train")
            import bnzoo
        table = table_options(drop, separator, encoding)
        if folder is not None and "data" not in given:
            data = train_study.data_of(folder)
        examples = load_data(data, target, task, image_size, augment=augment if folder is None else None, **table)
        clock.check()
        output = folder or output or Path("runs") / f"train-{family}-{examples.stem}"
        options: dict[str, Any] = {"epochs": epochs, "schedule": schedule, "warmup": warmup, "precision": precision}
        options |= {"average": average, "patience": patience, "all_data": all_data, "tensorboard": tensorboard}
        run: Callable[..., Training]
        if folder is not None:
            end = clock.training_deadline  # the report follows
            run = partial(train_study.trained, folder, examples, trial, augment=augment, deadline=end)
        else:
            with quietly():
                space = space_of(family, axes).for_data(examples)
                space.check()
                values = space.completed({} if learning_rate is None else {"learning_rate": learning_rate})
                model = space.build_configuration(values, seed)
            rate = values["learning_rate"]
            run = partial(bnzoo.train, model, examples, learning_rate=rate, batch_size=batch_size, seed=seed)
            options |= {"class_weight": class_weight, "directory": output}
            options["budget"] = None if clock.deadline is None else clock.left
        console = Console(stderr=True)
        with shown(console) as progress, failures():
            try:
                training = run(**options, progress=progress)
            except KeyboardInterrupt as error:
                say("stopped. The same command continues with the last checkpoint")
                raise typer.Exit(130) from error
    typer.echo(str(training))
    assert training.artefact is not None
    print_artefact(training.artefact, output / "best.keras")
