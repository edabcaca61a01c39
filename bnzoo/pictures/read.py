"""Reading of image files as arrays, for training."""

from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bnzoo.pictures import MAX_PIXELS, jpeg, others
from bnzoo.pictures.file import NAMES, UNKNOWN, decode
from bnzoo.pictures.names import FORMATS

# the kind of files that the graph of a server refuses although TensorFlow decodes them
DEEP = "16-bit PNG"
# each is traced once, at the first file
_SPEC = [tf.TensorSpec((), tf.string)]
_decode = {
    bits: tf.function(partial(decode, max_pixels=MAX_PIXELS, bits=bits), input_signature=_SPEC, autograph=False)
    for bits in (8, 16)
}


class Picture(NamedTuple):
    """The pixels of an image file.

    Attributes:
        levels: Array `(height, width, channels)`, 1 channel for grey, else 3; uint8, uint16, int32 or float32.
        unserved: String, the kind of the file if the graph of a server does not decode it, else empty.
    """

    levels: np.ndarray
    unserved: str = ""


def read(content: bytes) -> Picture:
    """Read an image, upright. The graph of a server decodes the same pixels, or refuses the file.

    Args:
        content: Bytes, the file.

    Returns:
        A `Picture`, without opacity; the first frame or page if there are several.

    Raises:
        ValueError: If the file is damaged, of an unknown format, or has too many pixels.
    """
    try:
        with tf.device("CPU"):
            if jpeg.plain_shape(content, MAX_PIXELS):
                return Picture(jpeg.decode(content).numpy())
            decoded = _decode[8](content)
            if deep := bool(decoded.bits == 16):
                decoded = _decode[16](content)
    except tf.errors.OpError as error:
        raise ValueError(f"it is a damaged {NAMES} file") from error
    if problem := decoded.problem.numpy().decode():
        name = others.pillow_format(content)
        if name is not None:
            return Picture(others.read(content, name), name)
        raise refused(problem)
    levels = decoded.image.numpy()
    return Picture(levels[..., :3] if levels.shape[-1] >= 3 else levels[..., :1], DEEP if deep else "")


def refused(problem: str) -> ValueError:
    """Return the error for a file that neither TensorFlow nor Pillow decodes, with the reason of `decode`."""
    return ValueError(f"it is no {FORMATS} file" if problem == UNKNOWN else problem)
