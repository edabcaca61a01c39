"""ONNX, in float32 or int8."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .batches import batches
from .record import SERVE, Arrays, Format, Runner

if TYPE_CHECKING:
    import keras

    from bnzoo.export.report import ExportReport

# the newest version that tf2onnx calls tested; later ones change nothing for these models and exclude older runtimes
_OPSET = 15
_FILE = "model.onnx"
# the file of a SavedModel with its functions, and the attribute of functions that XLA compiles
_GRAPH, _XLA = "saved_model.pb", "_XlaMustCompile"
# Processors without VNNI add products of 8 bits by 8 in 16 bits, which saturates: 7 bits for the weights cost less
# accuracy. Only linear layers are quantized: int8 norms and residual sums of transformers cost most of the accuracy.
_INT8 = {"per_channel": True, "reduce_range": True, "op_types_to_quantize": ["Conv", "MatMul", "Gemm"]}


def onnx(
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
    """Export a model as ONNX, `model.onnx`, and verify it with `onnx.checker` and in ONNX Runtime.

    The names of inputs and outputs are those of `saved_model`. The batch dimension is free. A process that can import
    neither Keras, TensorFlow nor bnzoo runs the file. The folder appears only after its outputs were compared with
    those of the model, with `MANIFEST.json` and the examples for `verify`. Needs the extra `onnx`.

    Args:
        model: A built functional or Sequential `keras.Model`. One that computes in 16 bits is exported in float32.
        path: The folder to make, `<name>/<integer version>`, or `<name>`, in which the next version is made. No version
            is overwritten.
        fold: Boolean, whether batch norms are folded into the linear layers next to them.
        labels: Sequence of strings, the names of the classes, stored in `assets/labels.txt`.
        sample: Array (or dict of arrays, by input name): the examples on which artefact and model are compared; by
            default the calibration data, else drawn from a normal distribution.
        quantize: `"int8"`: weights in 8 bits for each channel, activations in 8 bits; inputs and outputs stay float32.
        calibration: The examples from which the ranges of the activations are taken, scaled as for training: an array
            (or dict of arrays by input name); a pair of that and the integer classes; or a `bnzoo.data.Dataset`, whose
            training data is used. With classes the report has the accuracy before and after, on the examples of the
            pair or on the test data of the dataset. Examples whose scale does not fit the statistics of the first batch
            norm or `Normalization` layer are refused.
        sign: The path of a private key (Ed25519 or ECDSA, PEM, without a password), with which `MANIFEST.json` and so
            the checksums of all files are signed, in `MANIFEST.json.sig`; for `verify(key=)`. Needs the extra `sign`.

    Returns:
        An `ExportReport`.

    Raises:
        ValueError: If the model cannot be exported, or an argument does not fit it.
        ImportError: If the extra is not installed.
        FileExistsError: If the version exists.
        OSError: If the folder cannot be written.
        RuntimeError: If the file is invalid, cannot be loaded, or differs from the model beyond the tolerance: 1e-4 of
            the largest output, or a quarter of it in int8. Nothing is left.

    Examples:
    >>> report = bnzoo.export.onnx(model, "models/digits", quantize="int8", calibration=bnzoo.data.load("digits"))
    >>> print(report)
    """
    from bnzoo.export.converted import export

    options = {"fold": fold, "labels": labels, "sample": sample, "sign": sign}
    return export(FORMAT, model, path, **options, quantize=quantize, calibration=calibration)


def convert(saved_model: Path, folder: Path) -> None:
    """Write `model.onnx`, and check it with `onnx.checker`.

    Args:
        saved_model: The folder of the SavedModel.
        folder: An existing folder.

    Raises:
        ImportError: If a package is missing.
        RuntimeError: If the file is not valid ONNX, for instance because ONNX lacks an operation.
    """
    FORMAT.require()
    import onnx

    model = _converted(saved_model)
    _name_batch(model)
    _check(model)
    onnx.save(model, str(folder / _FILE))


def quantize(saved_model: Path, folder: Path, calibration: Arrays) -> None:
    """Write `model.onnx` in int8, with a scale for each channel of weights and for each tensor of activations.

    Inputs and outputs stay float32.

    Args:
        saved_model: The folder of the SavedModel.
        folder: An existing folder.
        calibration: Dict of arrays by input name, the examples from which the ranges of the activations are taken.

    Raises:
        ImportError: If a package is missing.
        RuntimeError: If a file is not valid ONNX.
    """
    FORMAT.require()
    import onnx
    from onnxruntime.quantization import quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from bnzoo.files import scratch

    with scratch(folder) as steps:
        convert(saved_model, steps)
        prepared = str(steps / "prepared.onnx")
        # symbolic shapes would need sympy, and these models have none
        quant_pre_process(str(steps / _FILE), prepared, skip_symbolic_shape=True)
        quantize_static(prepared, str(folder / _FILE), _reader(calibration), **_INT8)
    _check(onnx.load(str(folder / _FILE)))


def _converted(saved_model: Path) -> Any:
    import tensorflow as tf
    import tf2onnx

    with _without_xla(saved_model) as plain:
        loaded = tf.saved_model.load(str(plain))
    serve = loaded.signatures[SERVE]
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
    """Yield a copy of a SavedModel without functions that XLA compiles.

    Keras lets XLA compile grouped convolutions. TensorFlow does not inline such a function, and tf2onnx does not
    convert the call.
    """
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    from bnzoo.files import scratch
    from bnzoo.machine import link_or_copy

    content = SavedModel.FromString((saved_model / _GRAPH).read_bytes())
    for meta in content.meta_graphs:
        functions = meta.graph_def.library.function
        for holder in (*functions, *meta.graph_def.node, *(node for f in functions for node in f.node_def)):
            if _XLA in holder.attr:
                del holder.attr[_XLA]
    with scratch(saved_model) as plain:
        for entry in saved_model.iterdir():
            if entry.name != _GRAPH:
                link_or_copy(entry, plain / entry.name)
        (plain / _GRAPH).write_bytes(content.SerializeToString())
        yield plain


def _bind_constants(model: Any, function: Any) -> None:
    """Turn the inputs that tf2onnx makes of a function's constants, such as a layer's fixed mean, into constants."""
    from onnx import numpy_helper

    pairs = zip(function.graph.internal_captures, function.captured_inputs, strict=True)
    constants = {inner.name: outer.numpy() for inner, outer in pairs if outer.dtype != "resource"}
    used = {name for node in model.graph.node for name in node.input}
    for value in [value for value in model.graph.input if value.name in constants]:
        model.graph.input.remove(value)
        if value.name in used:
            model.graph.initializer.append(numpy_helper.from_array(constants[value.name], value.name))


def _erfc(graph: Any, node: Any, name: str, _: Any) -> None:
    """Convert Erfc, of which TensorFlow makes an exact GELU, to `1 - Erf`: ONNX and tf2onnx have no Erfc."""
    import numpy as np
    from tf2onnx import utils

    node.type = "Erf"
    kind = utils.map_onnx_to_numpy_type(graph.get_dtype(node.output[0]))
    one = graph.make_const(utils.make_name("one"), np.array(1, kind))
    output = node.output[0]
    graph.insert_new_node_on_output("Sub", output, utils.make_name(name), inputs=[one.output[0], output])


def _conv3d(graph: Any, node: Any, name: str, _: Any) -> None:
    """Convert a convolution in three dimensions, whose groups tf2onnx ignores."""
    from tf2onnx.onnx_opset.nn import ConvOp

    channels = graph.get_shape(node.input[0])[1 if node.get_attr_str("data_format") == "NCDHW" else -1]
    of_a_group = graph.get_shape(node.input[1])[-2]
    ConvOp.any_version(_OPSET, graph, node)
    node.set_attr("group", channels // of_a_group)


def _name_batch(model: Any) -> None:
    """Give the free dimension of all tensors one name: tf2onnx invents a name for each tensor."""
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
        raise RuntimeError(f"The converted model is not valid ONNX: {reason}") from error


def _reader(calibration: Arrays) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    remaining = batches(calibration)

    class Reader(CalibrationDataReader):
        def get_next(self) -> Arrays | None:
            return next(remaining, None)

    return Reader()


def load(folder: Path) -> Runner:
    """Load an artefact with ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / _FILE), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs, signature=SERVE: dict(zip(names, session.run(names, inputs), strict=True))


FORMAT = Format(
    "onnx",
    export=onnx,
    open=load,
    convert=convert,
    quantizers={"int8": quantize},
    modules=("onnx", "tf2onnx", "onnxruntime"),
    packages=("onnx", "tf2onnx", "onnxruntime"),
)
