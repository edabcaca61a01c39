"""Writing a model as a SavedModel."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from bnzoo.export import image as images
from bnzoo.export import rows, warmups
from bnzoo.export.artefact import ExportPlan, Request, make
from bnzoo.export.formats import FORMATS
from bnzoo.export.formats.record import Format
from bnzoo.export.report import ExportReport
from bnzoo.export.signatures import Signature, accepting_empty_batches, signatures
from bnzoo.files import scratch
from bnzoo.keras_internals import flatten_layers


def export(
    format: Format, model: keras.Model, path: str | Path, *, image: Any, warmup: Sequence[int] | None, **request: Any
) -> ExportReport:
    """Export a model as a SavedModel. The arguments are those of `bnzoo.export.saved_model` and of `Request`."""
    plan = ExportPlan(Request(model, image=images.get(image), **request))
    inputs = plan.inputs | {alias: plan.inputs[name] for alias, name in format.aliases.items()}
    log = warmups.log(inputs, warmup) if warmup is not None else None

    def write_all(plan: ExportPlan, folder: Path) -> None:
        write(plan, folder, accepting_empty_batches)
        if plan.request.encoder is not None:
            rows.write(plan.request.encoder, folder)
        if log is not None:
            warmups.write(folder, log)

    packages = () if log is None else (warmups.PACKAGE,)
    details = {"warmup": None if warmup is None else list(warmup)}
    return make(plan, path, format, write_all, packages=packages, details=details)


def write(
    plan: ExportPlan, folder: Path, offer: Callable[[Signature], Signature] = lambda signature: signature
) -> None:
    """Write a model as a SavedModel, with its signatures, their aliases and the names of the classes.

    A `tf.Module` holds each variable once, where the exporter of Keras would store the weights twice.

    Args:
        plan: The `ExportPlan`.
        folder: An existing folder, which gets the files of the SavedModel.
        offer: Function that is called with each `Signature`. The `call` of its result is written, with the inputs of
            the original.

    Raises:
        OSError: If TensorFlow cannot write it, for instance because the disk is full.
    """
    request = plan.request
    module = tf.Module()
    module.weights = [variable.value for variable in plan.served.variables]
    module.functions = {
        name: tf.function(offer(signature).call, autograph=False).get_concrete_function(**signature.inputs)
        for name, signature in signatures(
            plan.served, request.image, request.labels, rows.in_graph(request.encoder)
        ).items()
    }
    module.tables = _tables(plan.served, module.functions.values())
    with scratch(folder) as assets:
        if request.labels is not None:
            file = assets / "labels.txt"
            write_labels(file, request.labels)
            module.labels = tf.saved_model.Asset(str(file))
        aliases = FORMATS["saved_model"].aliases
        offered = {**{alias: module.functions[name] for alias, name in aliases.items()}, **module.functions}
        try:
            tf.saved_model.save(module, str(folder), signatures=offered)
        except tf.errors.OpError as error:  # the reason is in the message of TensorFlow alone, such as a full disk
            raise OSError(f"The SavedModel cannot be written: {error.message}") from error


def _tables(model: keras.Model, functions: Iterable[Any]) -> list[Any]:
    """Return the lookup tables of layers, such as vocabularies, that functions use. They are no variables."""
    used = {id(tensor) for function in functions for tensor in function.captured_inputs}
    held = [value for layer in flatten_layers(model) for value in vars(layer).values()]
    return [value for value in held if id(getattr(value, "resource_handle", None)) in used]


def write_labels(path: Path, labels: Sequence[str]) -> None:
    """Write the names of the classes, a line each."""
    path.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8", newline="\n")
