"""`bnzoo rate`."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bnzoo.cli.console import UserError, mistakes, prefer_fast_training, quietly
from bnzoo.cli.inputs import (
    Augment,
    Column,
    Drop,
    Encoding,
    ImageSize,
    Separator,
    TaskWord,
    TrainingData,
    check_folder,
    check_suffix,
    load_compiled,
    load_data,
    load_examples,
    table_options,
)
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
    numbers,
    refuse_several,
    space_of,
)
from bnzoo.cli.waiting import waiting

if TYPE_CHECKING:
    import keras

    from bnzoo.data import Dataset
    from bnzoo.tuning import RateTest

# the rate of an optimizer before the test, which replaces it
_ANY = 1e-3


def rate(
    model: Annotated[
        str, typer.Argument(help=f"The family of networks: {', '.join(FAMILIES)}; or a file saved by Keras, IN.keras.")
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
        str | None, typer.Option(help="Depths separated by commas. By default those of bnzoo tune.")
    ] = None,
    norm: Annotated[
        str | None,
        typer.Option(help="Names of norms, or none for no norm: batch,group,none. By default those of bnzoo tune."),
    ] = None,
    placement: Placement = None,
    branch_scale: BranchScale = None,
    activation: Activation = None,
    batch_size: BatchSize = None,
    optimizer: Optimizer = None,
    momentum: Momentum = None,
    weight_decay: WeightDecay = None,
    option: Option = None,
    seed: Annotated[int, typer.Option(help="The seed of the weights and of the orders of the examples.")] = 0,
    output: Annotated[
        Path | None, typer.Option(help="A picture (.png, .svg) or a table (.csv) of the losses to write.")
    ] = None,
) -> None:
    """Find the usable learning rates in seconds: a training in which the rate rises with each step."""
    prefer_fast_training()
    if output is not None:
        check_suffix("--output", output, ".png", ".svg", ".csv")
        check_folder(output)
    of_family: dict[str, Any] = {"depth": depth, "norm": norm, "placement": placement, "branch-scale": branch_scale}
    of_family |= {"activation": activation, "option": option}
    is_file = model not in FAMILIES and (Path(model).suffix == ".keras" or Path(model).exists())
    if not is_file:
        check_family(model)
    elif given := [name for name, value in of_family.items() if value]:
        raise UserError(f"--{given[0]} is for a family of networks, but {model} is a file. Leave it out")
    axes = axes_of(None, None, norm, placement, activation, None, None, option or [], branch_scale)
    refuse_several(axes, "A range test has several depths and norms, but", "Run the command once for each", ("norms",))
    if depth:
        axes["depths"] = numbers("--depth", depth, ",", int, "whole numbers separated by commas: 8,14,20")
    chosen: dict[str, Any] = {"optimizer": optimizer, "momentum": momentum, "weight_decay": weight_decay}
    with mistakes(ValueError, OSError, ImportError):
        with quietly():
            needs_extra("rate")
        options = {"augment": augment, **table_options(drop, separator, encoding)}
        if is_file:
            network = load_compiled(Path(model))
            examples = load_examples(network, data, target, task, image_size, **options)
            run = partial(_of_model, network, examples, batch_size, seed, **chosen)
        else:
            from bnzoo.training.options import default_batch_size

            examples = load_data(data, target, task, image_size, **options)
            usual = default_batch_size(len(examples.train.x))
            axes |= {"batch_size": usual if batch_size is None else batch_size, **chosen}
            run = partial(_of_family, model, axes, examples, seed)
        tests = []
        running = iter(run())
        while True:
            with waiting("training with rising rates"):
                test = next(running, None)
            if test is None:
                break
            typer.echo(str(test))
            tests.append(test)
        if output is not None:
            _write(tests, output)
            typer.echo(output)
    if not any(test.interval for test in tests):
        raise typer.Exit(1)


def _of_model(
    model: "keras.Model",
    data: "Dataset",
    batch_size: int | None,
    seed: int,
    optimizer: str | None,
    momentum: float | None,
    weight_decay: float | None,
) -> Iterator["RateTest"]:
    """Yield the test of a model, with its optimizer unless another one is given."""
    from bnzoo.training.precision import FLOAT32
    from bnzoo.training.recipe import recipe_of
    from bnzoo.tuning import rate_test

    if not model.compiled or (optimizer, momentum, weight_decay) != (None, None, None):
        model = recipe_of(model, data, _ANY, optimizer, momentum, weight_decay).compile(model, FLOAT32)
    yield rate_test(model, data, batch_size=batch_size, seed=seed)


def _of_family(family: str, axes: dict[str, Any], data: "Dataset", seed: int) -> Iterator["RateTest"]:
    """Yield the test of each depth and norm."""
    from bnzoo.tuning.rising_rates import each_test

    with quietly():
        space = space_of(family, axes)
    yield from each_test(space, data, {}, seed=seed)


def _write(tests: list["RateTest"], path: Path) -> None:
    """Write a picture, or a table of all steps."""
    if path.suffix == ".csv":
        import pandas as pd

        from bnzoo.files import write_text

        tables = pd.concat({test.name: test.table() for test in tests}, names=["network"])
        write_text(path, tables.droplevel(1).to_csv())
        return
    from bnzoo.reports.rates import write_rates

    write_rates(tests, path)
