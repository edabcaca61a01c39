"""The examples on which an artefact is compared with its model."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bnzoo.export.formats.record import SERVE
from bnzoo.export.signatures import SERVE_IMAGE_BYTES, SERVE_UINT8, Signature, input_names

_DRAWN = 32
_IMAGES = 3

# the bytes up to which examples are converted at once
_COPIED = 2**26

# arrays by name, by signature
Sample = dict[str, dict[str, np.ndarray]]


class Converted:
    """Examples in the form of an array that are converted to a dtype when a part of them is used.

    Args:
        values: An array, or an object with the form of one.
        dtype: String.
    """

    def __init__(self, values: Any, dtype: str) -> None:
        self._values, self.dtype = values, np.dtype(dtype)
        self.shape, self.ndim, self.size = tuple(values.shape), len(values.shape), values.size
        self.nbytes = self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return np.asarray(self._values[rows], self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._values, self.dtype if dtype is None else dtype)


def samples(model: keras.Model, signatures: dict[str, Signature], sample: Any) -> Sample:
    """Return the inputs of each signature.

    Args:
        model: The model.
        signatures: Dict of the `Signature`s of its artefact by name.
        sample: Array, or dict of arrays by input name, for the inputs of the model; `None` draws them from a normal
            distribution. Images are always drawn.

    Returns:
        Dict of dicts of arrays, by signature and by input name.

    Raises:
        ValueError: If the model does not take `sample`, or no sample can be drawn.
    """
    inputs = {SERVE: by_input(model, _drawn(model) if sample is None else sample, "sample")}
    if SERVE_UINT8 in signatures:
        levels = _levels(model.inputs[0].shape)
        inputs[SERVE_UINT8] = {"image": levels}
        inputs[SERVE_IMAGE_BYTES] = {"image_bytes": _files(levels)}
    return inputs


def repeated(arrays: dict[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
    """Return a batch of a size, in which the examples repeat."""
    return {name: values[np.arange(size) % len(values)] for name, values in arrays.items()}


def by_input(model: keras.Model, arrays: Any, argument: str) -> dict[str, np.ndarray]:
    """Return examples of the inputs of a model by name.

    Args:
        model: The model.
        arrays: Array, or dict of arrays by input name.
        argument: String, the name of the argument for messages.

    Raises:
        ValueError: If the model does not take the arrays.
    """
    names = input_names(model)
    if not isinstance(arrays, dict):
        arrays = {names[0]: arrays} if len(names) == 1 else {}
    if set(arrays) != set(names):
        received = sorted(map(str, arrays))
        raise ValueError(f"`{argument}` must have an array for each input: {', '.join(names)}. Received: {received}")
    examples = {}
    for name, tensor in zip(names, model.inputs, strict=True):
        examples[name] = array = _array(arrays[name], tensor.dtype, name, argument)
        if array.ndim != len(tensor.shape) or not len(array) or not _fits(array.shape, tensor.shape):
            raise ValueError(
                f"`{argument}` must hold at least one example for the input {name!r}, which takes {tensor.shape}. "
                f"Received: {array.shape}"
            )
    if len({len(array) for array in examples.values()}) > 1:
        sizes = {name: len(array) for name, array in examples.items()}
        raise ValueError(f"`{argument}` must hold the same number of examples for each input. Received: {sizes}")
    return examples


def _array(values: Any, dtype: str, name: str, argument: str) -> Any:
    """Convert values to an array of a dtype, large ones a part at a time; strings become objects of bytes."""
    try:
        if dtype != "string":
            return Converted(values, dtype) if _is_large(values, dtype) else np.asarray(values, dtype)
        strings = np.array(values, object)  # a copy
        for index, value in np.ndenumerate(strings):
            strings[index] = value if isinstance(value, bytes) else str(value).encode()
        return strings
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{argument}` must be {dtype} for the input {name!r}: {error}") from error


def _is_large(values: Any, dtype: str) -> bool:
    """Return whether values have the form of an array of numbers, and a conversion would make a large copy."""
    own = getattr(values, "dtype", None)  # a tensor has a dtype of its own library
    if not isinstance(own, np.dtype) or own.kind not in "biuf" or not hasattr(values, "nbytes"):
        return False
    needed = values.size * np.dtype(dtype).itemsize
    return needed > _COPIED and not (isinstance(values, np.ndarray) and values.dtype == dtype)


def _fits(given: Sequence[int], taken: Sequence[int | None]) -> bool:
    return all(size in (None, own) for own, size in zip(given[1:], taken[1:], strict=True))


def _drawn(model: keras.Model) -> dict[str, np.ndarray]:
    names = input_names(model)
    random = np.random.default_rng(0)
    for name, tensor in zip(names, model.inputs, strict=True):
        if None in tensor.shape[1:] or "float" not in tensor.dtype:
            raise ValueError(
                f"`sample` is missing: examples of the input {name!r}, {tensor.dtype} of the shape {tensor.shape}, "
                "cannot be drawn. Pass an array of examples"
            )
    return {name: random.normal(size=(_DRAWN, *t.shape[1:])) for name, t in zip(names, model.inputs, strict=True)}


def _levels(shape: Sequence[int]) -> np.ndarray:
    """Return smooth images of another size than that of the model's input."""
    _, rows, columns, channels = shape
    noise = np.random.default_rng(0).uniform(0, 255, (_IMAGES, 5, 7, channels))
    smooth = tf.image.resize(noise, (rows + rows // 2, columns + 3), "bicubic")
    return np.clip(smooth, 0, 255).astype(np.uint8)


def _files(levels: np.ndarray) -> np.ndarray:
    """Return images as PNG and JPEG files, and a file that is no image: it must not affect the others."""
    png, jpeg, *_ = levels
    return np.array([tf.io.encode_png(png).numpy(), b"no image", tf.io.encode_jpeg(jpeg).numpy()], object)
