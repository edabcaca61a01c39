"""What a study ships: the best model as a SavedModel, with figures that are the SavedModel's own."""

from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path, PurePath
from typing import Any

import keras

from bnzoo import export, tools
from bnzoo.data import Dataset
from bnzoo.export import manifest
from bnzoo.files import write_text
from bnzoo.json_text import json_text
from bnzoo.metrics import METRICS, metric_labelled, metric_of
from bnzoo.reading import read_json
from bnzoo.tuning.folder import removable

ENCODER = "encoder.json"
# the types that JSON may have for each field
_KINDS: dict[str, type | tuple[type, ...]] = {
    "path": str,
    "trial": int,
    "test_accuracy": (int, float),
    "test_examples": int,
    "difference": (int, float),
    "norms_folded": int,
    "norms_kept": dict,
    "metric": str,
    "encoder": (str, type(None)),
}


@dataclass(frozen=True)
class Artefact:
    """What a study ships.

    Attributes:
        path: The folder of the SavedModel.
        trial: Integer, the trial that it comes from.
        test_accuracy: Float, on the test data, of the SavedModel itself in a process with TensorFlow only: the share of
            examples that it has right, or R² of a regression.
        test_examples: Integer.
        difference: Float, the largest difference from the model's outputs, relative to the largest of them.
        norms_folded: Integer, how many batch norms are folded.
        norms_kept: Dict, the batch norms that are not, with the reason.
        metric: String, what `test_accuracy` is: `accuracy` or `R²`.
        encoder: The JSON file with which `bnzoo.data.TableEncoder` makes the SavedModel's input of the columns of a
            table; `None` where the data is no table with columns.
    """

    path: str
    trial: int
    test_accuracy: float
    test_examples: int
    difference: float
    norms_folded: int
    norms_kept: dict[str, str]
    metric: str = "accuracy"
    encoder: str | None = None

    def __str__(self) -> str:
        return f"{self.path}: test {self.finding} on {self.test_examples} examples"

    @property
    def finding(self) -> str:
        """What it reaches on the test data, in words."""
        return f"{self.metric} {metric_labelled(self.metric).text(self.test_accuracy)}"

    def check(self) -> None:
        """Raise `RuntimeError` if the files of the artefact are not what their checksums say, or some are missing."""
        folder = Path(self.path)
        try:
            problems = manifest.mismatches(folder, manifest.read(folder))
        except (ValueError, OSError) as error:
            problems = [str(error)]
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise RuntimeError(
                f"{folder} is damaged: {problems[0]}{more}. Remove the folder, and the same study, run again, "
                "exports the model anew"
            )

    def save(self, path: Path) -> None:
        """Write the figures as JSON."""
        write_text(path, json_text(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> "Artefact":
        """Read the figures.

        Args:
            path: The `export.json` in the folder of a study. The artefact is one of the versions in `best` beside it,
                wherever that folder is now: of the path in the file only the version is taken.

        Raises:
            ValueError: If the file is no such note; the message names it.
        """
        with removable():
            return read_json(
                path, "the note on an artefact", lambda found: cls(**_checked(found, path.parent / "best"))
            )


def _checked(found: Any, versions: Path) -> dict[str, Any]:
    """Return the fields that were read, if they are those of an artefact among these versions."""
    known = {field.name: field for field in fields(Artefact)}
    if not isinstance(found, dict) or not found.keys() <= known.keys():
        raise ValueError(f"it must be an object with the fields {', '.join(known)}")
    for name, field in known.items():
        if name not in found and field.default is not MISSING:
            continue
        value, kinds = found.get(name), _KINDS[name]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(f"its field {name!r} is missing or of another type")
    if not all(isinstance(reason, str) for reason in found["norms_kept"].values()):
        raise ValueError("its field 'norms_kept' must have strings")
    if found.get("metric", "accuracy") not in (labels := [metric.label for metric in METRICS]):
        raise ValueError(f"its field 'metric' must be one of {', '.join(labels)}")
    version = PurePath(found["path"]).name
    if not version.isdecimal():
        raise ValueError(f"its field 'path' must be a version in {versions}")
    encoder = found.get("encoder") and str(versions / ENCODER)
    return {**found, "path": str(versions / version), "encoder": encoder}


def ship(model: keras.Model, trial: int, data: Dataset, path: Path) -> Artefact:
    """Exports a model, or finds it exported, and measures it on the test data.

    Args:
        model: The model, ending in logits.
        trial: The trial that it comes from.
        data: The `Dataset`.
        path: The SavedModel's folder. One that is there is compared with the model anew: a study that was killed
            between the renaming of the artefact and the note on it finds the one without the other.

    Raises:
        RuntimeError: If the artefact cannot be used, or differs from the model.
    """
    test, metric = data.test, metric_of(data.test.y)
    encoder = _keep_encoder(data, path)
    if path.exists():
        difference, outputs = export.compare(model, path, test.x)
        _, fold = tools.fold_batch_norm(model)
    else:
        report = export.saved_model(model, path, labels=data.labels or None, sample=test.x)
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
        encoder=encoder,
    )


def _keep_encoder(data: Dataset, path: Path) -> str | None:
    """Writes how a table becomes the model's input, before the artefact that is of no use without it."""
    if data.encoder is None:
        return None
    file = path.parent / ENCODER
    file.parent.mkdir(parents=True, exist_ok=True)
    data.encoder.save(file)
    return str(file)
