"""Images that TensorFlow does not decode: WebP, TIFF, and BMP with palettes, masks or compression."""

import io
import warnings
from typing import Any

import numpy as np

from bnzoo.pictures import MAX_PIXELS, MAX_SIDE

# what each is opened as, and nothing else: Pillow knows formats that start other programs
_MAGIC = {"TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "WebP": (b"RIFF",), "BMP": (b"BM",)}
_GREY = ("1", "L", "LA", "La")
_WIDE = {"I;16": np.uint16, "I;16B": np.uint16, "I;16L": np.uint16, "I": np.int32, "F": np.float32}
_BITS_PER_SAMPLE = 258


def format_of(content: bytes) -> str | None:
    """Return as what Pillow is to open a file, by its first bytes; `None` if it is not to."""
    return next((name for name, magics in _MAGIC.items() if content.startswith(magics)), None)


def read(content: bytes, name: str) -> np.ndarray:
    """Read an image with Pillow, upright.

    Args:
        content: Bytes, the file.
        name: String, its format as `format_of` returns it.

    Returns:
        Array `(height, width, channels)`, of 1 channel if it is grey, else 3; uint8, uint16, int32 or float32.

    Raises:
        ValueError: If it is damaged, of too many pixels, or of values that Pillow would cut.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of many pixels, for which there is a bound, and of odd EXIF
            with Image.open(io.BytesIO(content), formats=[name.upper()]) as opened:
                _check_size(opened)
                _check_depth(opened)
                opened.load()
                return _levels(_upright(opened))
    except Image.DecompressionBombError as error:
        raise ValueError(f"it has more pixels than the {MAX_PIXELS} allowed") from error
    except ValueError:
        raise
    except Exception as error:  # Pillow has errors of many kinds for a damaged file
        raise ValueError(f"it is damaged, or a {name} file of a kind that Pillow does not read") from error


def _check_size(image: Any) -> None:
    size = f"it has {image.height}x{image.width} pixels"
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{size}, more than the {MAX_PIXELS} allowed")
    if max(image.size) > MAX_SIDE:
        raise ValueError(f"{size}, more than {MAX_SIDE} in a row or column")


def _check_depth(image: Any) -> None:
    """Raise `ValueError` for levels that Pillow cuts to 8 bits: it does for more than one channel."""
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
    if image.mode not in _WIDE and max(bits) > 8:
        raise ValueError(
            f"it has {max(bits)} bits for each of several channels, which would be cut to 8: save it as a 16-bit PNG"
        )


def _upright(image: Any) -> Any:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF, of which Pillow has errors of many kinds: the pixels are whole
        return image


def _levels(image: Any) -> np.ndarray:
    if image.mode in _WIDE:
        levels = np.asarray(image).astype(_WIDE[image.mode])
        if not np.isfinite(levels).all():
            raise ValueError("it holds NaN or infinite values")
        return levels[..., None]
    grey = image.mode in _GREY
    levels = np.asarray(image.convert("L" if grey else "RGB"))
    return levels[..., None] if grey else levels
