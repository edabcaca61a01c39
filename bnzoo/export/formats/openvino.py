"""OpenVINO's intermediate representation, in float32."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .record import SERVE, Arrays, Format, Runner

if TYPE_CHECKING:
    import keras

    from bnzoo.export.report import ExportReport

_FILE = "model.xml"


def openvino(
    model: "keras.Model",
    path: str | Path,
    *,
    fold: bool = True,
    labels: Sequence[str] | None = None,
    sample: Any = None,
    sign: str | Path | None = None,
) -> "ExportReport":
    """Export a model for OpenVINO, and verify it in OpenVINO at float32.

    The files are `model.xml` and `model.bin`, in float32. Arguments, errors and promises are those of
    `bnzoo.export.onnx`. OpenVINO computes in bfloat16 on processors that have it, unless it is compiled with
    `{"INFERENCE_PRECISION_HINT": "f32"}`. Needs the extra `openvino`.
    """
    from bnzoo.export.converted import export

    return export(FORMAT, model, path, fold=fold, labels=labels, sample=sample, sign=sign)


def convert(saved_model: Path, folder: Path) -> None:
    """Write `model.xml` and `model.bin`.

    Args:
        saved_model: The folder of the SavedModel.
        folder: An existing folder.

    Raises:
        ImportError: If OpenVINO is missing.
        ValueError: If OpenVINO cannot read the model, such as for an operation that it does not have.
    """
    FORMAT.require()
    import openvino

    try:
        # not `openvino.convert_model`, which reports its use to Intel; no `Path`, which it does not take
        model = openvino.Core().read_model(str(saved_model))
    except RuntimeError as error:
        raise ValueError(f"`model` cannot be converted to OpenVINO: {_reason(str(error))}") from error
    openvino.save_model(model, str(folder / _FILE), compress_to_fp16=False)


def _reason(message: str) -> str:
    """Return the line of OpenVINO's message that names the operations, else the last one before its advertisement."""
    lines = [line.strip("- ") for line in message.splitlines() if line.strip() and "documentation" not in line]
    return next((line for line in lines if "for operations" in line), lines[-1])


def load(folder: Path) -> Runner:
    """Load an artefact with OpenVINO."""
    import openvino

    # without it OpenVINO computes in bfloat16 where the processor can
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(folder / _FILE), "CPU", options)

    def run(inputs: Arrays, signature: str = SERVE) -> Arrays:
        results = compiled(inputs)
        # Outputs that are the same tensor are one port with several names. The next call overwrites its memory.
        return {name: results[port].copy() for port in compiled.outputs for name in port.get_names()}

    return run


FORMAT = Format("openvino", export=openvino, open=load, convert=convert, modules=("openvino",), packages=("openvino",))
