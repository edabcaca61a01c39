"""From a model to an artefact that is there whole, and gives what the model gives, or is not there at all."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bnzoo.export import evidence, manifest, parity, signing
from bnzoo.export.image import Image
from bnzoo.export.prepare import check, check_rounding, folded, in_float32
from bnzoo.export.sample import Sample, samples
from bnzoo.export.signatures import SERVE, Signature, signatures
from bnzoo.files import whole_version
from bnzoo.metrics import metric_labelled, metric_of
from bnzoo.tools import FoldReport

PACKAGES = ("bnzoo", "keras", "numpy", "tensorflow")


@dataclass(frozen=True)
class Accuracy:
    """What an artefact has right.

    Attributes:
        before: Float, the accuracy of the model.
        after: Float, that of the artefact.
        examples: Integer, on how many examples.
        metric: String, what it is: `accuracy`, or `R²` where the truth is numbers instead of classes.
    """

    before: float
    after: float
    examples: int
    metric: str = "accuracy"

    def __str__(self) -> str:
        text = metric_labelled(self.metric).text
        return f"{self.metric} {text(self.before)} before, {text(self.after)} after, on {self.examples} examples"


@dataclass(frozen=True)
class ExportReport:
    """What was exported and how it was verified.

    Attributes:
        path: The folder of the artefact.
        format: String, `saved_model`, `onnx`, `litert` or `openvino`.
        fold: The `FoldReport`.
        difference: Float, the largest difference between an output of the model and of the artefact, relative to the
            largest output.
        tolerance: Float, what it may be at most.
        outputs: Dict of arrays, what the artefact gave for the sample in a process of its own.
        size: Integer, the bytes of all its files.
        accuracy: An `Accuracy`, or `None` where the classes of the examples are not known.
        notes: List of strings: weaknesses of the comparison, and operations that were not quantized.
    """

    path: Path
    format: str
    fold: FoldReport
    difference: float
    tolerance: float
    outputs: dict[str, np.ndarray] = field(repr=False)
    size: int
    accuracy: Accuracy | None = None
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{self.path}: {self.format}, {self.size / 1e6:.2f} MB, differs from the model by {self.difference:.1e}",
            str(self.fold),
        ]
        if self.accuracy is not None:
            lines.append(str(self.accuracy))
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)


@dataclass(frozen=True)
class Request:
    """What is asked for, whatever the format.

    Attributes:
        model: The model.
        fold: Boolean, whether batch norms are folded.
        labels: Sequence of strings, the names of the classes, or `None`.
        sample: What artefact and model are compared on, or `None`.
        truth: Array of integers, the classes of the sample's examples, or `None`.
        image: An `Image`, or `None`.
        sign: The path of a private key, or `None`.
    """

    model: keras.Model
    fold: bool = True
    labels: Sequence[str] | None = None
    sample: Any = None
    truth: np.ndarray | None = None
    image: Image | None = None
    sign: str | Path | None = None


class Plan:
    """What an artefact is to be: the model to write, and what it must answer.

    Args:
        request: The `Request`.

    Attributes:
        served: The model to write, in float32 and folded.
        fold: The `FoldReport`.
        signatures: The functions of the model that was passed, by name.
        inputs: The examples of each.
        outputs: What the model that was passed gives for them.
        sign: Function of the folder of the artefact that signs it, if it is asked for.

    Raises:
        ValueError: If the model cannot be exported so.
    """

    def __init__(self, request: Request) -> None:
        check(request.model, request.labels)
        self.sign = signing.signer(request.sign)
        if request.image is not None:
            request.image.check(request.model.inputs)
        reference = in_float32(request.model)
        self.request = request
        self.signatures = signatures(reference, request.image, request.labels)
        self.inputs = samples(reference, self.signatures, request.sample)
        self.outputs = parity.answers(self.signatures, self.inputs)
        if reference is not request.model:
            check_rounding(parity.answers(signatures(request.model), self.inputs)[SERVE], self.outputs[SERVE])
        self.served, self.fold = folded(reference, request.fold)

    def accuracy(self, outputs: dict[str, np.ndarray]) -> Accuracy | None:
        """That of the model and that of what gave these outputs."""
        truth = self.request.truth
        if truth is None:
            return None
        metric = metric_of(truth)
        before, after = (metric.of(answers, truth) for answers in (self.outputs[SERVE], outputs))
        return Accuracy(before, after, len(truth), metric.label)

    def describe(self) -> dict[str, Any]:
        """What the manifest says of it."""
        request = self.request
        return {
            "model": {"name": request.model.name, "parameters": self.served.count_params()},
            "signatures": {name: _described(s, self.outputs[name]) for name, s in self.signatures.items()},
            "labels": None if request.labels is None else [str(label) for label in request.labels],
            "image": None if request.image is None else request.image.get_config(),
            "fold": {"folded": self.fold.folded, "kept": self.fold.kept},
        }


def make(
    plan: Plan,
    path: str | Path,
    format: str,
    write: Callable[[Plan, Path], list[str] | None],
    *,
    packages: Sequence[str] = PACKAGES,
    tolerance: float = parity.TOLERANCE,
    notes: dict[str, Any] | None = None,
) -> ExportReport:
    """Writes an artefact, asks it in a process of its own, and lets it appear if it answers as the model does.

    Args:
        plan: The `Plan`.
        path: As `bnzoo.files.whole_version` takes it.
        format: String, as `runtimes.open_artefact` takes.
        write: Function of the plan and the folder to write in, which may return notes for the report.
        packages: The distributions that make it, for the manifest.
        tolerance: Float, the difference that it may have.
        notes: Dict, what else to say in the manifest.

    Returns:
        An `ExportReport`.

    Raises:
        RuntimeError: If the artefact cannot be loaded, or differs from the model beyond the tolerance. Nothing is left.
    """
    labels = plan.request.labels
    with whole_version(path) as version:
        folder = version.draft
        told = write(plan, folder) or []
        found = parity.apply(format, folder, plan.inputs)
        difference = parity.difference(plan.outputs, found, labels)
        parity.require(difference, tolerance)
        parity.keep(folder, plan.inputs, plan.outputs)
        accuracy = plan.accuracy(found[SERVE])
        verified = {"difference": difference, "tolerance": tolerance, "examples": _count(plan.inputs)}
        measured = {"parity": verified, "accuracy": None if accuracy is None else asdict(accuracy)}
        content = {"format": format, **plan.describe(), **(notes or {}), **measured}
        files = manifest.write(folder, content, packages)
        plan.sign(folder)
    size = sum(file["bytes"] for file in files.values())
    told += filter(None, [evidence.proves_nothing(plan.outputs)])
    return ExportReport(version.path, format, plan.fold, difference, tolerance, found[SERVE], size, accuracy, told)


def _count(inputs: Sample) -> int:
    return len(next(iter(inputs[SERVE].values())))


def _described(signature: Signature, outputs: dict[str, np.ndarray]) -> dict[str, Any]:
    inputs = {name: {"dtype": spec.dtype.name, "shape": list(spec.shape)} for name, spec in signature.inputs.items()}
    described = {
        name: {"dtype": "string" if o.dtype.kind in "OS" else o.dtype.name, "shape": [None, *o.shape[1:]]}
        for name, o in outputs.items()
    }
    return {"inputs": inputs, "outputs": described}
