"""OpenVINO's intermediate representation of a SavedModel."""

from pathlib import Path

from bnzoo.export.converters import require


def convert(saved_model: Path, folder: Path) -> None:
    """Writes `model.xml` and `model.bin`, the weights in float32.

    Args:
        saved_model: The SavedModel's folder.
        folder: An existing folder.

    Raises:
        ImportError: If OpenVINO is missing.
        ValueError: If OpenVINO cannot read the model, such as for an operation that it does not have.
    """
    require("openvino")
    import openvino

    try:
        # not `openvino.convert_model`, which reports its use to Intel; no `Path`, which it does not take
        model = openvino.Core().read_model(str(saved_model))
    except RuntimeError as error:
        raise ValueError(f"`model` cannot be converted to OpenVINO: {_reason(str(error))}") from error
    openvino.save_model(model, str(folder / "model.xml"), compress_to_fp16=False)


def _reason(message: str) -> str:
    """The line of OpenVINO's account that names the operations; else the last but for an advertisement."""
    lines = [line.strip("- ") for line in message.splitlines() if line.strip() and "documentation" not in line]
    return next((line for line in lines if "for operations" in line), lines[-1])
