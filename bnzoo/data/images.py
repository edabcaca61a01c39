"""Folders of images."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bnzoo import machine
from bnzoo.data import store
from bnzoo.data.dataset import kept_type
from bnzoo.pictures import MAX_BYTES
from bnzoo.pictures.names import FORMATS, SUFFIXES, is_image, is_stray
from bnzoo.reading import reading

if TYPE_CHECKING:
    from bnzoo.pictures.read import Picture

_SIDE = 2**14
_DEPTHS = {"uint8": "8 bits", "uint16": "16 bits", "int32": "32 bits", "float32": "float32"}
# of the stored images; another decoding needs another number
_VERSION = 1
# the files that a thread reads in a row
_AT_ONCE = 32


class ImageFolder(NamedTuple):
    """The files of a folder of images, none of which has been read.

    Attributes:
        path: The folder.
        files: List of paths.
        y: Integer array, the index of the class of each file.
        labels: List of strings, the names of the classes.
        size: Tuple `(height, width)` that the images are resized to, or `None`.
    """

    path: Path
    files: list[Path]
    y: np.ndarray
    labels: list[str]
    size: tuple[int, int] | None


class _Kind(NamedTuple):
    """The type and the shape of an image that has been read, and its format if a server does not decode it."""

    dtype: np.dtype
    shape: tuple[int, ...]
    unserved: str


def list_images(folder: Path, size: Any = None) -> ImageFolder:
    """List the images of a folder with a subfolder for each class.

    Args:
        folder: The folder.
        size: Tuple `(height, width)` that images are resized to, an integer for both, or `None`.

    Raises:
        ValueError: If the size is invalid, or a class has no images. The message names the folder.
        OSError: If the permissions of a folder do not allow to read it.
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
        chosen = [entry for entry in entries if is_image(entry)]
        unread += [entry for entry in entries if not is_image(entry)]
        if not chosen:
            hint = ". It has folders: if these are the classes, pass it alone" if any(map(Path.is_dir, entries)) else ""
            raise ValueError(f"{folder / label}: the folder of this class has no {FORMATS} file{hint}")
        files += chosen
        y += [index] * len(chosen)
    _warn_of_unread(unread)
    return ImageFolder(folder, files, np.array(y), labels, size)


def read_images(images: ImageFolder, order: np.ndarray, max_memory: int | None = None) -> np.ndarray:
    """Read the images of a folder, several files at a time.

    Args:
        images: An `ImageFolder`.
        order: Integer array, the index of the image for each row of the result.
        max_memory: Integer, the bytes up to which the images are held in memory, `None` for a quarter of the machine's
            memory. More are held in a file, which the next call reads if the folder has not changed.

    Returns:
        The images with the values of their files.

    Raises:
        ValueError: If a file cannot be read, or images differ in size or depth. The message names the file.
        OSError: If the permissions of a file do not allow to read it.
    """
    key = _key(images, order)
    if (stored := store.find(key)) is not None:
        return stored
    first = _kind_of(_read(images.files[0], images.size))
    x, kinds = _read_all(images, order, first, max_memory, key)
    _warn_of_unserved(images.files, kinds)
    if x is None:
        _check_alike(images.files, kinds)
        colour = max(kinds, key=lambda kind: kind.shape[-1])  # the first one is grey
        x, _ = _read_all(images, order, colour, max_memory, key)
        assert x is not None
    return x


def _key(images: ImageFolder, order: np.ndarray) -> str:
    """Return a name for the content of the rows: a digest of the files' names, sizes and times, and of the order."""
    digest = hashlib.sha256(repr((_VERSION, str(images.path.resolve()), images.size)).encode())
    digest.update(np.ascontiguousarray(order, np.int64).data)
    for file in images.files:
        try:
            state = file.stat()
        except OSError:  # it is reported when it is read
            continue
        digest.update(repr((file.parent.name, file.name, state.st_size, state.st_mtime_ns)).encode())
    return digest.hexdigest()


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
        raise ValueError(f"{folder} has no subfolders; it must have a subfolder of {FORMATS} files for each class")
    return labels, [entry for entry in entries if not entry.is_dir() and is_image(entry)]


def _entries(folder: Path) -> list[Path]:
    """Return the files and folders in a folder, without hidden ones and those of operating systems."""
    try:
        paths = sorted(folder.iterdir())
    except PermissionError as error:
        raise PermissionError(f"{folder}: no permission to read this folder") from error
    return [path for path in paths if not is_stray(path.name)]


