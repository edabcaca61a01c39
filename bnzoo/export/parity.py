"""Whether an artefact gives what its model gives, asked in a process that has neither Keras nor bnzoo."""

import subprocess
import sys
from collections.abc import Sequence
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
from bnzoo.export.signatures import Signature, signatures
from bnzoo.files import scratch
from bnzoo.reading import read_npz, reading

# so many examples stay with an artefact, for `verify`, and of large ones so many bytes
_KEPT, _BYTES = 8, 1_500_000
_FILE = Path("assets.extra", "parity.npz")
# of numpy's dtypes: texts, and all that are compared
_TEXT, _KINDS = "OS", "OSbiuf"
# of what a process said on stderr, and of its last line
_TAIL, _LINE = 65_536, 500


def answers(signatures: dict[str, Signature], sample: Sample) -> Sample:
    """What the functions of a model give.

    Args:
        signatures: The functions, by name.
        sample: The inputs, by signature.
    """
    return {name: runtimes.in_batches(partial(_call, s), sample[name]) for name, s in signatures.items()}


def _call(signature: Signature, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    outputs = signature.call(**{name: tf.constant(values) for name, values in inputs.items()})
    return {name: np.asarray(tensor) for name, tensor in outputs.items()}


def apply(format: str, folder: Path, sample: Sample) -> Sample:
    """What an artefact gives, in its own runtime, to someone who has nothing else.

    Args:
        format: String, as `runtimes.open_artefact` takes.
        folder: Its folder.
        sample: The inputs, by signature.

    Raises:
        RuntimeError: If it cannot be loaded or called there.
    """
    with scratch(folder) as files:
        source, target, said = (files / name for name in ("inputs.npz", "outputs.npz", "stderr"))
        runtimes.save(source, sample)
        command = [sys.executable, "-P", runtimes.__file__, format, str(folder), str(source), str(target)]
        with said.open("wb") as stderr:  # not in memory: an artefact may print without end
            process = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, check=False
            )
        if process.returncode:
            reason = _last_line(said) or f"it ended with status {process.returncode}"
            raise RuntimeError(f"The {format} artefact does not work in a process of its own: {reason}")
        try:
            return runtimes.by_signature(read_npz(target))
        except (ValueError, OSError) as error:
            raise RuntimeError(f"The {format} artefact gave no answers that can be read: {error}") from error


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _TAIL, 0))
        lines = file.read().decode("utf-8", "replace").splitlines()
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return printable(last[:_LINE])


def difference(expected: Sample, found: Sample, labels: Sequence[str] | None = None) -> float:
    """The largest difference between outputs, relative to the largest output of its name; infinite where one is absent.

    Args:
        expected: The outputs by signature.
        found: Likewise.
        labels: The names of the classes: words are not compared with words, for near a tie their order is open, but
            with the probabilities beside them.
    """
    worst = 0.0
    for signature, outputs in expected.items():
        own = found.get(signature, {})
        if set(own) != set(outputs) or any(own[name].shape != values.shape for name, values in outputs.items()):
            return np.inf
        for name, values in outputs.items():
            worst = float(np.maximum(worst, _difference(name, values, own[name], own, labels)))
    return worst


def _difference(
    name: str, expected: np.ndarray, found: np.ndarray, beside: dict, labels: Sequence[str] | None
) -> float:
    if _is_text(found) != _is_text(expected) or found.dtype.kind not in _KINDS:
        return np.inf
    if name == "label" and "probabilities" in beside:
        return 0.0 if np.array_equal(found, _best_labels(beside, labels)) else np.inf
    if _is_text(expected):
        return 0.0 if np.array_equal(found, expected) else np.inf
    values = np.asarray(expected, np.float64)
    scale = max(float(np.abs(values).max(initial=0)), np.finfo(np.float32).tiny)
    # NaN anywhere must count, and the `max` of Python would drop it
    return float(np.abs(values - found).max(initial=0) / scale)


def _is_text(values: np.ndarray) -> bool:
    return values.dtype.kind in _TEXT


def _best_labels(outputs: dict[str, np.ndarray], labels: Sequence[str] | None) -> np.ndarray:
    probabilities = outputs["probabilities"]
    best = np.argsort(-probabilities, axis=-1, kind="stable")[:, : outputs["label"].shape[-1]]
    names = np.array([str(label).encode() for label in labels or range(probabilities.shape[-1])], object)[best]
    failed = outputs.get("error")
    return names if failed is None else np.where((failed == b"")[:, None], names, b"")


def require(difference: float, tolerance: float) -> None:
    """Raises `RuntimeError` if a difference is not within the tolerance."""
    if not difference <= tolerance:
        raise RuntimeError(
            f"The exported model differs from the one in memory by {difference:.2g} of its largest output, more than "
            f"{tolerance:.0e}: it must not be used"
        )


def keep(folder: Path, inputs: Sample, outputs: Sample) -> None:
    """Leaves some examples with an artefact, and what its model gives for them."""
    (folder / _FILE).parent.mkdir(exist_ok=True)
    parts = {"inputs": inputs, "outputs": outputs}
    one = max(sum(values[:1].nbytes for values in arrays.values()) for arrays in inputs.values())
    count = max(2, min(_KEPT, _BYTES // max(one, 1)))  # one would not tell a constant from an answer
    some = {
        f"{part}/{signature}": {name: values[_rows(outputs[signature], count)] for name, values in arrays.items()}
        for part, sample in parts.items()
        for signature, arrays in sample.items()
    }
    runtimes.save(folder / _FILE, some)


def _rows(outputs: dict[str, np.ndarray], count: int) -> list[int]:
    """Return the numbers of the first examples, with one among them whose answer is not that of the first."""
    total = len(next(iter(outputs.values())))
    rows = list(range(min(count, total)))
    others = (row for row in range(1, total) if any(np.any(v[row] != v[0]) for v in outputs.values()))
    other = next(others, 0)
    return rows if other in rows else [*rows[:-1], other]


def kept(folder: Path) -> tuple[Sample, Sample]:
    """Read the examples that `keep` left, and the outputs of the model for them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If they cannot be read; the message names the file.
    """
    path = folder / _FILE
    arrays = read_npz(path)
    with reading(path, "the examples of an artefact"):
        parts: dict[str, Sample] = {"inputs": {}, "outputs": {}}
        for key, named in runtimes.by_signature(arrays).items():
            part, _, signature = key.partition("/")
            if part not in parts or not signature:
                raise ValueError(f"{key!r} is neither an input nor an output")
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
    outputs = apply("saved_model", Path(path), inputs)
    largest = difference(answers(offered, inputs), outputs)
    require(largest, FORMATS["saved_model"].tolerance)
    return largest, outputs[SERVE]
