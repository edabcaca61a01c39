"""The size and the type of an image file by its header, before any pixel is decoded."""

from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from bnzoo.pictures import MAX_PIXELS, jpeg, others
from bnzoo.pictures.file import NAMES, inspect
from bnzoo.pictures.form import Form
from bnzoo.pictures.read import DEEP, read, refused

# the bytes in which the header of a JPEG file usually lies; cameras put a small picture and colour profiles before it
_HEAD = 2**16


def form_of(path: Path) -> Form:
    """Return the form of an image file by its header. The pixels of a GIF file are decoded, as they may be grey.

    Args:
        path: The file.

    Raises:
        ValueError: If the header is damaged, of an unknown format, or declares too many pixels.
    """
    with path.open("rb") as file:
        content = file.read(_HEAD)
        if content.startswith(jpeg.MAGIC):
            with suppress(ValueError):
                return _form(content)
        return _form(content + file.read())


def _form(content: bytes) -> Form:
    try:
        with tf.device("CPU"):
            if shape := jpeg.plain_shape(content, MAX_PIXELS):
                return Form(np.dtype(np.uint8), shape)
            numbers, problem = _inspect[8](content)
            if deep := int(numbers[3]) == 16:
                numbers, problem = _inspect[16](content)
    except tf.errors.OpError as error:
        raise ValueError(f"it is a damaged {NAMES} file") from error
    if reason := problem.numpy().decode():
        name = others.pillow_format(content)
        if name is not None:
            return Form(*others.inspect(content, name), name)
        raise refused(reason)
    height, width, channels, _, orientation = numbers.numpy().tolist()
    if not channels:
        levels, unserved = read(content)
        return Form(levels.dtype, levels.shape, unserved)
    size = (width, height) if orientation >= 5 else (height, width)
    return Form(np.dtype(np.uint16 if deep else np.uint8), (*size, 3 if channels >= 3 else 1), DEEP if deep else "")


def _numbers(file: tf.Tensor, bits: int) -> tuple[tf.Tensor, tf.Tensor]:
    head, problem = inspect(file, MAX_PIXELS, bits)
    return tf.stack([head.height, head.width, head.channels, head.bits, head.orientation]), problem


# each is traced once, at the first file
_SPEC = [tf.TensorSpec((), tf.string)]
_inspect = {bits: tf.function(partial(_numbers, bits=bits), input_signature=_SPEC, autograph=False) for bits in (8, 16)}
