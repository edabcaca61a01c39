"""The signature of an artefact that takes the columns of a table by name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

ENCODER = "encoder.json"


class RowEncoder(Protocol):
    """An encoder of the columns of a table, such as `bnzoo.data.TableEncoder`."""

    @property
    def features(self) -> list[str]:
        """The names of the features."""

    @property
    def inputs(self) -> dict[str, Any]:
        """The columns by the name of their input. A column has a `name`, and the `dtype` of its tensor."""

    def encode_arrays(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the features of arrays by input name."""

    def encode_tensors(self, tensors: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return the features of tensors by input name."""

    def examples(self) -> dict[str, np.ndarray]:
        """Return arrays by input name, with every category and with missing values."""

    def save(self, path: str | Path) -> None:
        """Write the encoder to a file."""


def encoder_file(artefact: Path) -> Path:
    """Return the file of the encoder of an artefact, which only an artefact of a table has.

    Earlier versions of bnzoo wrote it next to the artefact.
    """
    inside = artefact / ENCODER
    return inside if inside.exists() else artefact.parent / ENCODER


class Rows(NamedTuple):
    """The encoding of rows, as a function of tensors by name.

    Attributes:
        specs: Dict of the `tf.TensorSpec`s of the columns by name.
        encode: Function of a dict of tensors by name that returns the features.
    """

    specs: dict[str, tf.TensorSpec]
    encode: Callable[[Mapping[str, tf.Tensor]], tf.Tensor]


def check(encoder: RowEncoder, model: keras.Model) -> None:
    """Check that a model takes the features of an encoder.

    Raises:
        ValueError: If it takes something else.
    """
    taken = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    if taken != [(len(encoder.features),)]:
        raise ValueError(
            f"`encoder` must have the features that the model takes, of the shape {' and '.join(map(str, taken))}. "
            f"Received: an encoder with {len(encoder.features)} features"
        )


def in_graph(encoder: RowEncoder | None) -> Rows | None:
    """Return the encoding in TensorFlow, which is written; `None` without an encoder."""
    return None if encoder is None else Rows(_specs(encoder), encoder.encode_tensors)


def as_in_training(encoder: RowEncoder | None) -> Rows | None:
    """Return the encoding that the training data had, with which the written one is compared."""
    if encoder is None:
        return None

    def encode(tensors: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return tf.constant(encoder.encode_arrays({name: tensor.numpy() for name, tensor in tensors.items()}))

    return Rows(_specs(encoder), encode)


def _specs(encoder: RowEncoder) -> dict[str, tf.TensorSpec]:
    return {name: tf.TensorSpec((None,), column.dtype, name=name) for name, column in encoder.inputs.items()}


def write(encoder: RowEncoder, folder: Path) -> None:
    """Write the encoder into the folder of an artefact."""
    encoder.save(folder / ENCODER)
