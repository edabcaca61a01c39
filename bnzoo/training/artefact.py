"""The artefact of a trained model: a SavedModel, with the test accuracy of the SavedModel itself."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path, PurePath
from typing import Any

import keras
import numpy as np

from bnzoo import export, tools
from bnzoo.data import Dataset, TableEncoder
from bnzoo.data.augment import in_words
from bnzoo.errors import DamagedError
from bnzoo.export import manifest, rows
from bnzoo.export.image import is_image
from bnzoo.files import version_numbers, write_text
from bnzoo.json_text import json_number, json_text
from bnzoo.metrics import METRICS, metric_for, metric_labelled
from bnzoo.reading import read_json
from bnzoo.training.files import NOTE, VERSIONS, replaceable
from bnzoo.training.measures import Measures, measure
from bnzoo.training.tasks import with_named_output

# the allowed JSON types of each field
_KINDS: dict[str, type | tuple[type, ...]] = {
    "path": str,
    "trial": (int, type(None)),
    "test_accuracy": float,
    "test_examples": int,
    "difference": float,
    "norms_folded": int,
    "norms_kept": dict,
    "metric": str,
    "encoder": (str, type(None)),
    "measures": dict,
    "training": (dict, type(None)),
}

_REMEDY = "Remove the folder, then run the same study or training again to export the model again."


@dataclass(frozen=True)
class Artefact:
    """The artefact of a trained model, such as the best one of a study: a SavedModel.

    The SavedModel of a model of images of 8 bits takes image files and pixels of any size too.

    Attributes:
        path: String, the folder of the SavedModel.
        trial: Integer, the trial of the model; `None` if it was trained without a study.
        test_accuracy: Float, the accuracy on the test data; the mean average precision of several labels an example,
            or R² of a regression. The SavedModel itself computes it in a process with TensorFlow only.
        test_examples: Integer, the number of test examples.
        difference: Float, the largest difference from the model's outputs, relative to the largest output.
        norms_folded: Integer, the number of folded batch norms.
        norms_kept: Dict, the batch norms that are not folded, with the reason.
        metric: String, the metric in `test_accuracy`: `accuracy`, `mean average precision` or `R²`.
        encoder: String, the JSON file for `bnzoo.data.TableEncoder`, which encodes the columns of a table as the input
            of the signature `serve`; `None` if the data is not a table. The signature `serve_rows` takes the columns.
        measures: `Measures`, all metrics of the model on the validation data, and of the SavedModel on the test data,
            with intervals. Empty for an artefact of an earlier version of bnzoo.
        training: Dict, the description of the training of the model; `None` for the model of a trial.
    """

    path: str
    trial: int | None
    test_accuracy: float
    test_examples: int
    difference: float
    norms_folded: int
    norms_kept: dict[str, str]
    metric: str = "accuracy"
    encoder: str | None = None
    measures: Measures = field(default_factory=Measures)
    training: dict[str, Any] | None = None

    def __str__(self) -> str:
        return f"{self.path}: test {self.finding} on {self.test_examples} examples"

    @property
    def finding(self) -> str:
        """The metric on the test data, with its name and its interval."""
        metric = metric_labelled(self.metric)
        found = self.measures.test.get(metric.name)
        return f"{self.metric} {metric.text(self.test_accuracy) if found is None else found.text(metric)}"

    @property
    def augmentation(self) -> str:
        """The augmentation of the training, as words for the end of a phrase; empty for none."""
        return in_words((self.training or {}).get("data", {}).get("augment", ()))

    def check(self) -> None:
        """Raise `DamagedError` if files of the artefact are missing or do not match their checksums."""
        folder = Path(self.path)
        if problems := _problems(folder):
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise DamagedError(f"{folder} is damaged: {problems[0]}{more}. {_REMEDY}")

    def save(self, path: Path) -> None:
        """Write the attributes as JSON."""
        write_text(path, json_text(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> "Artefact":
        """Read the attributes.

        Args:
            path: The file `export.json` in the folder of a study. The artefact is one of the versions in the folder
                `best` next to it. Only the version is taken from the path in the file, as the folder may have moved.

        Raises:
            ValueError: If the file is damaged. The message names it.
        """
        with replaceable():
            return read_json(
                path, "the description of an artefact", lambda values: cls(**_checked(values, path.parent / VERSIONS))
            )


def _problems(folder: Path) -> list[str]:
    """Return a sentence for each file of a SavedModel that is missing or does not match its checksum."""
    try:
        return manifest.mismatches(folder, manifest.read(folder))
    except (ValueError, OSError) as error:
        return [str(error)]


def _checked(values: Any, versions: Path) -> dict[str, Any]:
    """Return the attributes of an artefact in a folder of versions. Raise `ValueError` if they are invalid."""
    known = {attribute.name: attribute for attribute in fields(Artefact)}
    if not isinstance(values, dict) or not values.keys() <= known.keys():
        raise ValueError(f"it must be an object with the fields {', '.join(known)}")
    for name, attribute in known.items():
        if name not in values and not attribute.default is attribute.default_factory is MISSING:
            continue
        value, kinds = values.get(name), _KINDS[name]
        if kinds is float:
            with suppress(TypeError, OverflowError):
                value = values[name] = json_number(value)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(f"its field {name!r} is missing or has the wrong type")
    if not all(isinstance(reason, str) for reason in values["norms_kept"].values()):
        raise ValueError("the values of its field 'norms_kept' must be strings")
    if values.get("metric", "accuracy") not in (labels := [metric.label for metric in METRICS]):
        raise ValueError(f"its field 'metric' must be one of {', '.join(labels)}")
    version = PurePath(values["path"]).name
    if not version.isdecimal():
        raise ValueError(f"its field 'path' must be a version in {versions}")
    encoder = values.get("encoder") and str(rows.encoder_file(versions / version))
    measures = Measures()
    if "measures" in values:
        try:
            measures = Measures.from_dict(values["measures"])
        except ValueError as error:
            raise ValueError(f"its field 'measures' is wrong: {error}") from error
    return {**values, "path": str(versions / version), "encoder": encoder, "measures": measures}


def has_encoder(path: Path, encoder: TableEncoder | None) -> bool:
    """Return whether the SavedModel in a folder was written with an encoder, or without one for `None`.

    Tables that differ in a name, a word or the form of a date can have the same features, and so the same model.
    """
    file = rows.encoder_file(path)
    try:
        return (TableEncoder.load(file) if file.exists() else None) == encoder
    except ValueError:  # it is damaged
        return False


def export_once(
    load: Callable[[], keras.Model],
    trial: int | None,
    data: Dataset,
    folder: Path,
    training: dict[str, Any] | None = None,
) -> Artefact:
    """Return the artefact of a trial, and export its model if that has not been done before with this encoder.

    Args:
        load: Function without arguments that returns the model.
        trial: Integer, the trial; `None` if there is no study.
        data: The `Dataset`.
        folder: The folder of the study or of the training.
        training: Dict, the description of the training of the model. With `None`, the artefact of the trial may be
            that of any training.

    Raises:
        RuntimeError: If the artefact is damaged, or differs from the model.
        ValueError: If the description of an earlier artefact is damaged.
    """
    note, versions = folder / NOTE, folder / VERSIONS
    newest = max(version_numbers(versions), default=0)
    # without a description: a process that was killed before it wrote one may have written the newest version
    path, following = versions / str(newest or 1), versions / str(newest + 1)
    if note.exists():
        artefact = Artefact.load(note)
        same = artefact.trial == trial and training in (None, artefact.training)
        if same and Path(artefact.path).exists():
            artefact.check()
            if has_encoder(Path(artefact.path), data.encoder):
                return artefact
        # the study has found a better trial since, or trained its model to the end, or the table has other names or
        # words: the model becomes the next version
        path = following
    elif not has_encoder(path, data.encoder):
        path = following
    model = load()
    try:
        artefact = export_model(model, trial, data, path)
    except DamagedError:
        if _problems(path):
            raise
        # the version is whole, but has another model: the study has found a better trial since
        artefact = export_model(model, trial, data, following)
    artefact = replace(artefact, training=training)
    artefact.save(note)
    return artefact


def export_model(model: keras.Model, trial: int | None, data: Dataset, path: Path) -> Artefact:
    """Export a model as a SavedModel and evaluate it on the test data.

    Args:
        model: The model, whose outputs are logits, probabilities or numbers.
        trial: Integer, the trial of the model, or `None`.
        data: The `Dataset`.
        path: The folder of the SavedModel. If it exists, its SavedModel is compared with the model again: a study may
            have been killed after it renamed this folder and before it wrote the description.

    Raises:
        RuntimeError: If the SavedModel cannot be used, or differs from the model.
    """
    served = with_named_output(model, data.task)
    test, metric = data.test, metric_for(data.task)
    if path.exists():
        try:
            difference, outputs = export.compare(served, path, test.x)
        except RuntimeError as error:
            raise DamagedError(
                f"{path} could not be verified as the SavedModel of the model: {error}. {_REMEDY}"
            ) from error
        _, fold = tools.fold_batch_norm(served)
    else:
        options: dict[str, Any] = {
            "labels": data.names_of_outputs or None,
            "sample": test.x,
            "truth": test.y,
            "image": image_of(data),
            "encoder": data.encoder,
        }
        report = export.saved_model(served, path, **options)
        difference, outputs, fold = report.difference, report.outputs, report.fold
    return Artefact(
        path=str(path),
        trial=trial,
        test_accuracy=metric.of(outputs, test.y),
        test_examples=len(test.y),
        difference=difference,
        norms_folded=len(fold.folded),
        norms_kept=fold.kept,
        metric=metric.label,
        encoder=None if data.encoder is None else str(rows.encoder_file(path)),
        measures=measure(model, outputs, data),
    )


def image_of(data: Dataset) -> export.Image | None:
    """Return the scaling of the images of the training, in which a server reads files too; `None` for other data.

    Models take the levels of the files. Those of numbers of another type than 8 bits are unknown.
    """
    return export.Image() if data.train.x.dtype == np.uint8 and is_image(data.input_shape) else None
