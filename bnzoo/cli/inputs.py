"""What several commands are given: a model, data."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import bnzoo
from bnzoo.cli.console import UserError, mistakes, quietly, say

if TYPE_CHECKING:
    import keras

    from bnzoo.data import Dataset

Source = Annotated[Path, typer.Argument(metavar="IN.keras", help="The model, as Keras saved it.")]
SOURCES = (
    "digits, wine, breast_cancer, diabetes; cifar10, cifar100, mnist, fashion_mnist (downloaded); an .npz file with x "
    "and y; a .csv or .parquet table; a folder of image folders"
)
Data = Annotated[str, typer.Option(help=f"{SOURCES}; scaled as the model takes it.")]
Column = Annotated[str | None, typer.Option("--target", help="The column of a table that is to be predicted.")]
TaskWord = Annotated[
    str | None,
    typer.Option("--task", help="classification or regression, where a table's target does not tell which is meant."),
]
ImageSize = Annotated[
    int | None, typer.Option(min=1, max=8192, help="Resize the images of a folder to this side, at most 8192.")
]


def load(path: Path) -> "keras.Model":
    """A model that Keras has saved, not compiled."""
    with quietly(), mistakes(ValueError, OSError):
        return bnzoo.load_model(path, compile=False)


def load_data(name: str, target: str | None, task: str | None, image_size: int | None) -> "Dataset":
    """Data by the words of the command line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        with quietly(), mistakes(ValueError, OSError, ImportError):
            examples = bnzoo.data.load(name, target=target, task=task, image_size=image_size)
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            say(f"warning: {warning.message}")
    return examples


def load_examples(
    model: "keras.Model", name: str, target: str | None, task: str | None, image_size: int | None
) -> "Dataset":
    """The data, if the model takes it."""
    examples = load_data(name, target, task, image_size)
    taken = [tuple(tensor.shape[1:]) for tensor in getattr(model, "inputs", None) or ()]
    if taken and not (len(taken) == 1 and _fits(examples.input_shape, taken[0])):
        hint = "; --image-size resizes images" if Path(name).is_dir() else ""
        raise UserError(
            f"The model takes an input of shape {' and one of shape '.join(map(str, taken))}, the examples of {name} "
            f"have the shape {examples.input_shape}{hint}"
        )
    return examples


def _fits(shape: tuple[int, ...], taken: tuple[int | None, ...]) -> bool:
    return len(shape) == len(taken) and all(b in (None, a) for a, b in zip(shape, taken, strict=True))


def check_folder(path: Path) -> None:
    """Refuses a file that cannot be made where it is to be."""
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent}; make it first, or choose another")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"Nothing may be written in the folder {path.parent}; choose another")
