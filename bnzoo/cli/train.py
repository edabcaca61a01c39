"""`bnzoo train`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bnzoo.cli.artefacts import print_artefact
from bnzoo.cli.console import mistakes, quietly, say
from bnzoo.cli.final import shown
from bnzoo.cli.inputs import (
    SOURCES,
    Augment,
    ClassWeight,
    Column,
    Drop,
    Encoding,
    ImageSize,
    Separator,
    TaskWord,
    load_data,
    table_options,
)
from bnzoo.cli.space import (
    FAMILIES,
    Momentum,
    Optimizer,
    Option,
    axes_of,
    check_family,
    needs_extra,
    seconds_of,
    space_of,
)


def train(
    family: Annotated[str, typer.Argument(help=f"The family of networks: {', '.join(FAMILIES)}.")] = "resnet",
    data: Annotated[str, typer.Option(help=f"{SOURCES}.")] = "digits",
    target: Column = None,
    task: TaskWord = None,
    drop: Drop = None,
    separator: Separator = None,
    encoding: Encoding = None,
    image_size: ImageSize = None,
    augment: Augment = None,
    depth: Annotated[int | None, typer.Option(help="The depth: as for bnzoo tune, but a single one.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="The highest learning rate. By default 0.1 for SGD and 0.001 for AdamW.")
    ] = None,
    norm: Annotated[str, typer.Option(help="The name of a norm, or none for no norm.")] = "batch",
    placement: Annotated[str | None, typer.Option(help="The placement: pre, post, ... as for bnzoo tune.")] = None,
    activation: Annotated[str | None, typer.Option(help="The name of an activation of Keras.")] = None,
    batch_size: Annotated[int, typer.Option(help="The number of examples in a training batch.")] = 128,
    optimizer: Optimizer = None,
    momentum: Momentum = None,
    weight_decay: Annotated[float | None, typer.Option(help="The weight decay, relative to the learning rate.")] = None,
    option: Option = None,
    epochs: Annotated[
        int | None, typer.Option(help="The number of epochs. By default 30, or as many as fit into the budget.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="The time of the training and the export: 90s, 10m, 2h.")] = None,
    schedule: Annotated[
        str, typer.Option(help="The learning rate in the training: warmup_cosine, half_cosine or constant.")
    ] = "warmup_cosine",
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
    tensorboard: Annotated[Path | None, typer.Option(help="A folder for logs of TensorBoard.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="The folder of the training. By default runs/train-FAMILY-DATA.")
    ] = None,
) -> None:
    """Train one configuration to the end, and export the model. A stopped command continues where it was."""
    check_family(family)
    seconds = None if budget is None else seconds_of(budget)
    axes = axes_of(None if depth is None else str(depth), None, norm, placement, activation, None, None, option or [])
    axes |= {"weight_decay": weight_decay, "optimizer": optimizer, "momentum": momentum}
    with mistakes(ValueError, OSError, ImportError):
        with quietly():
            needs_extra("train")
            import bnzoo
        table = table_options(drop, separator, encoding)
        examples = load_data(data, target, task, image_size, augment=augment, **table)
        output = output or Path("runs") / f"train-{family}-{examples.stem}"
        with quietly():
            space = space_of(family, axes).for_data(examples)
            space.check()
            rate = space.optimizer.defaults.learning_rate if learning_rate is None else learning_rate
            model = space.build_configuration({**next(space.grid()), "learning_rate": rate}, seed)
        console = Console(stderr=True)
        with shown(console) as progress:
            try:
                training = bnzoo.train(
                    model,
                    examples,
                    learning_rate=rate,
                    epochs=epochs,
                    budget=seconds,
                    batch_size=batch_size,
                    schedule=schedule,
                    precision=precision,
                    average=average,
                    patience=patience,
                    class_weight=class_weight,
                    all_data=all_data,
                    seed=seed,
                    directory=output,
                    tensorboard=tensorboard,
                    progress=progress,
                )
            except KeyboardInterrupt as error:
                say("stopped. The same command continues with the last checkpoint")
                raise typer.Exit(130) from error
            except RuntimeError as error:
                say(str(error))
                raise typer.Exit(1) from error
    typer.echo(str(training))
    assert training.artefact is not None
    print_artefact(training.artefact, output / "best.keras")
