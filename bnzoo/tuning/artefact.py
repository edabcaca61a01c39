"""What a study ships: the best model as a SavedModel, with figures that are the SavedModel's own."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import keras

from bnzoo import export, tools
from bnzoo.data import Dataset
from bnzoo.export.artefact import accuracy_of, in_words, metric_of
from bnzoo.files import write_text


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
        return f"{self.metric} {in_words(self.test_accuracy, self.metric)}"

    def save(self, path: Path) -> None:
        """Writes the figures as JSON."""
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Artefact":
        """Reads the figures."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


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
    test = data.test
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
        test_accuracy=accuracy_of(outputs, test.y),
        test_examples=len(test.y),
        difference=difference,
        norms_folded=len(fold.folded),
        norms_kept=fold.kept,
        metric=metric_of(test.y),
        encoder=encoder,
    )


def _keep_encoder(data: Dataset, path: Path) -> str | None:
    """Writes how a table becomes the model's input, before the artefact that is of no use without it."""
    if data.encoder is None:
        return None
    file = path.parent / "encoder.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    data.encoder.save(file)
    return str(file)
