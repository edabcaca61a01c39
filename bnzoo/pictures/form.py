"""The type and the shape of an image."""

from typing import NamedTuple

import numpy as np


class Form(NamedTuple):
    """The form of the pixels that `bnzoo.pictures.read.read` returns for a file.

    Attributes:
        dtype: NumPy's dtype of the levels.
        shape: Tuple `(height, width, channels)`, 1 channel for grey, else 3.
        unserved: String, the kind of the file if the graph of a server does not decode it, else empty.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    unserved: str = ""
