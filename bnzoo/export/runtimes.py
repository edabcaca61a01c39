"""Artefacts, each in its own runtime and with nothing of this package.

Run as a script it applies one in a process that can import neither Keras nor bnzoo, nor TensorFlow where the format is
another's: `python -P runtimes.py FORMAT FOLDER INPUTS.npz OUTPUTS.npz`.
"""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Artefact = Callable[..., Arrays]

_BATCH = 256
_LENGTHS = ".lengths"


def open_artefact(format: str, folder: str | Path) -> Artefact:
    """Loads an artefact on the CPU.

    Args:
        format: String, `"saved_model"`, `"onnx"`, `"litert"` or `"openvino"`.
        folder: The artefact's folder.

    Returns:
        A function of a dict of arrays by input name that gives a dict of arrays by output name. Strings are bytes. That
        of a SavedModel takes the name of a signature too.

    Raises:
        ValueError: If the format is unknown.
    """
    openers = {"saved_model": _saved_model, "onnx": _onnx, "litert": _litert, "openvino": _openvino}
    if format not in openers:
        raise ValueError(f"`format` must be one of {', '.join(openers)}. Received: {format!r}")
    return openers[format](Path(folder))


def _saved_model(folder: Path) -> Artefact:
    import tensorflow as tf

    with tf.device("CPU"):
        loaded = tf.saved_model.load(str(folder))

    def apply(inputs: Arrays, signature: str = "serve") -> Arrays:
        with tf.device("CPU"):
            outputs = loaded.signatures[signature](**{name: tf.constant(values) for name, values in inputs.items()})
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return apply


def _onnx(folder: Path) -> Artefact:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))


def _litert(folder: Path) -> Artefact:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / "model.tflite"), num_threads=os.cpu_count())
    run = interpreter.get_signature_runner("serve")  # it resizes to the batch
    return lambda inputs: run(**inputs)


def _openvino(folder: Path) -> Artefact:
    import openvino

    # otherwise it computes in bfloat16 where the processor can
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    run = openvino.Core().compile_model(str(folder / "model.xml"), "CPU", options)

    def apply(inputs: Arrays) -> Arrays:
        results = run(inputs)
        # outputs that are the same tensor are one port with several names; a copy, for the next call overwrites
        return {name: results[port].copy() for port in run.outputs for name in port.get_names()}

    return apply


def pack(inputs: Arrays) -> Arrays:
    """Arrays that a file holds as they are: those of bytes as their contents and their lengths.

    An array of dtype `S` would lose the zeros that end an encoded image.

    Args:
        inputs: Dict of arrays, of numbers or of bytes.

    Returns:
        Dict of arrays; in the place of one of bytes, one of dtype uint8 and `<name>.lengths`.
    """
    packed = {}
    for name, values in inputs.items():
        if values.dtype.kind not in "OS":
            packed[name] = values
            continue
        strings = values.ravel().tolist()
        packed[name] = np.frombuffer(b"".join(strings), np.uint8)
        packed[name + _LENGTHS] = np.array([len(s) for s in strings], np.int64).reshape(values.shape)
    return packed


def unpack(arrays: Arrays) -> Arrays:
    """What `pack` was given, bytes as arrays of objects.

    Args:
        arrays: Dict of arrays, as `pack` gives.

    Returns:
        Dict of arrays.

    Raises:
        ValueError: If the lengths of strings are not those of their contents.
    """
    return {
        name: _strings(name, values, arrays[name + _LENGTHS]) if name + _LENGTHS in arrays else values
        for name, values in arrays.items()
        if not name.endswith(_LENGTHS)
    }


def _strings(name: str, contents: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    sizes = lengths.ravel().tolist() if lengths.dtype == np.int64 else [-1]
    if contents.dtype != np.uint8 or contents.ndim != 1 or min(sizes, default=0) < 0 or sum(sizes) != len(contents):
        raise ValueError(f"the contents and the lengths of the strings {name!r} do not fit")
    ends = np.cumsum(lengths)
    strings = np.empty(lengths.size, object)
    strings[:] = [contents[end - size : end].tobytes() for end, size in zip(ends, lengths.flat, strict=True)]
    return strings.reshape(lengths.shape)


def _block(format: str) -> None:
    """An artefact that needs more than its own runtime must fail here and not at its first user."""
    if format == "saved_model":
        import tensorflow  # noqa: F401  # itself it may look for Keras
    blocked: Any = {"keras": None, "bnzoo": None}
    if format != "saved_model":
        blocked["tensorflow"] = None
    sys.modules.update(blocked)


def save(path: str | Path, arrays: dict[str, Arrays]) -> None:
    """Writes arrays by name, by signature, strings among them, as one `.npz`."""
    flat = {f"{signature}/{name}": values for signature, named in arrays.items() for name, values in named.items()}
    np.savez(path, **pack(flat))  # type: ignore[arg-type]  # numpy takes any name


def load(path: str | Path) -> dict[str, Arrays]:
    """Reads what `save` wrote."""
    with np.load(path) as file:
        return by_signature(dict(file))


def by_signature(arrays: Arrays) -> dict[str, Arrays]:
    """Group the arrays of a file of `save` by signature.

    Args:
        arrays: Dict of arrays, by the names in the file.

    Returns:
        Dict of dicts of arrays, by signature and by name.

    Raises:
        ValueError: If they are not as `save` writes them.
    """
    found: dict[str, Arrays] = {}
    for key, values in unpack(arrays).items():
        signature, _, name = key.rpartition("/")
        found.setdefault(signature, {})[name] = values
    return found


def main(format: str, folder: str, source: str, target: str) -> None:
    """Applies an artefact to the arrays in `source`, and writes its outputs to `target`, both as `save` does.

    Args:
        format: String, as `open_artefact` takes.
        folder: The artefact's folder.
        source: An `.npz` file.
        target: An `.npz` file to write.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a comparison is with one device's arithmetic
    _block(format)
    save(target, answers(format, folder, load(source)))


def answers(format: str, folder: str | Path, asked: dict[str, Arrays]) -> dict[str, Arrays]:
    """What an artefact gives for inputs by signature, in batches."""
    artefact = open_artefact(format, folder)
    found = {}
    for signature, inputs in asked.items():
        # only a SavedModel has several
        apply = functools.partial(artefact, signature=signature) if format == "saved_model" else artefact
        found[signature] = in_batches(apply, inputs)
    return found


def in_batches(apply: Artefact, inputs: Arrays) -> Arrays:
    """What a function of arrays by name gives for many examples, a part of them at a time."""
    size = len(next(iter(inputs.values())))
    parts = [
        apply({name: values[start : start + _BATCH] for name, values in inputs.items()})
        for start in range(0, size, _BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


if __name__ == "__main__":
    main(*sys.argv[1:])
