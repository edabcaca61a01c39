"""The report on an export."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bnzoo.metrics import Measured, metric_labelled
from bnzoo.tools import FoldReport


@dataclass(frozen=True)
class Accuracy:
    """The accuracy of a model and of its artefact.

    Attributes:
        before: Float, the accuracy of the model.
        after: Float, the accuracy of the artefact.
        examples: Integer, the number of examples.
        metric: String, `accuracy` for classes, `mean average precision` for labels, `R²` for numbers.
        interval: `bnzoo.metrics.Measured`, the accuracy of the artefact with its 95 % interval, or `None`.
    """

    before: float
    after: float
    examples: int
    metric: str = "accuracy"
    interval: Measured | None = field(default=None, compare=False)

    def __str__(self) -> str:
        metric = metric_labelled(self.metric)
        before, after = metric.text(self.before), metric.text(self.after)
        interval = "" if self.interval is None else f" (95 % interval {self.interval.ends(metric)})"
        return f"{self.metric} {before} before, {after} after, on {self.examples} examples{interval}"


@dataclass(frozen=True)
class ExportReport:
    """The result of an export.

    Attributes:
        path: The folder of the artefact.
        format: String, `saved_model`, `onnx`, `litert` or `openvino`.
        fold: The `FoldReport`.
        difference: Float, the largest difference between an output of the model and of the artefact, relative to the
            largest output.
        tolerance: Float, the largest difference that is allowed.
        outputs: Dict of arrays, the outputs of the artefact for the sample, computed by another process.
        size: Integer, the bytes of all its files.
        accuracy: An `Accuracy`, or `None` if the classes of the examples are not known.
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
