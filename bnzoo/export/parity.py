"""Whether an artefact gives what its model gives, asked in a process that has neither Keras nor bnzoo."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from bnzoo.export import runtimes
from bnzoo.export.sample import Sample
from bnzoo.export.signatures import Signature

# relative to the largest absolute output; folding and another graph reorder float32 sums
TOLERANCE = 1e-4
# so many examples stay with an artefact, for `verify`, and of large ones so many bytes
_KEPT, _BYTES = 8, 1_500_000
_FILE = Path("assets.extra", "parity.npz")


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
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "inputs.npz"), Path(scratch, "outputs.npz")
        runtimes.save(source, sample)
        command = [sys.executable, "-P", runtimes.__file__, format, str(folder), str(source), str(target)]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if process.returncode:
            last = process.stderr.strip().rpartition("\n")[2]
            raise RuntimeError(f"The {format} artefact does not work in a process of its own: {last}")
        return runtimes.load(target)


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
        if set(found.get(signature, {})) != set(outputs):
            return np.inf
        for name, values in outputs.items():
            own = found[signature][name]
            worst = float(np.maximum(worst, _difference(name, values, own, found[signature], labels)))
    return worst


def _difference(
    name: str, expected: np.ndarray, found: np.ndarray, beside: dict, labels: Sequence[str] | None
) -> float:
    if found.shape != expected.shape:
        return np.inf
    if name == "label":
        return 0.0 if np.array_equal(found, _best_labels(beside, labels)) else np.inf
    if expected.dtype.kind in "SO":
        return 0.0 if np.array_equal(found, expected) else np.inf
    values = np.asarray(expected, np.float64)
    scale = max(float(np.abs(values).max(initial=0)), np.finfo(np.float32).tiny)
    # NaN anywhere must count, and the `max` of Python would drop it
    return float(np.abs(values - found).max(initial=0) / scale)


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
    count = max(1, min(_KEPT, _BYTES // max(one, 1)))
    some = {
        f"{part}/{signature}": {name: values[:count] for name, values in arrays.items()}
        for part, sample in parts.items()
        for signature, arrays in sample.items()
    }
    runtimes.save(folder / _FILE, some)


def kept(folder: Path) -> tuple[Sample, Sample]:
    """The examples that `keep` left, and what the model gives for them."""
    inputs: Sample = {}
    outputs: Sample = {}
    for key, arrays in runtimes.load(folder / _FILE).items():
        part, _, signature = key.partition("/")
        {"inputs": inputs, "outputs": outputs}[part][signature] = arrays
    return inputs, outputs
