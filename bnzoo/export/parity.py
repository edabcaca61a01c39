"""Comparison of an artefact, run by a process that has neither Keras nor bnzoo, with its model."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bnzoo.errors import printable
from bnzoo.export import runtimes
from bnzoo.export.formats import FORMATS
from bnzoo.export.formats.record import SERVE
from bnzoo.export.sample import Sample, samples
from bnzoo.export.signatures import PREDICTION, Signature, signatures
from bnzoo.files import scratch
from bnzoo.reading import read_npz, reading

# the number of examples that are stored with an artefact for `verify`, and the bytes of large ones
_KEPT, _BYTES = 8, 1_500_000
_FILE = Path("assets.extra", "parity.npz")
# the kinds of NumPy's dtypes: strings, and all that are compared
_TEXT, _KINDS = "OS", "OSbiuf"
# the bytes of stderr that are searched for the last line, and the characters of it that are shown
_TAIL, _LINE = 65_536, 500


def run_model(signatures: dict[str, Signature], sample: Sample) -> Sample:
    """Apply the functions of a model to examples.

    Args:
        signatures: Dict of `Signature`s by name.
        sample: Dict of the inputs by signature.

    Returns:
        Dict of the outputs by signature.
    """
    calls = {name: signature.call for name, signature in signatures.items()}
    if SERVE in calls:  # it gets all examples; the encoding of rows is compared with another one, in Python
        calls[SERVE] = tf.function(calls[SERVE], reduce_retracing=True, autograph=False)
    return {name: runtimes.in_batches(partial(_call, call), sample[name]) for name, call in calls.items()}


def _call(call: Callable[..., dict[str, Any]], inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    outputs = call(**{name: tf.constant(values) for name, values in inputs.items()})
    return {name: np.asarray(tensor) for name, tensor in outputs.items()}


def run_artefact(format: str, folder: Path, sample: Sample) -> Sample:
    """Run an artefact in another process, which has its runtime alone.

    Args:
        format: String, the name of the format.
        folder: The folder of the artefact.
        sample: Dict of the inputs by signature.

    Returns:
        Dict of the outputs by signature.

    Raises:
        RuntimeError: If the artefact cannot be loaded or called there.
    """
    with scratch(folder) as files:
        target, log, sources = files / "outputs.npz", files / "stderr", []
        for number, part in enumerate(runtimes.parts(sample)):
            sources.append(files / f"inputs-{number}.npz")
            runtimes.save(sources[-1], part)
        command = [sys.executable, "-P", runtimes.__file__, format, *map(str, (folder, *sources, target))]
        with log.open("wb") as stderr:  # a file, as an artefact may print more than fits into memory
            process = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, check=False
            )
        if process.returncode:
            reason = _last_line(log) or f"the process ended with status {process.returncode}"
            raise RuntimeError(f"The {format} artefact cannot be run in another process: {reason}")
        try:
            return runtimes.by_signature(read_npz(target))
        except (ValueError, OSError) as error:
            raise RuntimeError(f"The outputs of the {format} artefact cannot be read: {error}") from error


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _TAIL, 0))
        lines = file.read().decode("utf-8", "replace").splitlines()
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return printable(last[:_LINE])


def difference(expected: Sample, actual: Sample, labels: Sequence[str] | None = None) -> float:
    """Return the largest difference between outputs, relative to the largest value of the output.

    Args:
        expected: Dict of the outputs of the model by signature.
        actual: Dict of the outputs of the artefact by signature.
        labels: Sequence of strings, the names of the classes. The output `label` of an artefact is compared with its
            own probabilities, as the order of the labels of the model is arbitrary near a tie.

    Returns:
        A float, infinite if an output is absent or of another shape or type. Each target of a regression is compared
        with its own largest value.
    """
    worst = 0.0
    for signature, outputs in expected.items():
        own = actual.get(signature, {})
        if set(own) != set(outputs) or any(own[name].shape != values.shape for name, values in outputs.items()):
            return np.inf
        for name, values in outputs.items():
            # `np.maximum` keeps NaN, which the `max` of Python may drop
            worst = float(np.maximum(worst, _difference(name, values, own, labels)))
    return worst


def _difference(name: str, expected: np.ndarray, outputs: dict[str, np.ndarray], labels: Sequence[str] | None) -> float:
    actual = outputs[name]
    if _is_text(actual) != _is_text(expected) or actual.dtype.kind not in _KINDS:
        return np.inf
    if name == "label" and "probabilities" in outputs:
        return 0.0 if np.array_equal(actual, _best_labels(outputs, labels)) else np.inf
    if _is_text(expected):
        return 0.0 if np.array_equal(actual, expected) else np.inf
    values = np.asarray(expected, np.float64)
    # the targets of a regression may have very different units
    axis = 0 if name == PREDICTION and values.ndim == 2 else None
    scale = np.maximum(np.abs(values).max(axis, initial=0), np.finfo(np.float32).tiny)
    return float((np.abs(values - actual).max(axis, initial=0) / scale).max(initial=0))


def _is_text(values: np.ndarray) -> bool:
    return values.dtype.kind in _TEXT


def _best_labels(outputs: dict[str, np.ndarray], labels: Sequence[str] | None) -> np.ndarray:
    probabilities = outputs["probabilities"]
    best = np.argsort(-probabilities, axis=-1, kind="stable")[:, : outputs["label"].shape[-1]]
    names = np.array([str(label).encode() for label in labels or range(probabilities.shape[-1])], object)[best]
    failed = outputs.get("error")
    return names if failed is None else np.where((failed == b"")[:, None], names, b"")


def require(difference: float, tolerance: float) -> None:
    """Check that a difference is within the tolerance.

    Raises:
        RuntimeError: If the difference is larger, or NaN.
    """
    if not difference <= tolerance:
        raise RuntimeError(
            f"The artefact differs from the model by {difference:.2g} of the largest output, more than the "
            f"{tolerance:.2g} that is allowed. Do not use it"
        )


def keep(folder: Path, inputs: Sample, outputs: Sample) -> None:
    """Store some examples, and the outputs of the model for them, with an artefact."""
    (folder / _FILE).parent.mkdir(exist_ok=True)
    parts = {"inputs": inputs, "outputs": outputs}
    one = max(sum(values[:1].nbytes for values in arrays.values()) for arrays in inputs.values())
    # one example would not distinguish the artefact from a constant
    count = max(2, min(_KEPT, _BYTES // max(one, 1)))
    some = {
        f"{part}/{signature}": {name: values[_rows(outputs[signature], count)] for name, values in arrays.items()}
        for part, sample in parts.items()
        for signature, arrays in sample.items()
    }
    runtimes.save(folder / _FILE, some)


def _rows(outputs: dict[str, np.ndarray], count: int) -> list[int]:
    """Return the indices of the first examples, with one among them whose outputs differ from those of the first."""
    total = len(next(iter(outputs.values())))
    rows = list(range(min(count, total)))
    others = (row for row in range(1, total) if any(np.any(v[row] != v[0]) for v in outputs.values()))
    other = next(others, 0)
    return rows if other in rows else [*rows[:-1], other]


def kept(folder: Path) -> tuple[Sample, Sample]:
    """Read the examples that `keep` stored, and the outputs of the model for them.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file cannot be read. The message names it.
    """
    path = folder / _FILE
    arrays = read_npz(path)
    with reading(path, "the examples of an artefact"):
        parts: dict[str, Sample] = {"inputs": {}, "outputs": {}}
        for key, named in runtimes.by_signature(arrays).items():
            part, _, signature = key.partition("/")
            if part not in parts or not signature:
                raise ValueError(f"it must hold inputs and outputs only. Received: the array {key!r}")
            parts[part][signature] = named
        return parts["inputs"], parts["outputs"]


def compare(model: keras.Model, path: str | Path, sample: Any) -> tuple[float, dict[str, np.ndarray]]:
    """Compare the outputs of a SavedModel, run by a process that has TensorFlow alone, with those of its model.

    Args:
        model: The `keras.Model` that was exported.
        path: The folder of the SavedModel.
        sample: Array, or dict of arrays by input name: the examples.

    Returns:
        The largest difference between outputs, relative to the largest output, and the artefact's outputs by name.

    Raises:
        RuntimeError: If the artefact cannot be loaded and called there, or differs beyond the tolerance.
    """
    offered = signatures(model)
    inputs = samples(model, offered, sample)
    outputs = run_artefact("saved_model", Path(path), inputs)
    largest = difference(run_model(offered, inputs), outputs)
    require(largest, FORMATS["saved_model"].tolerance)
    return largest, outputs[SERVE]
