"""The names of image files, and of files that are none of the user's."""

from pathlib import Path

# of file names; the content decides the format
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".webp", ".tif", ".tiff")
FORMATS = "PNG, JPEG, GIF, BMP, WebP or TIFF"
# files of operating systems and archives whose names do not begin with a dot
_STRAYS = (
    *("__macosx", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("lost+found", "@eadir"),
)


def is_image(path: Path) -> bool:
    """Return whether a file has the name of an image."""
    return path.suffix.lower() in SUFFIXES


def is_stray(name: str) -> bool:
    """Return whether a file or folder is hidden, or one of operating systems."""
    return name.startswith(".") or name.lower() in _STRAYS
