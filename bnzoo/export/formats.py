"""The formats of other runtimes: a SavedModel made for the purpose, converted, and held to the same promises."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bnzoo.errors import choice
from bnzoo.export import converters, parity
from bnzoo.export.artefact import PACKAGES, ExportReport, Plan, Request, make
from bnzoo.export.calibration import check_scale
from bnzoo.export.converters import litert as to_litert
from bnzoo.export.converters import onnx as to_onnx
from bnzoo.export.converters import openvino as to_openvino
from bnzoo.export.prepare import check
from bnzoo.export.sample import by_input
from bnzoo.export.saved_model import write as write_saved_model
from bnzoo.export.saved_model import write_labels
from bnzoo.files import scratch

_CONVERTERS: dict[str, Any] = {"onnx": to_onnx, "litert": to_litert, "openvino": to_openvino}
_QUANTIZATIONS = ("int8",)
_LABELS = Path("assets", "labels.txt")


def onnx(
    model: keras.Model,
    path: str | Path,
    *,
    fold: bool = True,
    labels: Sequence[str] | None = None,
    sample: Any = None,
    quantize: str | None = None,
    calibration: Any = None,
    sign: str | Path | None = None,
) -> ExportReport:
    """Exports a model as ONNX, `model.onnx`, and verifies it with `onnx.checker` and in ONNX Runtime.

    Inputs and outputs have the names that `saved_model` gives them; the batch dimension is free. A process that can
    import neither Keras, TensorFlow nor bnzoo runs the file and compares it with the model; only then does it appear,
    with `MANIFEST.json` and the examples for `verify`. Needs the extra `onnx`.

    Args:
        model: A built functional or Sequential `keras.Model`. One that computes in 16 bits is exported in float32.
        path: The folder to make, `<name>/<integer version>`; or `<name>`, in which the next version is made. No version
            is overwritten.
        fold: Boolean, whether batch norms are folded into the linear layers next to them.
        labels: Sequence of strings, the names of the classes, stored in `assets/labels.txt`.
        sample: Array (or dict of arrays, by input name) that artefact and model are compared on; drawn from a normal
            distribution by default, from the calibration data if there are any.
        quantize: `"int8"`: weights in 8 bits for each channel, activations in 8 bits; inputs and outputs stay float32.
        calibration: What the ranges of the activations are taken from, scaled as for training: an array (or dict of
            arrays by input name) of examples; or such and the integer classes, as a pair; or a `bnzoo.data.Dataset`,
            calibrated on its training data. With classes the report has the accuracy before and after: on the examples
            of the pair, on the test data of the dataset. Examples on another scale than the model's first batch norm
            or `Normalization` layer was trained on are refused.
        sign: The path of a private key (Ed25519 or ECDSA, PEM, without a password), with which `MANIFEST.json` and so
            the checksums of all files are signed, in `MANIFEST.json.sig`; for `verify(key=)`. Needs the extra `sign`.

    Returns:
        An `ExportReport`.

    Raises:
        ValueError: If the model cannot be exported, or an argument does not fit it.
        ImportError: If the extra is not installed.
        FileExistsError: If the version exists.
        OSError: If it cannot be written.
        RuntimeError: If the file is invalid, cannot be loaded, or differs from the model beyond the tolerance: 1e-4 of
            the largest output, in int8 a quarter of it. Nothing is left.

    Examples:
    >>> report = bnzoo.export.onnx(model, "models/digits", quantize="int8", calibration=bnzoo.data.load("digits"))
    >>> print(report)
    """
    request = Request(model, fold=fold, labels=labels, sample=sample, sign=sign)
    return _export(request, path, "onnx", quantize, calibration)


def litert(
    model: keras.Model,
    path: str | Path,
    *,
    fold: bool = True,
    labels: Sequence[str] | None = None,
    sample: Any = None,
    quantize: str | None = None,
    calibration: Any = None,
    sign: str | Path | None = None,
) -> ExportReport:
    """Exports a model for LiteRT (TensorFlow Lite), `model.tflite`, and verifies it in LiteRT's own interpreter.

    The same promises as `onnx`, which see for the arguments. The signature is `serve`; only LiteRT's own operations are
    used. In int8 the notes of the report name the operations that LiteRT has in float32 only. Needs the extra `litert`.
    """
    request = Request(model, fold=fold, labels=labels, sample=sample, sign=sign)
    return _export(request, path, "litert", quantize, calibration)


def openvino(
    model: keras.Model,
    path: str | Path,
    *,
    fold: bool = True,
    labels: Sequence[str] | None = None,
    sample: Any = None,
    sign: str | Path | None = None,
) -> ExportReport:
    """Exports a model for OpenVINO, `model.xml` and `model.bin` in float32, and verifies it in OpenVINO at float32.

    The same promises as `onnx`, which see for the arguments. OpenVINO computes in bfloat16 on processors that have it,
    unless it is compiled with `{"INFERENCE_PRECISION_HINT": "f32"}`. Needs the extra `openvino`.
    """
    request = Request(model, fold=fold, labels=labels, sample=sample, sign=sign)
    return _export(request, path, "openvino")


def _export(
    request: Request, path: str | Path, format: str, quantize: str | None = None, calibration: Any = None
) -> ExportReport:
    converters.require(format)
    check(request.model, request.labels)
    if texts := [tensor.name for tensor in request.model.inputs if tensor.dtype == "string"]:
        raise ValueError(
            f"`model` takes strings in its input {', '.join(texts)}, for which {format} has no operations. Export it "
            "with `bnzoo.export.saved_model`, or export the part behind the vocabulary, which takes integers"
        )
    converter = _CONVERTERS[format]
    convert = converter.convert
    if quantize is not None or calibration is not None:
        request, examples = _calibrated(request, quantize, calibration)
        convert = partial(converter.quantize, calibration=examples)

    def write(plan: Plan, folder: Path) -> list[str]:
        with scratch(folder) as saved_model:
            write_saved_model(plan, saved_model)
            told = convert(saved_model, folder)
        if plan.request.labels is not None:
            (folder / _LABELS).parent.mkdir()
            write_labels(folder / _LABELS, plan.request.labels)
        return told or []

    packages = (*PACKAGES, *converters.PACKAGES[format])
    notes, tolerance = {"quantization": quantize}, parity.TOLERANCES[format, quantize]
    return make(Plan(request), path, format, write, packages=packages, tolerance=tolerance, notes=notes)


def _calibrated(request: Request, quantize: str | None, calibration: Any) -> tuple[Request, dict[str, np.ndarray]]:
    """The request, with the examples that the accuracy is taken on, and the examples to calibrate with."""
    choice("quantize", quantize, _QUANTIZATIONS)
    if calibration is None:
        raise ValueError("`quantize` needs `calibration`: examples from which the ranges of the activations are taken")
    x, truth, tested = calibration, None, calibration
    if hasattr(calibration, "train"):
        x, (tested, truth) = calibration.train.x, calibration.test
    elif isinstance(calibration, tuple):
        if len(calibration) != 2:
            raise ValueError(f"`calibration` must be examples and their classes. Received: {len(calibration)} things")
        (x, truth) = calibration
        tested = x
    examples = by_input(request.model, x, "calibration")
    check_scale(request.model, examples)
    if truth is not None and request.sample is not None:
        raise ValueError(
            "`sample` cannot be given where `calibration` has classes: the accuracy is that of their examples"
        )
    if request.sample is None:
        request = replace(request, sample=tested, truth=None if truth is None else np.asarray(truth))
    return request, examples
