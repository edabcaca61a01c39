"""A trained Keras model as a SavedModel: folded, verified, whole or not at all."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bnzoo.files import whole_folder
from bnzoo.tools import FoldReport, fold_batch_norm

# relative to the largest absolute output; folding and another graph reorder float32 sums
TOLERANCE = 1e-4
_SAMPLES = 32
_LOADER = Path(__file__).with_name("loader.py")


@dataclass(frozen=True)
class ExportReport:
    """What was exported and how it was verified.

    Attributes:
        path: The SavedModel's folder.
        fold: The `FoldReport`.
        difference: Float, the largest difference between an output of the model and of the artefact, relative to the
            largest output.
        tolerance: Float, what it may be at most.
        outputs: Dict of arrays, what the artefact gave for the sample in a process of its own.
    """

    path: Path
    fold: FoldReport
    difference: float
    tolerance: float
    outputs: dict[str, np.ndarray] = field(repr=False)


def saved_model(
    model: keras.Model,
    path: str | Path,
    *,
    labels: Sequence[str] | None = None,
    sample: Any = None,
    fold: bool = True,
) -> ExportReport:
    """Exports a model as a SavedModel that needs TensorFlow alone, and verifies it before it appears.

    The signatures `serving_default` and `serve` take the model's own input names. A classifier that ends in the layer
    `logits` has the outputs `logits` and `probabilities`, one that ends in a softmax has `probabilities`, any other
    model its own output names. Each weight is stored once. The artefact is loaded by a process that can import neither
    Keras nor bnzoo, and compared with the model that was passed; only then is it renamed to `path`.

    Args:
        model: A built functional or Sequential `keras.Model` in float32.
        path: The folder to make, `<name>/<integer version>` for a model server.
        labels: Sequence of strings, the names of the classes, stored as the asset `labels.txt`.
        sample: Array (or dict of arrays, by input name) that artefact and model are compared on; drawn from a normal
            distribution by default.
        fold: Boolean, whether batch norms are folded into the linear layers before them.

    Returns:
        An `ExportReport`.

    Raises:
        ValueError: If the model cannot be exported, or `labels` and classes differ in number.
        FileExistsError: If `path` exists.
        OSError: If it cannot be written.
        RuntimeError: If the artefact cannot be loaded, or differs from the model beyond the tolerance. Nothing is left.

    Examples:
    >>> report = bnzoo.export.saved_model(model, "serving/digits/1", labels=["cat", "dog"])
    >>> tf.saved_model.load("serving/digits/1").signatures["serve"](image=images)["probabilities"]
    """
    _check(model, labels)
    inputs = _sample(model, sample)
    folded, report = fold_batch_norm(model) if fold else (model, FoldReport())
    with whole_folder(path) as draft, tempfile.TemporaryDirectory() as scratch:
        _write(folded, draft, labels, Path(scratch))
        difference, outputs = compare(model, draft, inputs)
    return ExportReport(Path(path), report, difference, TOLERANCE, outputs)


def compare(model: keras.Model, path: str | Path, sample: Any) -> tuple[float, dict[str, np.ndarray]]:
    """What an artefact gives in a process that has TensorFlow alone, and how far that is from the model.

    Args:
        model: The `keras.Model` that was exported.
        path: The SavedModel's folder.
        sample: Array, or dict of arrays by input name.

    Returns:
        The largest difference between outputs, relative to the largest output, and the artefact's outputs by name.

    Raises:
        RuntimeError: If the artefact cannot be loaded and called there, or differs beyond the tolerance.
    """
    inputs = _sample(model, sample)
    with tempfile.TemporaryDirectory() as scratch:
        outputs = _outputs_in_a_fresh_process(Path(path), inputs, Path(scratch))
    difference = _difference(model, inputs, outputs)
    if not difference <= TOLERANCE:
        raise RuntimeError(
            f"The exported model differs from the one in memory by {difference:.2g} of its largest output, more than "
            f"{TOLERANCE:.0e}: it must not be used"
        )
    return difference, outputs


def _check(model: keras.Model, labels: Sequence[str] | None) -> None:
    if not isinstance(model, keras.Model) or not model.built or not getattr(model, "inputs", None):
        raise ValueError(
            f"`model` must be a built functional or Sequential keras.Model. Received: {type(model).__name__}"
        )
    for layer in model._flatten_layers():
        if layer.compute_dtype not in ("float32", None):
            raise ValueError(
                "`model` must compute in float32; build it under that dtype policy and load its weights. "
                f"Received: layer {layer.name} in {layer.compute_dtype}"
            )
    if labels is not None:
        if isinstance(labels, str) or any("\n" in str(label) for label in labels):
            raise ValueError(f"`labels` must be a sequence of strings without line breaks. Received: {labels!r}")
        classes = model.outputs[0].shape[-1]
        if len(model.outputs) != 1 or classes != len(labels):
            raise ValueError(
                "`labels` must name the classes of the model's one output. "
                f"Received: {len(labels)} labels, {len(model.outputs)} outputs, {classes} classes"
            )


def _sample(model: keras.Model, sample: Any) -> dict[str, np.ndarray]:
    """Arrays by input name."""
    names = [tensor.name for tensor in model.inputs]
    if sample is None:
        random = np.random.default_rng(0)
        for tensor in model.inputs:
            if None in tensor.shape[1:]:
                raise ValueError(
                    f"`sample` is needed: the input {tensor.name!r} has the shape {tensor.shape}, from which none can "
                    "be drawn"
                )
        sample = {t.name: random.normal(size=(_SAMPLES, *t.shape[1:])).astype(t.dtype) for t in model.inputs}
    if not isinstance(sample, dict):
        sample = {names[0]: sample} if len(names) == 1 else {}
    if set(sample) != set(names):
        raise ValueError(f"`sample` must be an array for each input: {', '.join(names)}. Received: {sorted(sample)}")
    return {tensor.name: np.asarray(sample[tensor.name], tensor.dtype) for tensor in model.inputs}


def _named_outputs(model: keras.Model) -> Any:
    """A function of the inputs by name that gives the outputs by name."""
    names = list(model.output_names)
    last = model.layers[-1]

    def call(**inputs: Any) -> dict[str, Any]:
        ordered = [inputs[tensor.name] for tensor in model.inputs]
        structure = keras.tree.pack_sequence_as(model.input, ordered) if len(ordered) > 1 else ordered[0]
        outputs = keras.tree.flatten(model(structure, training=False))
        if names == ["logits"]:
            return {"logits": outputs[0], "probabilities": keras.ops.softmax(outputs[0])}
        if len(outputs) == 1 and getattr(last, "activation", None) is keras.activations.softmax:
            return {"probabilities": outputs[0]}
        return dict(zip(names, outputs, strict=True))

    return call


def _write(model: keras.Model, folder: Path, labels: Sequence[str] | None, scratch: Path) -> None:
    """A module of our own holds each variable once; Keras's exporter stores the weights twice."""
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    signature = {t.name: tf.TensorSpec((None, *t.shape[1:]), t.dtype, name=t.name) for t in model.inputs}
    if labels is not None:
        file = scratch / "labels.txt"
        file.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
        module.labels = tf.saved_model.Asset(str(file))
    serve = tf.function(_named_outputs(model)).get_concrete_function(**signature)
    module.serve = serve
    try:
        tf.saved_model.save(module, str(folder), signatures={"serving_default": serve, "serve": serve})
    except tf.errors.OpError as error:  # TensorFlow's own words for what a disk refuses
        raise OSError(f"The SavedModel could not be written: {error.message}") from error


def _outputs_in_a_fresh_process(folder: Path, inputs: dict[str, np.ndarray], scratch: Path) -> dict[str, np.ndarray]:
    """What the artefact gives to someone who has TensorFlow and nothing else."""
    np.savez(scratch / "inputs.npz", **inputs)  # type: ignore[arg-type]  # numpy takes any name
    command = [sys.executable, "-P", str(_LOADER), str(folder), str(scratch / "inputs.npz"), str(scratch / "out.npz")]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        last = process.stderr.strip().rpartition("\n")[2]
        raise RuntimeError(f"The exported model does not work in a process with TensorFlow only: {last}")
    with np.load(scratch / "out.npz") as file:
        return dict(file)


def _difference(model: keras.Model, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> float:
    expected = _named_outputs(model)(**{name: keras.ops.convert_to_tensor(x) for name, x in inputs.items()})
    worst = 0.0
    for name, tensor in expected.items():
        values = np.asarray(tensor, np.float64)
        scale = max(float(np.abs(values).max(initial=0)), np.finfo(np.float32).tiny)
        # NaN anywhere must fail the comparison, and `max` would drop it
        worst = float(np.maximum(worst, np.abs(values - outputs[name]).max(initial=0) / scale))
    return worst
