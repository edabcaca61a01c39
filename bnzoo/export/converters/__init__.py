"""A SavedModel in, the file of another runtime out; one module a format.

Each module has `convert(saved_model, folder)`, and `quantize(saved_model, folder, calibration)` where int8 is offered.
The SavedModel has the one signature `serve`; its names of inputs and outputs and its free batch dimension are kept.
"""

import importlib
from collections.abc import Iterator

import numpy as np

# what a conversion and the runtime of its artefact import, and the distributions that these come from
_MODULES: dict[str, tuple[str, ...]] = {
    "saved_model": (),
    "onnx": ("onnx", "tf2onnx", "onnxruntime"),
    "litert": ("ai_edge_litert.interpreter",),
    "openvino": ("openvino",),
}
PACKAGES = {**_MODULES, "litert": ("ai-edge-litert",)}
# examples a calibration step: a network's activations of more would not fit
_BATCH = 32


def require(format: str) -> None:
    """Fails early, and with what to install, where a format's packages are missing.

    Args:
        format: String, the format, which is also the name of the extra.

    Raises:
        ImportError: If one of them cannot be imported.
    """
    try:
        for module in _MODULES[format]:
            importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"`bnzoo.export.{format}` needs the extra `{format}` ({error}): pip install 'bnzoo[{format}]'"
        ) from error


def batches(calibration: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """The calibration examples a few at a time.

    Args:
        calibration: Dict of arrays by input name.

    Yields:
        Dicts of arrays by input name.
    """
    size = len(next(iter(calibration.values())))
    for start in range(0, size, _BATCH):
        yield {name: values[start : start + _BATCH] for name, values in calibration.items()}
