"""A model in, a verified deployable artefact out."""

from bnzoo.export.artefact import Accuracy, ExportReport
from bnzoo.export.formats import litert, onnx, openvino
from bnzoo.export.image import Image
from bnzoo.export.saved_model import compare, saved_model
from bnzoo.export.verify import Verification, verify

__all__ = [
    "Accuracy",
    "ExportReport",
    "Image",
    "Verification",
    "compare",
    "litert",
    "onnx",
    "openvino",
    "saved_model",
    "verify",
]
