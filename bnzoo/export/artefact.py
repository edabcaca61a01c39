"""From a model to an artefact that is complete and agrees with the model, or does not exist."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bnzoo.export import evidence, manifest, parity, rows, signing
from bnzoo.export.formats.record import SERVE, Format
from bnzoo.export.image import Image
from bnzoo.export.prepare import check, check_rounding, folded
from bnzoo.export.report import Accuracy, ExportReport
from bnzoo.export.sample import Sample, samples
from bnzoo.export.signatures import SERVE_ROWS, Signature, signatures
from bnzoo.files import whole_version
from bnzoo.metrics import measured, metric_of, predictions_of
from bnzoo.tools.dtypes import in_float32

# the distributions that make every artefact
_PACKAGES = ("bnzoo", "keras", "numpy", "tensorflow")


@dataclass(frozen=True)
class Request:
    """The arguments of an export in any format.

    Attributes:
        model: The model.
        fold: Boolean, whether batch norms are folded.
        labels: Sequence of strings, the names of the classes, or `None`.
        sample: Array, or dict of arrays by input name, the examples on which artefact and model are compared; `None`
            to draw them.
        truth: Array, the classes or targets of these examples, or `None`.
        image: An `Image`, or `None`.
        encoder: A `bnzoo.data.TableEncoder`, or `None`.
        sign: The path of a private key, or `None`.
    """

    model: keras.Model
    fold: bool = True
    labels: Sequence[str] | None = None
    sample: Any = None
    truth: np.ndarray | None = None
    image: Image | None = None
    encoder: rows.RowEncoder | None = None
    sign: str | Path | None = None


class ExportPlan:
    """The model to write, and the outputs that an artefact of it must have.

    Args:
        request: The `Request`.

    Attributes:
        served: The model to write, in float32 and folded.
        fold: The `FoldReport`.
        signatures: Dict of the `Signature`s of the model that was passed, by name.
        inputs: Dict of the examples for each signature.
        outputs: Dict of the outputs of the model that was passed for these examples.
        sign: Function of the folder of the artefact that signs it, or does nothing without a key.

    Raises:
        ValueError: If the model cannot be exported with these arguments.
    """

    def __init__(self, request: Request) -> None:
        check(request.model, request.labels)
        self.sign = signing.signer(request.sign)
        if request.image is not None:
            request.image.check(request.model.inputs)
        if request.encoder is not None:
            rows.check(request.encoder, request.model)
        reference = in_float32(request.model)
        self.request = request
        encoding = rows.as_in_training(request.encoder)
        self.signatures = signatures(reference, request.image, request.labels, encoding)
        self.inputs = samples(reference, self.signatures, request.sample)
        if request.truth is not None and request.sample is None:
            raise ValueError("`truth` has the classes or targets of `sample`: pass `sample` too")
        if request.truth is not None and len(request.truth) != (count := _count(self.inputs)):
            raise ValueError(
                f"`truth` must have a value for each of the {count} examples of `sample`. Received: "
                f"{len(request.truth)} values"
            )
        if request.encoder is not None:
            self.inputs[SERVE_ROWS] = request.encoder.examples()
        self.outputs = parity.run_model(self.signatures, self.inputs)
        if reference is not request.model:
            check_rounding(parity.run_model(signatures(request.model), self.inputs)[SERVE], self.outputs[SERVE])
        self.served, self.fold = folded(reference, request.fold)

    def accuracy(self, outputs: dict[str, np.ndarray]) -> Accuracy | None:
        """Return the accuracy of the model and of an artefact with these outputs; `None` if the truth is unknown."""
        if self.request.truth is None:
            return None
        truth = np.asarray(self.request.truth)
        metric = metric_of(truth)
        before = metric.of(self.outputs[SERVE], truth)
        after = measured({"": metric}, predictions_of(outputs, truth), truth)[""]
        return Accuracy(before, after.value, len(truth), metric.label, after)

    def describe(self) -> dict[str, Any]:
        """Return the entries of the manifest that do not depend on the format, as JSON."""
        request = self.request
        return {
            "model": {"name": request.model.name, "parameters": self.served.count_params()},
            "signatures": {name: _described(s, self.outputs[name]) for name, s in self.signatures.items()},
            "labels": None if request.labels is None else [str(label) for label in request.labels],
            "image": None if request.image is None else request.image.get_config(),
            "columns": None if request.encoder is None else _columns(request.encoder),
            "fold": {"folded": self.fold.folded, "kept": self.fold.kept},
        }


def make(
    plan: ExportPlan,
    path: str | Path,
    format: Format,
    write: Callable[[ExportPlan, Path], list[str] | None],
    *,
    quantization: str | None = None,
    packages: Sequence[str] = (),
    details: dict[str, Any],
) -> ExportReport:
    """Write an artefact, run it in another process, and publish it if its outputs are those of the model.

    Args:
        plan: The `ExportPlan`.
        path: As `bnzoo.files.whole_version` takes it.
        format: The `Format`.
        write: Function of the plan and of the folder to write in, which may return notes for the report.
        quantization: String, `None` for float32.
        packages: Sequence of strings, further distributions that make the artefact.
        details: Dict, entries of the manifest that only this format has.

    Returns:
        An `ExportReport`.

    Raises:
        RuntimeError: If the artefact cannot be loaded, or differs from the model beyond the tolerance. Nothing is left.
    """
    labels, tolerance = plan.request.labels, format.tolerance_of(quantization)
    with whole_version(path) as version:
        folder = version.draft
        notes = write(plan, folder) or []
        outputs = parity.run_artefact(format.name, folder, plan.inputs)
        difference = parity.difference(plan.outputs, outputs, labels)
        parity.require(difference, tolerance)
        parity.keep(folder, plan.inputs, plan.outputs)
        accuracy = plan.accuracy(outputs[SERVE])
        verified = {"difference": difference, "tolerance": tolerance, "examples": _count(plan.inputs)}
        measured = {"parity": verified, "accuracy": None if accuracy is None else asdict(accuracy)}
        content = {"format": format.name, **plan.describe(), **details, **measured}
        files = manifest.write(folder, content, (*_PACKAGES, *format.packages, *packages))
        plan.sign(folder)
    size = sum(file["bytes"] for file in files.values())
    notes += filter(None, [evidence.proves_nothing(plan.outputs)])
    return ExportReport(
        version.path, format.name, plan.fold, difference, tolerance, outputs[SERVE], size, accuracy, notes
    )


def _count(inputs: Sample) -> int:
    return len(next(iter(inputs[SERVE].values())))


def _columns(encoder: rows.RowEncoder) -> dict[str, str]:
    """Return the names of the columns by the names of the inputs."""
    return {name: column.name for name, column in encoder.inputs.items()}


def _described(signature: Signature, outputs: dict[str, np.ndarray]) -> dict[str, Any]:
    inputs = {name: {"dtype": spec.dtype.name, "shape": list(spec.shape)} for name, spec in signature.inputs.items()}
    described = {
        name: {"dtype": "string" if o.dtype.kind in "OS" else o.dtype.name, "shape": [None, *o.shape[1:]]}
        for name, o in outputs.items()
    }
    return {"inputs": inputs, "outputs": described}
