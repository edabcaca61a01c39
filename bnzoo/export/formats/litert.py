"""The flatbuffer of LiteRT (TensorFlow Lite), in float32 or int8."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .batches import batches
from .record import SERVE, Arrays, Format, Runner

if TYPE_CHECKING:
    import keras

    from bnzoo.export.report import ExportReport

_FILE = "model.tflite"


def litert(
    model: "keras.Model",
    path: str | Path,
    *,
    fold: bool = True,
    labels: Sequence[str] | None = None,
    sample: Any = None,
    quantize: str | None = None,
    calibration: Any = None,
    sign: str | Path | None = None,
) -> "ExportReport":
    """Export a model for LiteRT (TensorFlow Lite), and verify it in LiteRT's own interpreter.

    The file is `model.tflite`. Arguments, errors and promises are those of `bnzoo.export.onnx`. The signature is
    `serve`; only LiteRT's own operations are used. In int8 the notes of the report name the operations that LiteRT has
    in float32 only. Needs the extra `litert`.
    """
    from bnzoo.export.converted import export

    options = {"fold": fold, "labels": labels, "sample": sample, "sign": sign}
    return export(FORMAT, model, path, **options, quantize=quantize, calibration=calibration)


def convert(saved_model: Path, folder: Path) -> None:
    """Write `model.tflite` with LiteRT's own operations only.

    Args:
        saved_model: The folder of the SavedModel.
        folder: An existing folder.

    Raises:
        ImportError: If LiteRT is missing.
        ValueError: If the model has operations that LiteRT lacks.
    """
    _write(_converter(saved_model), folder)


def quantize(saved_model: Path, folder: Path, calibration: Arrays) -> list[str]:
    """Write `model.tflite` in int8, with a scale for each channel of weights and for each tensor of activations.

    Inputs and outputs stay float32.

    Args:
        saved_model: The folder of the SavedModel.
        folder: An existing folder.
        calibration: Dict of arrays by input name, the examples from which the ranges of the activations are taken.

    Returns:
        List of strings: a note that names the operations that stay in float32, if there are any.

    Raises:
        ImportError: If LiteRT is missing.
        ValueError: If the model has operations that LiteRT lacks.
    """
    import tensorflow as tf

    def examples() -> Iterator[tuple[str, Arrays]]:
        for batch in batches(calibration):
            yield SERVE, batch

    converter = _converter(saved_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = examples
    with warnings.catch_warnings():
        # TensorFlow itself calibrates with the interpreter that it calls deprecated
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated", UserWarning)
        content = _write(converter, folder)
    left = _float_operations(content)
    names = ", ".join(f"{count} {name}" for name, count in sorted(left.items()))
    return [f"LiteRT has no int8 for these operations and computes them in float32: {names}"] if left else []


def _float_operations(content: bytes) -> Counter[str]:
    """Count by name the operations that read or write float32, except those that convert from and to it."""
    from tensorflow.lite.python.schema_py_generated import TensorType
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    operations: Counter[str] = Counter()
    for graph in model.subgraphs:
        for operator in graph.operators:
            tensors = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
            if any(tensor.type == TensorType.FLOAT32 for tensor in tensors):
                operations[flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)] += 1
    for name in ("QUANTIZE", "DEQUANTIZE"):
        operations.pop(name, None)
    return operations


def _converter(saved_model: Path) -> Any:
    FORMAT.require()
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=[SERVE])


def _write(converter: Any, folder: Path) -> bytes:
    from tensorflow.lite.python.convert_phase import ConverterError

    try:
        content = converter.convert()
    except ConverterError as error:
        lacking = sorted({each.operator.name.removeprefix("tf.") for each in error.errors if each.operator.name})
        reason = f"it has no {', '.join(lacking)}" if lacking else str(error).partition("\n")[0]
        raise ValueError(f"`model` cannot be converted to the operations of LiteRT: {reason}") from error
    (folder / _FILE).write_bytes(content)
    return content


def load(folder: Path) -> Runner:
    """Load an artefact with LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / _FILE), num_threads=os.cpu_count())
    compiled = interpreter.get_signature_runner(SERVE)  # it resizes to the batch
    return lambda inputs, signature=SERVE: compiled(**inputs)


FORMAT = Format(
    "litert",
    export=litert,
    open=load,
    convert=convert,
    quantizers={"int8": quantize},
    modules=("ai_edge_litert.interpreter",),
    packages=("ai-edge-litert",),
)
