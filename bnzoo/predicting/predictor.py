"""A model or an artefact that answers batches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bnzoo.data import TableEncoder
from bnzoo.export import image as images
from bnzoo.export import manifest
from bnzoo.export.formats import FORMATS
from bnzoo.export.prepare import check
from bnzoo.export.rows import encoder_file
from bnzoo.export.runtimes import open_artefact
from bnzoo.export.signatures import Signature, signatures
from bnzoo.files import version_numbers
from bnzoo.tools import load_model
from bnzoo.tools.dtypes import in_float32

Arrays = dict[str, np.ndarray]


class Input(NamedTuple):
    """An input of a signature.

    Attributes:
        dtype: String, the name of the type.
        shape: Tuple of integers, `None` for a free size.
    """

    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Predictor:
    """A model or an artefact that answers batches.

    Attributes:
        path: The file of the model, or the folder of the artefact.
        run: Function of a dict of arrays by input name and of the name of a signature that returns a dict of arrays by
            output name. Strings are bytes.
        inputs: Dict of `Input`s by name, by signature.
        labels: List of strings, the names of the classes, or `None`.
        encoder: The `TableEncoder` of an artefact that was trained on a table, else `None`.
    """

    path: Path
    run: Callable[..., Arrays]
    inputs: Mapping[str, Mapping[str, Input]]
    labels: Sequence[str] | None = None
    encoder: TableEncoder | None = None

    def __call__(self, arrays: Arrays, signature: str) -> Arrays:
        """Return the outputs for a batch.

        Raises:
            ValueError: If the model refuses the values.
        """
        try:
            return self.run(arrays, signature)
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(f"{self.path} does not take these values: {error.message}") from error


def open_predictor(path: Path, image: str | None = None, labels: Sequence[str] | None = None) -> Predictor:
    """Load a model or an artefact. An artefact runs with all rights of the user.

    Args:
        path: A `.keras` file; or the folder of an artefact, of its versions, or of a study.
        image: String, the scaling of images in the training of a `.keras` file, as in `bnzoo.export.saved_model`.
        labels: Sequence of strings, the names of the classes of a `.keras` file.

    Raises:
        FileNotFoundError: If there is no such file, or no artefact in the folder.
        ValueError: If the model or the artefact is damaged, or an argument does not fit it.
        ImportError: If the packages of the format are not installed.
    """
    if not path.is_dir():
        return _of_model(path, image, labels)
    given = [name for name, value in (("image", image), ("labels", labels)) if value is not None]
    if given:
        raise ValueError(f"`{given[0]}` is for a .keras file. {path} is an artefact, which has its own. Leave it out")
    return _of_artefact(_artefact(path))


def _of_model(path: Path, image: str | None, labels: Sequence[str] | None) -> Predictor:
    model = load_model(path, compile=False)
    check(model, labels)
    scaling = images.get(image)
    if scaling is not None:
        scaling.check(model.inputs)
    offered = signatures(in_float32(model), scaling, labels)
    compiled: dict[str, Any] = {}

    def run(inputs: Arrays, signature: str) -> Arrays:
        if signature not in compiled:
            compiled[signature] = _compiled(offered[signature])
        outputs = compiled[signature](**{name: tf.constant(values) for name, values in inputs.items()})
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    inputs = {
        name: {key: Input(spec.dtype.name, tuple(spec.shape)) for key, spec in signature.inputs.items()}
        for name, signature in offered.items()
    }
    return Predictor(path, run, inputs, labels)


def _compiled(signature: Signature) -> Any:
    return tf.function(signature.call, autograph=False).get_concrete_function(**signature.inputs)


def _artefact(path: Path) -> Path:
    """Return the folder of an artefact: the folder itself, its latest version, or that of a study."""
    for folder in (path, path / "best"):
        numbers = sorted(version_numbers(folder), reverse=True)
        for artefact in (folder, *(folder / str(number) for number in numbers)):
            if (artefact / manifest.NAME).exists():
                return artefact
    raise FileNotFoundError(
        f"{path} contains no artefact, which is a folder with a file {manifest.NAME}. Export the model first, or pass "
        "its .keras file"
    )


def _of_artefact(folder: Path) -> Predictor:
    document = manifest.read(folder)
    if problems := manifest.mismatches(folder, document):
        raise ValueError(f"{problems[0]}. Export the model again")
    if document["format"] in FORMATS:
        FORMATS[document["format"]].require()
    try:
        run = open_artefact(document["format"], folder)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # each runtime has errors of its own
        raise ValueError(f"{folder} cannot be loaded: {error}. Export the model again") from error
    return Predictor(folder, run, _inputs(folder, document), document["labels"], _encoder(folder))


def _inputs(folder: Path, document: dict[str, Any]) -> dict[str, dict[str, Input]]:
    try:
        return {
            name: {key: Input(str(spec["dtype"]), tuple(spec["shape"])) for key, spec in signature["inputs"].items()}
            for name, signature in document["signatures"].items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / manifest.NAME} is damaged: `signatures` must have the type and shape of each input"
        ) from error


def _encoder(folder: Path) -> TableEncoder | None:
    path = encoder_file(folder)
    return TableEncoder.load(path) if path.exists() else None
