"""A trained Keras model as a SavedModel: folded, verified, whole or not at all."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bnzoo.export import image as images
from bnzoo.export import parity, warmups
from bnzoo.export.artefact import PACKAGES, ExportReport, Plan, Request, make
from bnzoo.export.evidence import SERVING_DEFAULT
from bnzoo.export.sample import samples
from bnzoo.export.signatures import SERVE, Signature, answering_none, signatures
from bnzoo.files import scratch
from bnzoo.keras_internals import flatten_layers


def saved_model(
    model: keras.Model,
    path: str | Path,
    *,
    fold: bool = True,
    image: images.Image | str | None = None,
    labels: Sequence[str] | None = None,
    warmup: Sequence[int] | None = None,
    sample: Any = None,
    sign: str | Path | None = None,
) -> ExportReport:
    """Exports a model as a SavedModel that needs TensorFlow alone, and verifies it before it appears.

    The signatures `serving_default` and `serve` take the model's own input names; an input without a name is `image` if
    it has the rank of images, else `input`. A classifier that ends in the layer `logits` has the outputs `logits` and
    `probabilities`, one that ends in a softmax has `probabilities`, any other model its own output names. With `image`
    there are also

    - `serve_uint8`: `image`, uint8 of any height and width;
    - `serve_image_bytes`: `image_bytes`, the contents of JPEG, PNG, GIF (the first frame) or BMP files (without
      compression or palette), with 8 bits for each channel, turned upright as their EXIF says. One that is damaged, of
      another kind, or of more pixels than the `max_pixels` of `Image`, has its message in the output `error`, zeros and
      empty strings elsewhere; the others of the batch are not touched by it.

    Both resize as Pillow does, normalise as the model was trained, and give the five best classes of a classifier:
    `label` (its number if there are no `labels`) and `score`, both `(batch, 5)`. An empty batch has empty outputs.

    Each weight is stored once. The artefact is loaded by a process that can import neither Keras nor bnzoo, and
    compared with the model that was passed; only then does it appear. Beside it are `MANIFEST.json` (checksums,
    versions, signatures, what was folded, how it was verified) and some examples, with which `verify` asks it again.

    Args:
        model: A built functional or Sequential `keras.Model`. One that computes in 16 bits is exported in float32.
        path: The folder to make, `<name>/<integer version>` for a model server; or `<name>`, in which the next version
            is made. No version is overwritten.
        fold: Boolean, whether batch norms are folded into the linear layers next to them.
        image: `Image`, or one of `"raw"` (levels of 0 to 255), `"unit"` (0 to 1), `"tf"`, `"torch"`, `"caffe"` (as in
            `keras.applications`): how images become what the model was trained on.
        labels: Sequence of strings, the names of the classes, stored as the asset `labels.txt`.
        warmup: Sequence of integers, batch sizes for which TensorFlow Serving is to call every signature before it
            answers the first request. Needs the extra `warmup`.
        sample: Array (or dict of arrays, by input name) that artefact and model are compared on; drawn from a normal
            distribution by default.
        sign: The path of a private key (Ed25519 or ECDSA, PEM, without a password), with which `MANIFEST.json` and so
            the checksums of all files are signed, in `MANIFEST.json.sig`; for `verify(key=)`. Needs the extra `sign`.

    Returns:
        An `ExportReport`.

    Raises:
        ValueError: If the model cannot be exported, or an argument does not fit it.
        ImportError: If a package is missing that an argument needs.
        FileExistsError: If the version exists.
        OSError: If it cannot be written.
        RuntimeError: If the artefact cannot be loaded, or differs from the model beyond the tolerance. Nothing is left.

    Examples:
    >>> report = bnzoo.export.saved_model(model, "serving/digits", labels=["cat", "dog"], image="torch")
    >>> serve = tf.saved_model.load(report.path).signatures["serve_image_bytes"]
    >>> serve(image_bytes=tf.constant([open("cat.jpeg", "rb").read()]))["label"]
    """
    plan = Plan(Request(model, fold=fold, labels=labels, sample=sample, image=images.get(image), sign=sign))
    log = warmups.log(plan.inputs, warmup) if warmup is not None else None

    def write_all(plan: Plan, folder: Path) -> None:
        write(plan, folder, answering_none)
        if log is not None:
            warmups.write(folder, log)

    packages = PACKAGES if log is None else (*PACKAGES, warmups.PACKAGE)
    notes = {"warmup": None if warmup is None else list(warmup)}
    return make(plan, path, "saved_model", write_all, packages=packages, notes=notes)


def write(plan: Plan, folder: Path, offer: Callable[[Signature], Signature] = lambda signature: signature) -> None:
    """Write a SavedModel. A module of our own holds each variable once; Keras's exporter stores the weights twice.

    Args:
        plan: The `Plan`.
        folder: The folder to write in.
        offer: Function of each `Signature` that returns the one to write.
    """
    request = plan.request
    module = tf.Module()
    module.weights = [variable.value for variable in plan.served.variables]
    module.functions = {
        name: tf.function(offer(signature).call, autograph=False).get_concrete_function(**signature.inputs)
        for name, signature in signatures(plan.served, request.image, request.labels).items()
    }
    module.tables = _tables(plan.served, module.functions.values())
    with scratch(folder) as assets:
        if request.labels is not None:
            file = assets / "labels.txt"
            write_labels(file, request.labels)
            module.labels = tf.saved_model.Asset(str(file))
        offered = {SERVING_DEFAULT: module.functions[SERVE], **module.functions}
        try:
            tf.saved_model.save(module, str(folder), signatures=offered)
        except tf.errors.OpError as error:  # TensorFlow's own words for what a disk refuses
            raise OSError(f"The SavedModel could not be written: {error.message}") from error


def _tables(model: keras.Model, functions: Iterable[Any]) -> list[Any]:
    """Return the tables of layers that functions look up in: vocabularies, which are no variables."""
    used = {id(tensor) for function in functions for tensor in function.captured_inputs}
    held = [value for layer in flatten_layers(model) for value in vars(layer).values()]
    return [value for value in held if id(getattr(value, "resource_handle", None)) in used]


def write_labels(path: Path, labels: Sequence[str]) -> None:
    """A line for each class."""
    path.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")


def compare(model: keras.Model, path: str | Path, sample: Any) -> tuple[float, dict[str, np.ndarray]]:
    """What a SavedModel gives in a process that has TensorFlow alone, and how far that is from the model.

    Args:
        model: The `keras.Model` that was exported.
        path: The SavedModel's folder.
        sample: Array, or dict of arrays by input name.

    Returns:
        The largest difference between outputs, relative to the largest output, and the artefact's outputs by name.

    Raises:
        RuntimeError: If the artefact cannot be loaded and called there, or differs beyond the tolerance.
    """
    offered = signatures(model)
    inputs = samples(model, offered, sample)
    outputs = parity.apply("saved_model", Path(path), inputs)
    difference = parity.difference(parity.answers(offered, inputs), outputs)
    parity.require(difference, parity.TOLERANCE)
    return difference, outputs[SERVE]
