"""Folders of images."""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bnzoo import machine
from bnzoo.pictures import MAX_PIXELS
from bnzoo.reading import reading

# of file names; the content decides the format
_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".webp", ".tif", ".tiff")
_NAMES = "PNG, JPEG, GIF, BMP, WebP or TIFF"
# files of operating systems and archives whose names do not begin with a dot
_STRAYS = (
    *("__macosx", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("lost+found", "@eadir"),
)
_SIDE = 2**14
# the largest size of uncompressed pixels: four channels of 16 bits
_BYTES = 8 * MAX_PIXELS
_DEPTHS = {"uint8": "8 bits", "uint16": "16 bits", "int32": "32 bits", "float32": "float32"}


class _Image(NamedTuple):
    file: Path
    levels: np.ndarray
    unserved: str  # the format of the file if a server does not decode it, else empty


def image_folder(folder: Path, size: Any = None) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Read a folder with a subfolder of images for each class.

    Args:
        folder: The folder.
        size: Tuple `(height, width)` that images are resized to, an integer for both, or `None`.

    Returns:
        The images as a float32 array with the values of their files; the indices of their classes; and the names of the
        classes.

    Raises:
        ValueError: If a file cannot be read, or images differ in size or depth. The message names the file.
        OSError: If the permissions of a folder or file do not allow to read it.
        ImportError: If Pillow is not installed.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise ImportError("folders of images are read with Pillow: pip install 'bnzoo[tune]'") from error
    size = _checked(size)
    labels, unread = _classes(folder)
    files, y = [], []
    for index, label in enumerate(labels):
        entries = _entries(folder / label)
        chosen = [entry for entry in entries if _is_image(entry)]
        unread += [entry for entry in entries if not _is_image(entry)]
        if not chosen:
            raise ValueError(f"{folder / label}: the folder of this class has no {_NAMES} file")
        files += chosen
        y += [index] * len(chosen)
    _warn_of_unread(unread)
    images = _read_all(files, size)
    _warn_of_unserved(images)
    return _stacked(images), np.array(y), labels


def _checked(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int | np.integer) else size
    if not isinstance(sides, Sequence) or len(sides) != 2 or not all(map(_is_side, sides)):
        raise ValueError(
            f"`image_size` must be (height, width), or one integer for both, from 1 to {_SIDE}. "
            f"Received: image_size={size!r}"
        )
    return int(sides[0]), int(sides[1])


def _is_side(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and 1 <= int(value) <= _SIDE


def _classes(folder: Path) -> tuple[list[str], list[Path]]:
    """Return the names of the classes, and the images outside their folders."""
    entries = _entries(folder)
    for entry in entries:
        if not entry.exists():
            raise ValueError(
                f"{entry} is a link to a file or folder that does not exist; remove the link, or restore its target"
            )
        if not entry.name.isprintable():
            raise ValueError(
                f"{str(entry)!r}: the name of a class must have printable characters only; rename the folder"
            )
    labels = [entry.name for entry in entries if entry.is_dir()]
    if not labels:
        raise ValueError(f"{folder} has no subfolders; it must have a subfolder of {_NAMES} files for each class")
    return labels, [entry for entry in entries if not entry.is_dir() and _is_image(entry)]


def _entries(folder: Path) -> list[Path]:
    """Return the files and folders in a folder, without hidden ones and those of operating systems."""
    try:
        paths = sorted(folder.iterdir())
    except PermissionError as error:
        raise PermissionError(f"{folder}: no permission to read this folder") from error
    return [path for path in paths if not path.name.startswith(".") and path.name.lower() not in _STRAYS]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES


def _warn_of_unread(paths: list[Path]) -> None:
    if not paths:
        return
    kinds = Counter(_kind(path) for path in paths)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    warnings.warn(
        f"Some files are ignored: {counts}, such as {paths[0]}. Images must be in the folder of a class, and have one "
        f"of the suffixes {', '.join(_SUFFIXES)}.",
        stacklevel=5,
    )


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() else path.suffix.lower() or "without a suffix"


def _read_all(files: list[Path], size: tuple[int, int] | None) -> list[_Image]:
    images: list[_Image] = []
    stored, memory = 0, machine.memory()
    for file in files:
        images.append(_read(file, size))
        stored += images[-1].levels.nbytes
        # all images as float32 in the size of the first one; or the images so far, if later ones are larger
        if (needed := max(4 * len(files) * images[0].levels.size, stored)) > memory:
            height, width = images[0].levels.shape[:2]
            raise ValueError(
                f"{file}: {len(files)} images of {height}x{width} pixels need at least {needed:,} bytes, more than the "
                f"{memory:,} bytes of this machine; choose a smaller size, `image_size=(64, 64)` or "
                "`--image-size 64`, or fewer images"
            )
    return images


def _read(file: Path, size: tuple[int, int] | None) -> _Image:
    # loads TensorFlow
    from bnzoo.pictures.read import read

    with reading(file, "an image") as path:
        if (stored := path.stat().st_size) > _BYTES:
            raise ValueError(f"it has {stored:,} bytes, more than the maximum of {_BYTES:,} for an image")
        levels, unserved = read(path.read_bytes())
        return _Image(file, levels if size is None else _resized(levels, size), unserved)


def _resized(levels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    rows, columns = size

    def resized(array: np.ndarray) -> np.ndarray:
        # columns first, as a served model does; Pillow itself chooses the order by the amount of work
        image = Image.fromarray(array).resize((columns, len(array)))
        return np.asarray(image.resize((columns, rows)))

    if levels.dtype == np.uint8 and levels.shape[-1] == 3:
        return resized(levels)
    # Pillow resizes other types one channel at a time
    wide = levels if levels.dtype == np.uint8 else levels.astype(np.float32)
    result = np.stack([resized(channel) for channel in np.moveaxis(wide, -1, 0)], -1)
    if result.dtype == levels.dtype:
        return result
    least, most = np.iinfo(levels.dtype).min, np.iinfo(levels.dtype).max
    return np.clip(np.rint(result.astype(np.float64)), least, most).astype(levels.dtype)


def _warn_of_unserved(images: list[_Image]) -> None:
    kinds = Counter(image.unserved for image in images if image.unserved)
    if not kinds:
        return
    counts = ", ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items()))
    example = next(image.file for image in images if image.unserved)
    warnings.warn(
        f"`serve_image_bytes` of an exported model cannot decode {kinds.total()} of {len(images)} images, such as "
        f"{example} ({counts}). Clients must send their pixels to `serve`, or 8-bit PNG or JPEG files. In the latter "
        "case, also train the model on such files.",
        stacklevel=5,
    )


def _stacked(images: list[_Image]) -> np.ndarray:
    _check_alike(images)
    height, width = images[0].levels.shape[:2]
    channels = max(image.levels.shape[-1] for image in images)
    try:
        x = np.empty((len(images), height, width, channels), np.float32)
    except MemoryError as error:
        raise ValueError(
            f"there is not enough memory for {len(images)} images of {height}x{width} pixels; choose a smaller size, "
            "`image_size=(64, 64)` or `--image-size 64`"
        ) from error
    for row, image in zip(x, images, strict=True):
        row[...] = image.levels  # a grey image is copied to each channel
    return x


def _check_alike(images: list[_Image]) -> None:
    """Raise `ValueError` if the images differ in size or depth. The message names an image of the minority."""
    kinds = Counter(image.levels.dtype for image in images)
    if len(kinds) > 1:
        common = kinds.most_common(1)[0][0]
        odd = next(image for image in images if image.levels.dtype != common)
        raise ValueError(
            f"{odd.file}: its values have {_DEPTHS[odd.levels.dtype.name]}, those of most images have "
            f"{_DEPTHS[common.name]}; convert all images to one depth"
        )
    sizes = Counter(image.levels.shape[:2] for image in images)
    if len(sizes) > 1:
        rows, columns = sizes.most_common(1)[0][0]
        odd = next(image for image in images if image.levels.shape[:2] != (rows, columns))
        raise ValueError(
            f"{odd.file} has {odd.levels.shape[0]}x{odd.levels.shape[1]} pixels, most images have {rows}x{columns}; "
            "choose a size for all images, `image_size=(64, 64)` or `--image-size 64`"
        )
