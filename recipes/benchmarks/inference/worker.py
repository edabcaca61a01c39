"""The worker process of the inference benchmark. It imports only the runtime of one format.

In one process the formats would share threads, caches and settings. For example, TensorFlow caches oneDNN convolutions
by shape, so that one format could run the convolutions of another.
"""

import functools
import importlib
import importlib.util
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from recipes.benchmarks.turns import seconds, serve

RUNTIMES = {
    "saved_model": "tensorflow",
    "onnx": "onnxruntime",
    "litert": "ai_edge_litert.interpreter",
    "openvino": "openvino",
}
PYTORCH = "torch"


class _Worker:
    """An artefact, or a network of torchvision. Each `call` runs one batch."""

    def __init__(self, format: str, source: str, inputs: str) -> None:
        with np.load(inputs) as file:
            self.inputs = dict(file)
        self.load = self._torchvision if format == PYTORCH else self._artefact
        self.load = functools.partial(self.load, format, source)
        importlib.import_module(RUNTIMES.get(format, format))

    def ready(self) -> bool:
        return True

    def open(self) -> float:
        return seconds(self._open)

    def _open(self) -> None:
        self.apply = self.load()

    def call(self, batch: str) -> float:
        inputs = {name: values[: int(batch)] for name, values in self.inputs.items()}
        return seconds(lambda: self.apply(inputs))

    def _artefact(self, format: str, folder: str) -> Callable[[dict[str, np.ndarray]], Any]:
        return _runtimes()["open_artefact"](format, folder)

    def _torchvision(self, format: str, source: str) -> Callable[[dict[str, np.ndarray]], Any]:
        from recipes.benchmarks.training.contestants import import_torch

        torch, models = import_torch()
        network = getattr(models, source)().eval()

        def apply(inputs: dict[str, np.ndarray]) -> Any:
            [images] = inputs.values()
            with torch.inference_mode():
                return network(torch.from_numpy(images.transpose(0, 3, 1, 2)).contiguous()).softmax(-1).numpy()

        return apply


def _runtimes() -> dict[str, Any]:
    """Load the module that opens artefacts without its package, which would import TensorFlow."""
    package = importlib.util.find_spec("bnzoo")
    assert package is not None
    assert package.origin is not None
    return runpy.run_path(str(Path(package.origin).parent / "export" / "runtimes.py"))


if __name__ == "__main__":
    serve(functools.partial(_Worker, *sys.argv[1:]))
