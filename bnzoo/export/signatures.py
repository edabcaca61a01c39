"""The signatures of an artefact: the functions that a server can call."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import keras
import tensorflow as tf

from bnzoo.export.decoding import Pixels
from bnzoo.export.formats.record import SERVE
from bnzoo.export.image import Image
from bnzoo.export.rows import Rows
from bnzoo.keras_internals import functional_model
from bnzoo.tools.activation_layers import ends_in

SERVE_UINT8, SERVE_IMAGE_BYTES = "serve_uint8", "serve_image_bytes"
SERVE_ROWS = "serve_rows"
TOP = 5
# the output of a model for several labels an example, whose probabilities are independent
LABEL_LOGITS = "label_logits"
# the output of a regression, with a column for each target
PREDICTION = "prediction"
# the name that Keras 3 gives to an input without a name; the number depends on the models built before
_UNNAMED = re.compile(r"(keras_tensor|input_layer)(_\d+)*")
# that of Keras 2; users give such names too, to tell several inputs apart
_UNNAMED_IN_KERAS_2 = re.compile(r"input(_\d+)*")

Outputs = dict[str, Any]


@dataclass(frozen=True)
class Signature:
    """A function that an artefact offers.

    Attributes:
        call: Function of tensors, as keyword arguments, that returns a dict of tensors by name.
        inputs: Dict of `tf.TensorSpec`s by name. The batch dimension is free.
    """

    call: Callable[..., Outputs]
    inputs: dict[str, tf.TensorSpec]


def input_names(model: keras.Model) -> list[str]:
    """Return the names of a model's inputs.

    A single input without a name is `image` or `input`, one of several has its number, or the next that is free.
    """
    names = [tensor.name for tensor in model.inputs]
    if len(names) == 1:
        is_unnamed = _UNNAMED.fullmatch(names[0]) or _UNNAMED_IN_KERAS_2.fullmatch(names[0])
        return ["image" if len(model.inputs[0].shape) == 4 else "input"] if is_unnamed else names
    taken = set(names)
    return [
        _numbered("input", number, taken) if _UNNAMED.fullmatch(name) else name
        for number, name in enumerate(names, start=1)
    ]


def output_names(model: keras.Model) -> list[str]:
    """Return the names of the outputs of a functional model. Those of the same name are numbered."""
    names = list(model.output_names)
    taken, counts = set(names), Counter(names)
    return [_numbered(name, 1, taken) if counts[name] > 1 else name for name in names]


def _numbered(stem: str, first: int, taken: set[str]) -> str:
    """Return a name with the first number that is free, and add it to those that are taken."""
    name = next(name for number in count(first) if (name := f"{stem}_{number}") not in taken)
    taken.add(name)
    return name


def signatures(
    model: keras.Model, image: Image | None = None, labels: Sequence[str] | None = None, rows: Rows | None = None
) -> dict[str, Signature]:
    """Return the signatures of an artefact: `serve` on the inputs of the model, and those on images and rows.

    Args:
        model: A functional or Sequential `keras.Model`.
        image: An `Image`, for the two signatures that take unscaled images, as levels and as files; `None` for none.
        labels: Sequence of strings, the names of the classes or labels, which the signatures on images and rows return.
            `None` for their indices as text.
        rows: `Rows`, for the signature that takes the columns of a table; `None` for none.

    Returns:
        Dict of `Signature`s by name.
    """
    serve = _Serve(model)
    offered = {SERVE: Signature(serve, serve.specs())}
    if image is not None:
        pixels = Pixels(image, tuple(model.inputs[0].shape[1:]))
        images = _Images(serve, pixels, labels)
        levels = tf.TensorSpec((None, None, None, pixels.channels), tf.uint8, name="image")
        offered[SERVE_UINT8] = Signature(images.from_levels, {"image": levels})
        # model servers decode base64 for a name that ends in `_bytes`
        files = tf.TensorSpec((None,), tf.string, name="image_bytes")
        offered[SERVE_IMAGE_BYTES] = Signature(images.from_files, {"image_bytes": files})
    if rows is not None:
        offered[SERVE_ROWS] = Signature(_Rows(serve, rows, labels), rows.specs)
    return offered


def accepting_empty_batches(signature: Signature) -> Signature:
    """Return a signature whose outputs for an empty batch are empty.

    With oneDNN the convolutions of TensorFlow refuse an empty batch. The model is applied to one example of zeros
    instead, and the outputs are cut off.

    Args:
        signature: A `Signature`.
    """

    def call(**inputs: tf.Tensor) -> Outputs:
        empty = tf.shape(next(iter(inputs.values())))[0] == 0
        outputs = signature.call(**{name: _some(tensor) for name, tensor in inputs.items()})
        return {name: tensor[: tf.where(empty, 0, tf.shape(tensor)[0])] for name, tensor in outputs.items()}

    return replace(signature, call=call)


def _some(tensor: tf.Tensor) -> tf.Tensor:
    """Return the examples, or one of zeros or empty strings if there are none."""
    shape = tf.concat([[1], tf.maximum(tf.shape(tensor)[1:], 1)], 0)
    some = tf.cond(tf.shape(tensor)[0] == 0, lambda: tf.zeros(shape, tensor.dtype), lambda: tensor)
    return tf.ensure_shape(some, tensor.shape)


class _Serve:
    """A model as a function of its inputs by name that returns its outputs by name."""

    def __init__(self, model: keras.Model) -> None:
        self.model = functional_model(model)
        self.names, self.output_names = input_names(model), output_names(self.model)
        self.ends_in_softmax = ends_in(model, keras.activations.softmax)

    def specs(self) -> dict[str, tf.TensorSpec]:
        pairs = zip(self.names, self.model.inputs, strict=True)
        return {name: tf.TensorSpec((None, *t.shape[1:]), t.dtype, name=name) for name, t in pairs}

    def __call__(self, **inputs: tf.Tensor) -> Outputs:
        ordered = [inputs[name] for name in self.names]
        structure = keras.tree.pack_sequence_as(self.model.input, ordered)
        outputs = keras.tree.flatten(self.model(structure, training=False))
        if len(outputs) == 1 and self.ends_in_softmax:
            return {"probabilities": outputs[0]}
        if self.output_names == [LABEL_LOGITS]:
            return {LABEL_LOGITS: outputs[0], "probabilities": keras.ops.sigmoid(outputs[0])}
        if self.output_names == ["logits"] and outputs[0].shape[-1] != 1:  # the softmax of one number is 1
            return {"logits": outputs[0], "probabilities": keras.ops.softmax(outputs[0])}
        return dict(zip(self.output_names, outputs, strict=True))


class _Images:
    """A model as functions of unscaled images."""

    def __init__(self, serve: _Serve, pixels: Pixels, labels: Sequence[str] | None) -> None:
        self.serve, self.pixels, self.best = serve, pixels, _Best(labels)

    def from_levels(self, image: tf.Tensor) -> Outputs:
        return self.best(self.serve(**{self.serve.names[0]: self.pixels.from_levels(image)}))

    def from_files(self, image_bytes: tf.Tensor) -> Outputs:
        images, problems = self.pixels.decode_files(image_bytes)
        outputs = self.best(self.serve(**{self.serve.names[0]: images}))
        usable = problems == ""
        outputs = {name: _where(usable, tensor) for name, tensor in outputs.items()}
        number = tf.strings.as_string(tf.range(tf.size(image_bytes)))
        message = tf.strings.join(["image_bytes[", number, "] cannot be decoded: ", problems])
        return {**outputs, "error": tf.where(usable, "", message)}


class _Rows:
    """A model as a function of the columns of a table."""

    def __init__(self, serve: _Serve, rows: Rows, labels: Sequence[str] | None) -> None:
        self.serve, self.rows, self.best = serve, rows, _Best(labels)

    def __call__(self, **columns: tf.Tensor) -> Outputs:
        return self.best(self.serve(**{self.serve.names[0]: self.rows.encode(columns)}))


class _Best:
    """A function that adds the most probable classes or labels to outputs, if they are probabilities."""

    def __init__(self, labels: Sequence[str] | None) -> None:
        self.labels = None if labels is None else tf.constant([str(label) for label in labels])

    def __call__(self, outputs: Outputs) -> Outputs:
        probabilities = outputs.get("probabilities")
        if probabilities is None or len(probabilities.shape) != 2:
            return outputs
        score, index = tf.math.top_k(probabilities, min(TOP, probabilities.shape[-1]))
        label = tf.strings.as_string(index) if self.labels is None else tf.gather(self.labels, index)
        return {**outputs, "label": label, "score": score}


def _where(usable: tf.Tensor, tensor: tf.Tensor) -> tf.Tensor:
    """Replace the outputs of undecoded images by zeros or empty strings."""
    return tf.where(tf.reshape(usable, (-1,) + (1,) * (len(tensor.shape) - 1)), tensor, tf.zeros_like(tensor))
