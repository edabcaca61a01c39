"""ONNX of a SavedModel, in float32 or int8."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bnzoo.export.converters import batches, require
from bnzoo.files import scratch

# the newest that tf2onnx calls tested; later ones change nothing for these models and shut out older runtimes
_OPSET = 15
_FILE = "model.onnx"
# where a SavedModel has its functions, and the attribute of those that are to be compiled
_GRAPH, _XLA = "saved_model.pb", "_XlaMustCompile"
# Processors without VNNI add products of 8 bits by 8 in 16 bits, which saturates: 7 bits for the weights cost less.
# What is not linear stays float32: int8 norms and residual sums of transformers cost most of the accuracy.
_INT8 = {"per_channel": True, "reduce_range": True, "op_types_to_quantize": ["Conv", "MatMul", "Gemm"]}


def convert(saved_model: Path, folder: Path) -> None:
    """Writes `model.onnx`, which `onnx.checker` has passed.

    Args:
        saved_model: The SavedModel's folder.
        folder: An existing folder.

    Raises:
        ImportError: If a package is missing.
        RuntimeError: If the file is not valid ONNX, such as for an operation that ONNX lacks.
    """
    require("onnx")
    import onnx

    model = _converted(saved_model)
    _name_batch(model)
    _check(model)
    onnx.save(model, str(folder / _FILE))


def quantize(saved_model: Path, folder: Path, calibration: dict[str, np.ndarray]) -> None:
    """Writes `model.onnx` in int8: weights a channel, activations a tensor; inputs and outputs stay float32.

    Args:
        saved_model: The SavedModel's folder.
        folder: An existing folder.
        calibration: Dict of arrays by input name, examples from which the ranges of the activations are taken.

    Raises:
        ImportError: If a package is missing.
        RuntimeError: If a file is not valid ONNX.
    """
    require("onnx")
    import onnx
    from onnxruntime.quantization import quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with scratch(folder) as steps:
        convert(saved_model, steps)
        prepared = str(steps / "prepared.onnx")
        # the shapes are plain, and symbolic ones would need sympy
        quant_pre_process(str(steps / _FILE), prepared, skip_symbolic_shape=True)
        quantize_static(prepared, str(folder / _FILE), _reader(calibration), **_INT8)
    _check(onnx.load(str(folder / _FILE)))


def _converted(saved_model: Path) -> Any:
    import tensorflow as tf
    import tf2onnx

    with _without_xla(saved_model) as plain:
        loaded = tf.saved_model.load(str(plain))
    serve = loaded.signatures["serve"]
    specs = serve.structured_input_signature[1]
    names = sorted(specs)
    function = tf.function(lambda *values: serve(**dict(zip(names, values, strict=True))))
    signature = [specs[name] for name in names]
    handlers: dict[str, Any] = {"Erfc": (_erfc, []), "Conv3D": (_conv3d, [])}
    model, _ = tf2onnx.convert.from_function(function, signature, opset=_OPSET, custom_op_handlers=handlers)
    _bind_constants(model, function.get_concrete_function(*signature))
    return model


@contextmanager
def _without_xla(saved_model: Path) -> Iterator[Path]:
    """Yield a SavedModel whose functions are not to be compiled by XLA.

    Keras has XLA compile grouped convolutions. Such a function is not inlined, and tf2onnx leaves the call in.
    """
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    content = SavedModel.FromString((saved_model / _GRAPH).read_bytes())
    for meta in content.meta_graphs:
        functions = meta.graph_def.library.function
        for holder in (*functions, *meta.graph_def.node, *(node for f in functions for node in f.node_def)):
            if _XLA in holder.attr:
                del holder.attr[_XLA]
    with scratch(saved_model) as plain:
        for entry in saved_model.iterdir():
            if entry.name != _GRAPH:
                (plain / entry.name).symlink_to(entry.resolve())
        (plain / _GRAPH).write_bytes(content.SerializeToString())
        yield plain


def _bind_constants(model: Any, function: Any) -> None:
    """Gives their values to the inputs that tf2onnx makes of a function's constants, such as a layer's fixed mean."""
    from onnx import numpy_helper

    pairs = zip(function.graph.internal_captures, function.captured_inputs, strict=True)
    constants = {inner.name: outer.numpy() for inner, outer in pairs if outer.dtype != "resource"}
    used = {name for node in model.graph.node for name in node.input}
    for value in [value for value in model.graph.input if value.name in constants]:
        model.graph.input.remove(value)
        if value.name in used:
            model.graph.initializer.append(numpy_helper.from_array(constants[value.name], value.name))


def _erfc(graph: Any, node: Any, name: str, _: Any) -> None:
    """`1 - Erf`: ONNX has no Erfc, which is how TensorFlow writes an exact GELU, and tf2onnx would leave it in."""
    from tf2onnx import utils

    node.type = "Erf"
    kind = utils.map_onnx_to_numpy_type(graph.get_dtype(node.output[0]))
    one = graph.make_const(utils.make_name("one"), np.array(1, kind))
    output = node.output[0]
    graph.insert_new_node_on_output("Sub", output, utils.make_name(name), inputs=[one.output[0], output])


def _conv3d(graph: Any, node: Any, name: str, _: Any) -> None:
    """Convert a convolution in three dimensions, whose groups tf2onnx does not count."""
    from tf2onnx.onnx_opset.nn import ConvOp

    channels = graph.get_shape(node.input[0])[1 if node.get_attr_str("data_format") == "NCDHW" else -1]
    of_a_group = graph.get_shape(node.input[1])[-2]
    ConvOp.any_version(_OPSET, graph, node)
    node.set_attr("group", channels // of_a_group)


def _name_batch(model: Any) -> None:
    """One name for the free dimension; tf2onnx invents another for each tensor."""
    for value in (*model.graph.input, *model.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        if dimensions and dimensions[0].dim_param:
            dimensions[0].dim_param = "batch"


def _check(model: Any) -> None:
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise RuntimeError(f"The model converted to ONNX is not valid: {reason}") from error


def _reader(calibration: dict[str, np.ndarray]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    remaining = batches(calibration)

    class Reader(CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(remaining, None)

    return Reader()