def _warn_of_unread(paths: list[Path]) -> None:
    if not paths:
        return
    kinds = Counter(_kind(path) for path in paths)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    warnings.warn(
        f"Some files are ignored: {counts}, such as {paths[0]}. Images must be in the folder of a class, and have one "
        f"of the suffixes {', '.join(SUFFIXES)}.",
        stacklevel=5,
    )


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() else path.suffix.lower() or "without a suffix"


def _read_all(
    images: ImageFolder, order: np.ndarray, like: _Kind, max_memory: int | None, key: str
) -> tuple[np.ndarray | None, list[_Kind]]:
    """Return an array of all images if none has another type or size than a given one, or more channels; and kinds."""
    row_of = np.argsort(order)
    kinds: list[_Kind] = []

    def fill(x: np.ndarray) -> None:
        def read(start: int) -> list[_Kind]:
            stop = min(start + _AT_ONCE, len(images.files))
            return [_read_into(x, row_of[i], images.files[i], images.size, like) for i in range(start, stop)]

        with ThreadPoolExecutor(machine.available_cores()) as threads:
            for part in threads.map(read, range(0, len(images.files), _AT_ONCE)):
                kinds.extend(part)
        if not all(_fits(kind, like) for kind in kinds):
            raise _DifferentError

    shape = (len(images.files), *like.shape)
    try:
        return store.filled(shape, kept_type(like.dtype), fill, max_memory, key), kinds
    except _DifferentError:
        return None, kinds
    except store.NoRoomError as error:
        height, width = like.shape[:2]
        raise ValueError(
            f"{images.path}: {len(images.files)} images of {height}x{width} pixels {error}; choose a smaller size, "
            "`image_size=(64, 64)` or `--image-size 64`, or fewer images"
        ) from error


class _DifferentError(Exception):
    """An error for images that differ in type, size or number of channels."""


def _read_into(x: np.ndarray, row: int, file: Path, size: tuple[int, int] | None, like: _Kind) -> _Kind:
    picture = _read(file, size)
    kind = _kind_of(picture)
    if _fits(kind, like):
        x[row] = picture.levels  # a grey image is copied to each channel
    return kind


def _kind_of(picture: "Picture") -> _Kind:
    return _Kind(picture.levels.dtype, picture.levels.shape, picture.unserved)


def _fits(kind: _Kind, like: _Kind) -> bool:
    return (kind.dtype, kind.shape[:2]) == (like.dtype, like.shape[:2]) and kind.shape[-1] <= like.shape[-1]


def _read(file: Path, size: tuple[int, int] | None) -> "Picture":
    # loads TensorFlow
    from bnzoo.pictures.read import Picture, read

    with reading(file, "an image") as path:
        if (stored := path.stat().st_size) > MAX_BYTES:
            raise ValueError(f"it has {stored:,} bytes, more than the maximum of {MAX_BYTES:,} for an image")
        levels, unserved = read(path.read_bytes())
        return Picture(levels if size is None else _resized(levels, size), unserved)


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


def _warn_of_unserved(files: list[Path], kinds: list[_Kind]) -> None:
    formats = Counter(kind.unserved for kind in kinds if kind.unserved)
    if not formats:
        return
    counts = ", ".join(f"{format}: {count}" for format, count in sorted(formats.items()))
    example = next(file for file, kind in zip(files, kinds, strict=True) if kind.unserved)
    warnings.warn(
        f"`serve_image_bytes` of an exported model cannot decode {formats.total()} of {len(files)} images, such as "
        f"{example} ({counts}). Clients must send their pixels to `serve`, or 8-bit PNG or JPEG files. In the latter "
        "case, also train the model on such files.",
        stacklevel=5,
    )


def _check_alike(files: list[Path], kinds: list[_Kind]) -> None:
    """Raise `ValueError` if the images differ in size or depth. The message names an image of the minority."""
    types = Counter(kind.dtype for kind in kinds)
    if len(types) > 1:
        common = types.most_common(1)[0][0]
        file, dtype = next((file, kind.dtype) for file, kind in zip(files, kinds, strict=True) if kind.dtype != common)
        raise ValueError(
            f"{file}: its values have {_DEPTHS[dtype.name]}, those of most images have {_DEPTHS[common.name]}; convert "
            "all images to one depth"
        )
    sizes = Counter(kind.shape[:2] for kind in kinds)
    if len(sizes) > 1:
        rows, columns = sizes.most_common(1)[0][0]
        file, odd = next(
            (file, kind.shape) for file, kind in zip(files, kinds, strict=True) if kind.shape[:2] != (rows, columns)
        )
        raise ValueError(
            f"{file} has {odd[0]}x{odd[1]} pixels, most images have {rows}x{columns}; choose a size for all images, "
            "`image_size=(64, 64)` or `--image-size 64`"
        )
