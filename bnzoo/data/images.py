"""Folders of images."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bnzoo.data import store
from bnzoo.data.dataset import kept_type
from bnzoo.data.decoded import Decoded, read, write
from bnzoo.data.each_file import each_file
from bnzoo.data.image_forms import common_form
from bnzoo.data.rows import Rows
from bnzoo.pictures.form import Form
from bnzoo.pictures.names import FORMATS, SUFFIXES, is_image, is_stray

_SIDE = 2**14
# the bytes of decoded images up to which all are decoded at once, so that a damaged file is found at once too
_SMALL = 2**27
# of the stored images; another decoding needs another number
_VERSION = 1
# the usual names of folders that are no classes
_SPLITS = ("train", "training", "val", "valid", "validation", "test")


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
            hint = _hint(labels) if any(map(Path.is_dir, entries)) else ""
            raise ValueError(f"{folder / label}: the folder of this class has no {FORMATS} file{hint}")
        files += chosen
        y += [index] * len(chosen)
    _warn_of_unread(unread)
    return ImageFolder(folder, files, np.array(y), labels, size)


def read_images(images: ImageFolder, order: np.ndarray, max_memory: int | None = None) -> np.ndarray | Rows:
    """Read the images of a folder, several files at a time.

    The headers of all files are read first. If the decoded images have at most 128 MiB, all are decoded here, else each
    when it is first used.

    Args:
        images: An `ImageFolder`.
        order: Integer array, the index of the image for each row of the result.
        max_memory: Integer, the bytes up to which the images are held in memory, `None` for a quarter of the machine's
            memory. More are held in a file, which the next call reads if the folder has not changed.

    Returns:
        The images with the values of their files, an array or `Rows`.

    Raises:
        ValueError: If files cannot be read, or images differ in size or depth. The message counts the files, and names
            some.
        OSError: If the permissions of a file do not allow to read it.
    """
    key, files = _key(images, order), [images.files[index] for index in order]
    stored = store.find(key)
    if stored is not None and stored.nbytes <= _SMALL:
        return stored
    form = common_form(images.files, images.size) if stored is None else Form(stored.dtype, stored.shape[1:])
    shape, dtype = (len(files), *form.shape), kept_type(form.dtype)

    def fill(x: np.ndarray) -> None:
        each_file(lambda row, file: write(read(file, images.size), form, file, x, row), files)

    try:
        if store.bytes_of(shape, dtype) <= _SMALL:
            return store.filled(shape, dtype, fill, max_memory, key)
        return Rows(Decoded(files, images.size, form, max_memory, key), np.arange(len(files)))
    except store.NoRoomError as error:
        height, width = form.shape[:2]
        raise ValueError(
            f"{images.path}: {len(files)} images of {height}x{width} pixels {error}; choose a smaller size, "
            "`image_size=(64, 64)` or `--image-size 64`, or fewer images"
        ) from error


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


def _hint(labels: Sequence[str]) -> str:
    """Return what to do about folders in the folders of classes."""
    hint = ". It has folders: if these are the classes, pass it alone"
    if splits := [label for label in labels if label.lower() in _SPLITS]:
        hint += (
            f"; to keep {' and '.join(splits)} as splits, read each with keras.utils.image_dataset_from_directory, and "
            "pass them to bnzoo.data.Dataset.from_tf_data"
        )
    return hint


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
