"""Export in the formats that are converted from a SavedModel."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bnzoo.errors import choice
from bnzoo.export.artefact import ExportPlan, Request, make
from bnzoo.export.calibration import check_scale
from bnzoo.export.formats.record import Arrays, Format
from bnzoo.export.prepare import check
from bnzoo.export.report import ExportReport
from bnzoo.export.sample import by_input
from bnzoo.export.writing import write as write_saved_model
from bnzoo.export.writing import write_labels
from bnzoo.files import scratch

_LABELS = Path("assets", "labels.txt")


def export(
    format: Format,
    model: keras.Model,
    path: str | Path,
    *,
    quantize: str | None = None,
    calibration: Any = None,
    **request: Any,
) -> ExportReport:
    """Export a model in a format that is converted from a SavedModel.

    The arguments and errors are those of the function of the format, such as `bnzoo.export.onnx`, and of `Request`.
    """
    format.require()
    arguments = Request(model, **request)
    check(model, arguments.labels)
    if texts := [tensor.name for tensor in model.inputs if tensor.dtype == "string"]:
        raise ValueError(
            f"`model` has inputs of strings: {', '.join(texts)}. {format.name} has no operations for strings. Export "
            "the model with `bnzoo.export.saved_model`, or export the part behind the vocabulary, which takes integers"
        )
    assert format.convert is not None
    convert = format.convert
    if quantize is not None or calibration is not None:
        arguments, examples = _calibrated(format, arguments, quantize, calibration)
        convert = partial(_quantized, format.quantizers[str(quantize)], examples)

    def write(plan: ExportPlan, folder: Path) -> list[str] | None:
        with scratch(folder) as saved_model:
            write_saved_model(plan, saved_model)
            notes = convert(saved_model, folder)
        if plan.request.labels is not None:
            (folder / _LABELS).parent.mkdir()
            write_labels(folder / _LABELS, plan.request.labels)
        return notes

    details = {"quantization": quantize}
    return make(ExportPlan(arguments), path, format, write, quantization=quantize, details=details)


def _quantized(quantizer: Callable, examples: Arrays, saved_model: Path, folder: Path) -> list[str] | None:
    return quantizer(saved_model, folder, examples)


def _calibrated(
    format: Format, request: Request, quantize: str | None, calibration: Any
) -> tuple[Request, dict[str, np.ndarray]]:
    """Return the request, with the examples on which the accuracy is measured, and the examples for calibration."""
    choice("quantize", quantize, format.quantizers)
    if calibration is None:
        raise ValueError(
            "`quantize` needs `calibration`. Pass the examples from which the ranges of the activations are taken"
        )
    x, truth, tested = calibration, None, calibration
    if hasattr(calibration, "train"):
        x, (tested, truth) = calibration.train.x, calibration.test
    elif isinstance(calibration, tuple):
        if len(calibration) != 2:
            raise ValueError(
                "`calibration` must be examples, a pair of examples and their classes, or a `bnzoo.data.Dataset`. "
                f"Received: a tuple of {len(calibration)}"
            )
        (x, truth) = calibration
        tested = x
    examples = by_input(request.model, x, "calibration")
    check_scale(request.model, examples)
    if truth is not None and request.sample is not None:
        raise ValueError(
            "`sample` cannot be combined with a `calibration` that has classes, on whose examples the accuracy is "
            "measured. Leave one of them out"
        )
    if request.sample is None:
        request = replace(request, sample=tested, truth=None if truth is None else np.asarray(truth))
    return request, examples
