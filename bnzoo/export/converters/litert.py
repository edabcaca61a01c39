"""LiteRT's flatbuffer of a SavedModel, in float32 or int8."""

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bnzoo.export.converters import batches, require

_SIGNATURE = "serve"


def convert(saved_model: Path, folder: Path) -> None:
    """Writes `model.tflite` with LiteRT's own operations only.

    Args:
        saved_model: The SavedModel's folder.
        folder: An existing folder.

    Raises:
        ImportError: If LiteRT, which is to run the file, is missing.
        ValueError: If the model has operations that LiteRT lacks.
    """
    _write(_converter(saved_model), folder)


def quantize(saved_model: Path, folder: Path, calibration: dict[str, np.ndarray]) -> list[str]:
    """Writes `model.tflite` in int8: weights a channel, activations a tensor; inputs and outputs stay float32.

    Args:
        saved_model: The SavedModel's folder.
        folder: An existing folder.
        calibration: Dict of arrays by input name, examples from which the ranges of the activations are taken.

    Returns:
        List of strings: a sentence that names the operations that stay in float32, if any do.

    Raises:
        ImportError: If LiteRT, which is to run the file, is missing.
        ValueError: If the model has operations that LiteRT lacks.
    """
    import tensorflow as tf

    def examples() -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        for batch in batches(calibration):
            yield _SIGNATURE, batch

    converter = _converter(saved_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = examples
    with warnings.catch_warnings():
        # TensorFlow calibrates with its own interpreter, and says that others should not
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated", UserWarning)
        content = _write(converter, folder)
    left = _float_operations(content)
    names = ", ".join(f"{count} {name}" for name, count in sorted(left.items()))
    return [f"operations that LiteRT computes in float32, since it has none in int8: {names}"] if left else []


def _float_operations(content: bytes) -> Counter[str]:
    """Count the operations that read or write float32, by name, but for those that convert from and to it."""
    from tensorflow.lite.python.schema_py_generated import TensorType
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    found: Counter[str] = Counter()
    for graph in model.subgraphs:
        for operator in graph.operators:
            tensors = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
            if any(tensor.type == TensorType.FLOAT32 for tensor in tensors):
                found[flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)] += 1
    for name in ("QUANTIZE", "DEQUANTIZE"):
        found.pop(name, None)
    return found


def _converter(saved_model: Path) -> Any:
    require("litert")
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=[_SIGNATURE])


def _write(converter: Any, folder: Path) -> bytes:
    from tensorflow.lite.python.convert_phase import ConverterError

    try:
        content = converter.convert()
    except ConverterError as error:
        lacking = sorted({found.operator.name.removeprefix("tf.") for found in error.errors if found.operator.name})
        reason = f"it has no {', '.join(lacking)}" if lacking else str(error).partition("\n")[0]
        raise ValueError(f"`model` cannot be converted to LiteRT's own operations: {reason}") from error
    (folder / "model.tflite").write_bytes(content)
    return content
