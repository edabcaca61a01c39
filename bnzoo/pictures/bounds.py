"""The number of bytes of image files."""

from pathlib import Path

from bnzoo.pictures import MAX_BYTES


def bounded(path: Path) -> Path:
    """Return the path of a file that has content, and is not larger than any image.

    Raises:
        ValueError: If it is empty or larger.
    """
    stored = path.stat().st_size
    if not stored:
        raise ValueError("it is empty")
    if stored > MAX_BYTES:
        raise ValueError(f"it has {stored:,} bytes, more than the maximum of {MAX_BYTES:,} for an image")
    return path
