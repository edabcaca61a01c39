"""The arguments that several commands share: a model, data."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import bnzoo
from bnzoo.cli.console import UserError, mistakes, quietly, say
from bnzoo.cli.waiting import waiting
from bnzoo.files import check_replaceable

if TYPE_CHECKING:
    import keras

    from bnzoo.data import Dataset


def between(least: int, most: int) -> Callable[[int | None], int | None]:
    """Return a check that a number is in a range, which is too long to be shown with the type of an option."""

    def check(value: int | None) -> int | None:
        if value is not None and not least <= value <= most:
            raise typer.BadParameter(f"{value} is not in the range from {least} to {most}.")
        return value

    return check


Source = Annotated[Path, typer.Argument(metavar="IN.keras", help="The model, a file saved by Keras.")]
SOURCES = (
    "digits, wine, breast_cancer, diabetes; cifar10, cifar100, mnist, fashion_mnist (downloaded); an .npz file with x "
    "and y; a folder with x.npy and y.npy; a .csv or .parquet table; a folder with a folder of images for each class"
)
Data = Annotated[str, typer.Option(help=f"{SOURCES}; scaled as in training.")]
TrainingData = Annotated[str, typer.Option(help=f"{SOURCES}.")]
Column = Annotated[
    list[str] | None,
    typer.Option("--target", metavar="COLUMN", help="The column of a table to predict. Repeatable, for several."),
]
TaskWord = Annotated[
    str | None,
    typer.Option("--task", help="classification, multilabel or regression, if the target leaves that open."),
]
Drop = Annotated[
    list[str] | None, typer.Option("--drop", metavar="COLUMN", help="A column of a table to leave out. Repeatable.")
]
Separator = Annotated[
    str | None,
    typer.Option("--separator", help="The separator of a .csv table, \\t for a tab. By default it is found."),
]
Encoding = Annotated[
    str | None,
    typer.Option("--encoding", help="The encoding of a .csv table, such as latin-1 or utf-16. By default it is found."),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        callback=between(1, 8192), help="The height and width to which images of a folder are resized, at most 8192."
    ),
]

Augment = Annotated[
    str | None,
    typer.Option(
        help="Random changes of the training images: flip, crop, rotation, erasing, color, randaugment, mixup, "
        "cutmix. Several are applied: flip,crop. By default none; in the training of a study crop."
    ),
]
ClassWeight = Annotated[
    str | None,
    typer.Option(help="balanced: all classes weigh the same in the loss, however many examples they have."),
]


def load(path: Path) -> "keras.Model":
    """Load a model without compiling it."""
    with quietly(), mistakes(ValueError, OSError):
        return bnzoo.load_model(path, compile=False)


def check_suffix(argument: str, path: Path, *suffixes: str) -> None:
    """Raise `UserError` if a file name does not end in one of some suffixes."""
    if path.suffix not in suffixes:
        *others, last = suffixes
        known = f"{', '.join(others)} or {last}" if others else last
        raise UserError(f"{argument} must be a file name that ends in {known}. Received: {path}")


def load_compiled(path: Path) -> "keras.Model":
    """Load a model with its loss and the steps of its optimizer, or without if these need code that is missing."""
    with quietly(), suppress(ValueError, OSError):
        return bnzoo.load_model(path)
    return load(path)


def table_options(drop: list[str] | None, separator: str | None, encoding: str | None) -> dict[str, Any]:
    """Return the arguments of `bnzoo.data.load` for these options."""
    return {"drop": drop or (), **csv_options(separator, encoding)}


def csv_options(separator: str | None, encoding: str | None) -> dict[str, Any]:
    """Return the arguments of a reader of CSV tables for these options."""
    return {"separator": "\t" if separator == r"\t" else separator, "encoding": encoding}


def load_data(
    name: str, target: list[str] | None, task: str | None, image_size: int | None, workers: int = 1, **options: Any
) -> "Dataset":
    """Load the data that the command line names.

    Each of several workers may hold its share of the examples that fit into memory. More are in a file, which they all
    use. The options are further arguments of `bnzoo.data.load`.
    """
    with shown_warnings(), waiting(f"reading {name}"), quietly(), mistakes(ValueError, OSError, ImportError):
        if workers > 1:
            from bnzoo.data.store import memory_limit

            options["max_memory"] = memory_limit(None) / workers
        return bnzoo.data.load(name, target=target or None, task=task, image_size=image_size, **options)


@contextmanager
def shown_warnings() -> Iterator[None]:
    """Print the warnings of the block about the data, a line each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        finally:
            for warning in caught:
                if issubclass(warning.category, UserWarning):
                    say(f"warning: {warning.message}")


def load_examples(
    model: "keras.Model", name: str, target: list[str] | None, task: str | None, image_size: int | None, **options: Any
) -> "Dataset":
    """Load the data that the command line names, and check that it fits the model."""
    examples = load_data(name, target, task, image_size, **options)
    taken = [tuple(tensor.shape[1:]) for tensor in getattr(model, "inputs", None) or ()]
    if taken and not (len(taken) == 1 and _fits(examples.input_shape, taken[0])):
        hint = ". Resize the images with --image-size" if Path(name).is_dir() else ""
        raise UserError(
            f"The examples of {name} have the shape {examples.input_shape}, but the model takes inputs of the shape "
            f"{' and '.join(map(str, taken))}{hint}"
        )
    return examples


def _fits(shape: tuple[int, ...], taken: tuple[int | None, ...]) -> bool:
    return len(shape) == len(taken) and all(b in (None, a) for a, b in zip(shape, taken, strict=True))


def check_folder(path: Path) -> None:
    """Check that a file can be made in its folder.

    Raises:
        UserError: If it is a folder, a device or a pipe itself, or its folder does not exist or is not writable.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder. Choose a file in it")
    if not path.parent.is_dir():
        raise UserError(f"The folder {path.parent} does not exist. Make it first, or choose another one")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"The folder {path.parent} is not writable. Choose another one")
    with mistakes(OSError):
        check_replaceable(path)
