"""Images that are decoded when they are first used."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bnzoo import machine
from bnzoo.data.dataset import kept_type
from bnzoo.data.partial import PartialArray
from bnzoo.data.rows import ReadError
from bnzoo.pictures.bounds import bounded
from bnzoo.pictures.form import Form
from bnzoo.reading import reading

if TYPE_CHECKING:
    from bnzoo.pictures.read import Picture

Size = tuple[int, int] | None

# The number of images from which the scale is computed, the first ones of the training data, which are in random order.
# The error of the mean of a channel is at most a 64th, 4096**-0.5, of the deviation between images.
SAMPLE = 4096
# the files that a thread reads in a row
_AT_ONCE = 8


class Decoded:
    """Image files as a source of rows. Each file is decoded when it is first used, several at a time.

    Args:
        files: Sequence of paths, the file of each row.
        size: Tuple `(height, width)` to which images are resized, or `None`.
        form: The `Form` of the decoded images.
        max_memory: Integer, the limit in bytes, as in `store.memory_limit`.
        key: String, the name of the images in the cache.

    Raises:
        store.NoRoomError: If the images fit neither into memory nor on the disk.
    """

    sample: int | None = SAMPLE

    def __init__(self, files: Sequence[Path], size: Size, form: Form, max_memory: int | None, key: str) -> None:
        self.shape, self.dtype = (len(files), *form.shape), kept_type(form.dtype)
        self.error: ReadError | None = None
        self._files, self._size, self._form = files, size, form
        self._held = PartialArray(self.shape, self.dtype, max_memory, key)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return images by their rows. Decode those that have not been used before.

        Raises:
            ReadError: If a file cannot be read. The message names it.
        """
        missing = np.unique(rows[~self._held.written[rows]])
        if len(missing):
            parts = [missing[start : start + _AT_ONCE] for start in range(0, len(missing), _AT_ONCE)]
            for _ in self._threads.map(self._decode, parts):
                pass
            self._held.publish()
        return np.asarray(self._held.array[rows])

    def contents(self, rows: np.ndarray) -> Iterator[Any]:
        """Yield digests of the bytes of the files, which nothing decodes."""
        yield repr((self._size, self.shape[1:], self.dtype.name)).encode()
        yield from self._threads.map(self._digest, rows)

    def _decode(self, rows: np.ndarray) -> None:
        for row in rows:
            file = self._files[row]
            try:
                write(read(file, self._size), self._form, file, self._held.array, row)
            except (ValueError, OSError) as error:
                raise self._failed(error) from error
            self._held.written[row] = True

    def _digest(self, row: int) -> bytes:
        try:
            with self._files[row].open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> ReadError:
        message = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        self.error = self.error or ReadError(message)
        return self.error

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(machine.available_cores())

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_threads"}


def write(picture: "Picture", form: Form, file: Path, x: np.ndarray, row: int) -> None:
    """Write an image into a row of an array.

    Raises:
        ValueError: If it does not have the form of the others. The message names the file.
    """
    levels = picture.levels
    if levels.dtype != form.dtype or levels.shape[:2] != form.shape[:2] or levels.shape[-1] > form.shape[-1]:
        raise ValueError(
            f"{file}: its pixels are {levels.dtype} of the shape {levels.shape}, its header declared {form.dtype} of "
            f"the shape {form.shape}. It has changed, or is damaged"
        )
    x[row] = levels  # a grey image is copied to each channel


def read(file: Path, size: Size) -> "Picture":
    """Read an image file, and resize the image.

    Raises:
        ValueError: If the file cannot be read. The message names it.
        OSError: If the file does not exist, or its permissions do not allow to read it.
    """
    # loads TensorFlow
    from bnzoo.pictures.read import Picture, read

    with reading(file, "an image") as path:
        levels, unserved = read(bounded(path).read_bytes())
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
