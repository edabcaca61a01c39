"""What a server can call: the functions of an artefact, with names and shapes."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import tensorflow as tf

from bnzoo.export.decoding import Pixels
from bnzoo.export.formats.record import SERVE
from bnzoo.export.image import Image
from bnzoo.keras_internals import functional_model

SERVE_UINT8, SERVE_IMAGE_BYTES = "serve_uint8", "serve_image_bytes"
TOP = 5
# what Keras calls an input to which no one gave a name; the number depends on what was built before
_UNNAMED = re.compile(r"(keras_tensor|input_layer|input)(_\d+)*")

Outputs = dict[str, Any]


@dataclass(frozen=True)
class Signature:
    """A function that an artefact offers.

    Attributes:
        call: Function of tensors by name that gives tensors by name.
        inputs: Dict of `tf.TensorSpec` by name; the batch dimension is free.
    """

    call: Callable[..., Outputs]
    inputs: dict[str, tf.TensorSpec]


def input_names(model: keras.Model) -> list[str]:
    """The names of a model's inputs: its own, and for those without one `image` or `input`."""
    names = [tensor.name for tensor in model.inputs]
    unnamed = [name for name in names if _UNNAMED.fullmatch(name)]
    if not unnamed:
        return names
    if len(names) == 1:
        return ["image" if len(model.inputs[0].shape) == 4 else "input"]
    return [f"input_{index}" if name in unnamed else name for index, name in enumerate(names, start=1)]


def signatures(
    model: keras.Model, image: Image | None = None, labels: Sequence[str] | None = None
) -> dict[str, Signature]:
    """The functions that an artefact of a model offers, by name.

    Args:
        model: A functional or Sequential `keras.Model`.
        image: An `Image`, for the functions that take images as they are.
        labels: Sequence of strings, the names of the classes.
    """
    serve = _Serve(model)
    found = {SERVE: Signature(serve, serve.specs())}
    if image is not None:
        pixels = Pixels(image, tuple(model.inputs[0].shape[1:]))
        images = _Images(serve, pixels, labels)
        levels = tf.TensorSpec((None, None, None, pixels.channels), tf.uint8, name="image")
        found[SERVE_UINT8] = Signature(images.from_levels, {"image": levels})
        # model servers take base64 for a name that ends so
        files = tf.TensorSpec((None,), tf.string, name="image_bytes")
        found[SERVE_IMAGE_BYTES] = Signature(images.from_files, {"image_bytes": files})
    return found


def answering_none(signature: Signature) -> Signature:
    """Return a signature that answers an empty batch with empty outputs.

    With oneDNN TensorFlow's convolutions refuse a batch of none. The model has one example of zeros in its stead, and
    the answer is cut off.

    Args:
        signature: A `Signature`.
    """

    def call(**inputs: tf.Tensor) -> Outputs:
        empty = tf.shape(next(iter(inputs.values())))[0] == 0
        outputs = signature.call(**{name: _some(tensor) for name, tensor in inputs.items()})
        return {name: tensor[: tf.where(empty, 0, tf.shape(tensor)[0])] for name, tensor in outputs.items()}

    return replace(signature, call=call)


def _some(tensor: tf.Tensor) -> tf.Tensor:
    """The examples; one of zeros, or of empty strings, if there is none."""
    shape = tf.concat([[1], tf.maximum(tf.shape(tensor)[1:], 1)], 0)
    some = tf.cond(tf.shape(tensor)[0] == 0, lambda: tf.zeros(shape, tensor.dtype), lambda: tensor)
    return tf.ensure_shape(some, tensor.shape)


class _Serve:
    """A model as a function of its inputs by name that gives its outputs by name."""

    def __init__(self, model: keras.Model) -> None:
        self.model = functional_model(model)
        self.names = input_names(model)

    def specs(self) -> dict[str, tf.TensorSpec]:
        pairs = zip(self.names, self.model.inputs, strict=True)
        return {name: tf.TensorSpec((None, *t.shape[1:]), t.dtype, name=name) for name, t in pairs}

    def __call__(self, **inputs: tf.Tensor) -> Outputs:
        ordered = [inputs[name] for name in self.names]
        structure = keras.tree.pack_sequence_as(self.model.input, ordered)
        outputs = keras.tree.flatten(self.model(structure, training=False))
        names = list(self.model.output_names)
        last = self.model.layers[-1]
        if names == ["logits"]:
            return {"logits": outputs[0], "probabilities": keras.ops.softmax(outputs[0])}
        if len(outputs) == 1 and getattr(last, "activation", None) is keras.activations.softmax:
            return {"probabilities": outputs[0]}
        return dict(zip(names, outputs, strict=True))


class _Images:
    """A model as a function of images as they are."""

    def __init__(self, serve: _Serve, pixels: Pixels, labels: Sequence[str] | None) -> None:
        self.serve, self.pixels = serve, pixels
        self.labels = None if labels is None else tf.constant([str(label) for label in labels])

    def from_levels(self, image: tf.Tensor) -> Outputs:
        return self._best(self.serve(**{self.serve.names[0]: self.pixels.from_levels(image)}))

    def from_files(self, image_bytes: tf.Tensor) -> Outputs:
        images, problems = self.pixels.decode_files(image_bytes)
        outputs = self._best(self.serve(**{self.serve.names[0]: images}))
        usable = problems == ""
        outputs = {name: _where(usable, tensor) for name, tensor in outputs.items()}
        number = tf.strings.as_string(tf.range(tf.size(image_bytes)))
        message = tf.strings.join(["image_bytes[", number, "] cannot be decoded: ", problems])
        return {**outputs, "error": tf.where(usable, "", message)}

    def _best(self, outputs: Outputs) -> Outputs:
        """With the most probable classes, if they are probabilities of classes."""
        probabilities = outputs.get("probabilities")
        if probabilities is None or len(probabilities.shape) != 2:
            return outputs
        score, index = tf.math.top_k(probabilities, min(TOP, probabilities.shape[-1]))
        label = tf.strings.as_string(index) if self.labels is None else tf.gather(self.labels, index)
        return {**outputs, "label": label, "score": score}


def _where(usable: tf.Tensor, tensor: tf.Tensor) -> tf.Tensor:
    """Zeros, or empty strings, for what could not be decoded."""
    return tf.where(tf.reshape(usable, (-1,) + (1,) * (len(tensor.shape) - 1)), tensor, tf.zeros_like(tensor))
