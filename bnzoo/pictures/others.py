"""Images that TensorFlow does not decode: WebP, TIFF, and BMP with palettes, masks or compression."""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from bnzoo.pictures import MAX_PIXELS, MAX_SIDE

# Pillow may try these formats only, as it has others that start programs
_MAGIC = {"TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "WebP": (b"RIFF",), "BMP": (b"BM",)}
_GREY = ("1", "L", "LA", "La")
_WIDE = {"I;16": np.uint16, "I;16B": np.uint16, "I;16L": np.uint16, "I": np.int32, "F": np.float32}
_BITS_PER_SAMPLE, _ORIENTATION = 258, 274
# one image at a time: the filters of warnings, which Pillow needs, belong to all threads
_LOCK = threading.Lock()


def pillow_format(content: bytes) -> str | None:
    """Return the format with which Pillow may open a file, by its first bytes, or `None`."""
    return next((name for name, magics in _MAGIC.items() if content.startswith(magics)), None)


def read(content: bytes, name: str) -> np.ndarray:
    """Read an image with Pillow, upright.

    Args:
        content: Bytes, the file.
        name: String, the format, as `pillow_format` returns it.

    Returns:
        Array `(height, width, channels)`, 1 channel for grey, else 3; uint8, uint16, int32 or float32.

    Raises:
        ValueError: If the image is damaged, has too many pixels, or has values that Pillow would cut.
    """
    with _opened(content, name) as image:
        image.load()
        return _levels(_upright(image))


def inspect(content: bytes, name: str) -> tuple[np.dtype, tuple[int, int, int]]:
    """Return the type and the shape of the array that `read` returns, without decoding the pixels of an upright image.

    The arguments and errors are those of `read`.
    """
    with _opened(content, name) as image:
        turned = True
        with suppress(Exception):  # Pillow raises errors of many kinds for damaged EXIF, but the pixels are undamaged
            turned = image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
        if turned:  # versions of Pillow differ in whether the size is that of the turned image
            image.load()
            levels = _levels(_upright(image))
            return levels.dtype, levels.shape
        shape = (image.height, image.width, 1 if image.mode in (*_GREY, *_WIDE) else 3)
        return np.dtype(_WIDE.get(image.mode, np.uint8)), shape


@contextmanager
def _opened(content: bytes, name: str) -> Iterator[Any]:
    """Open an image with Pillow, and turn the errors of the block into those of `read`."""
    from PIL import Image

    try:
        with _LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about many pixels, which are bounded here, and about odd EXIF
            with Image.open(io.BytesIO(content), formats=[name.upper()]) as opened:
                _check_size(opened)
                _check_depth(opened)
                yield opened
    except Image.DecompressionBombError as error:
        raise ValueError(f"it has too many pixels. At most {MAX_PIXELS} are allowed") from error
    except ValueError:
        raise
    except Exception as error:  # Pillow raises errors of many kinds for a damaged file
        raise ValueError(f"it is damaged, or a kind of {name} file that Pillow does not read") from error


def _check_size(image: Any) -> None:
    size = f"it has {image.height}x{image.width} pixels"
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{size}. At most {MAX_PIXELS} are allowed")
    if max(image.size) > MAX_SIDE:
        raise ValueError(f"{size}. At most {MAX_SIDE} in a row or column are allowed")


def _check_depth(image: Any) -> None:
    """Check that Pillow does not cut the levels to 8 bits, as it does for several channels.

    Raises:
        ValueError: If Pillow would cut the levels.
    """
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
    if image.mode not in _WIDE and max(bits) > 8:
        raise ValueError(
            f"it has {max(bits)} bits for each of several channels. At most 8 can be read. Save it as a 16-bit PNG"
        )


def _upright(image: Any) -> Any:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # Pillow raises errors of many kinds for damaged EXIF, but the pixels are undamaged
        return image


def _levels(image: Any) -> np.ndarray:
    if image.mode in _WIDE:
        levels = np.asarray(image).astype(_WIDE[image.mode])
        if not np.isfinite(levels).all():
            raise ValueError("it must hold finite values only. Received: NaN or infinity")
        return levels[..., None]
    grey = image.mode in _GREY
    levels = np.asarray(image.convert("L" if grey else "RGB"))
    return levels[..., None] if grey else levels
