"""Where data comes from."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bnzoo.data.dataset import Dataset, stratified
from bnzoo.data.sources import Examples, embedded, image_folder, npz
from bnzoo.errors import unknown

_EMBEDDED = ("digits", "wine", "breast_cancer")


def list_datasets() -> list[str]:
    """The names that `load` knows without a download."""
    return list(_EMBEDDED)


def load(
    source: str | Path = "digits",
    *,
    image_size: tuple[int, int] | None = None,
    validation: float = 0.15,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Classified examples, split into training, validation and test data.

    The splits are stratified (each has every class) and depend on the seed alone. Values stay as they were read; the
    models that `bnzoo.tuning` builds scale them in their first layer, so that what is deployed takes raw data.

    Args:
        source: One of `list_datasets()`; the path of an `.npz` file with arrays `x` and `y`; or a folder with one
            subfolder of PNG or JPEG files for each class. Grey images give one channel, any colour image gives three.
        image_size: Tuple `(height, width)` that images of a folder are resized to. Needed if they differ in size.
        validation: Float, the share of the validation data.
        test: Float, the share of the test data.
        seed: Integer, of the splits.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: If the data cannot be used; the message names the file or the class.
        FileNotFoundError: If there is no such name, file or folder.

    Examples:
    >>> digits = bnzoo.data.load("digits")
    >>> digits.input_shape, digits.classes, len(digits.train.x)
    ((8, 8, 1), 10, 1169)
    """
    name = str(source)
    path = Path(source)
    read = _reader(name, path)
    if image_size is not None and not path.is_dir():
        raise ValueError(f"`image_size` is for a folder of images; {name} is none. Received: image_size={image_size}")
    x, y, labels = image_folder(path, image_size) if read is None else read()
    _check_finite(name, x)
    return stratified(x, y, labels, name, validation, test, seed)


def _reader(name: str, path: Path) -> Callable[[], Examples] | None:
    if name in _EMBEDDED:
        return lambda: embedded(name)
    if path.is_dir():
        return None
    if not path.exists():
        raise FileNotFoundError(
            f"{unknown('data set', name, _EMBEDDED)}; and there is no such file or folder (an .npz with x and y, or a "
            "folder with a subfolder of images for each class)"
        )
    if path.suffix != ".npz":
        raise ValueError(f"{name}: only .npz files (arrays x and y) and folders of images can be read")
    return lambda: npz(path)


def _check_finite(name: str, x: np.ndarray) -> None:
    bad = ~np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{name}: {bad.sum()} of {len(x)} examples in x hold NaN or infinite values, the first at index "
            f"{bad.argmax()}; fill or drop them"
        )
