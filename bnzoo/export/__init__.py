"""Verified deployable artefacts of models."""

import importlib
from typing import TYPE_CHECKING, Any

from bnzoo.export.formats import FORMATS

if TYPE_CHECKING:  # for editors and type checkers: a line for each name
    from bnzoo.export.formats.litert import litert as litert
    from bnzoo.export.formats.onnx import onnx as onnx
    from bnzoo.export.formats.openvino import openvino as openvino
    from bnzoo.export.formats.saved_model import saved_model as saved_model
    from bnzoo.export.image import Image as Image
    from bnzoo.export.parity import compare as compare
    from bnzoo.export.report import Accuracy as Accuracy
    from bnzoo.export.report import ExportReport as ExportReport
    from bnzoo.export.verification import Verification as Verification
    from bnzoo.export.verification import verify as verify

# The modules of the other names. They load TensorFlow, which the help of the command line does not need.
_MODULES = {
    "Accuracy": "report",
    "ExportReport": "report",
    "Image": "image",
    "Verification": "verification",
    "compare": "parity",
    "verify": "verification",
}

__all__ = [*_MODULES, *FORMATS]


def __getattr__(name: str) -> Any:
    if name in FORMATS:
        return FORMATS[name].export
    if name in _MODULES:
        return getattr(importlib.import_module(f"bnzoo.export.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'bnzoo.export' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
