"""Image files as arrays, for training."""

from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bnzoo.pictures import MAX_PIXELS, others
from bnzoo.pictures.file import NAMES, UNKNOWN, decode

# each is traced once, at the first file
_SPEC = [tf.TensorSpec((), tf.string)]
_decode = {
    bits: tf.function(partial(decode, max_pixels=MAX_PIXELS, bits=bits), input_signature=_SPEC, autograph=False)
    for bits in (8, 16)
}


class Picture(NamedTuple):
    """The pixels of a file.

    Attributes:
        levels: Array `(height, width, channels)`, 1 channel if it is grey, else 3; uint8, uint16, int32 or float32.
        unserved: String, what kind of file it is if the graph of a server does not decode it, else empty.
    """

    levels: np.ndarray
    unserved: str = ""


def read(content: bytes) -> Picture:
    """Read an image, upright. A file that the graph of a server decodes has the same pixels there.

    Args:
        content: Bytes, the file.

    Returns:
        A `Picture`. Opacity is left out. Of several frames or pages the first is read.

    Raises:
        ValueError: If it is damaged, of no known format, or of too many pixels.
    """
    try:
        with tf.device("CPU"):
            found = _decode[8](content)
            if deep := bool(found.bits == 16):
                found = _decode[16](content)
    except tf.errors.OpError as error:
        raise ValueError(f"it is not a whole {NAMES} file") from error
    if problem := found.problem.numpy().decode():
        name = others.format_of(content)
        if name is not None:
            return Picture(others.read(content, name), name)
        raise ValueError("it is no JPEG, PNG, GIF, BMP, WebP or TIFF file" if problem == UNKNOWN else problem)
    levels = found.image.numpy()
    return Picture(levels[..., :3] if levels.shape[-1] >= 3 else levels[..., :1], "16-bit PNG" if deep else "")
