"""Readers: embedded tables, `.npz` files, folders of images.

Each gives examples, labels and the classes' names; a regression has float targets and no classes.
"""

import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

from bnzoo.reading import read_npz

Examples = tuple[np.ndarray, np.ndarray, list[str]]
_IMAGES = (".png", ".jpg", ".jpeg")


def embedded(name: str) -> Examples:
    """A real data set that comes with scikit-learn."""
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(f"{name!r} comes with scikit-learn: pip install 'bnzoo[tune]'") from error
    if name == "diabetes":
        bunch = datasets.load_diabetes(scaled=False)  # the values that were measured
        return bunch.data.astype(np.float32), bunch.target, []
    bunch = getattr(datasets, f"load_{name}")()
    x = bunch.images[..., None] if name == "digits" else bunch.data
    return x.astype(np.float32), bunch.target, [str(label) for label in bunch.target_names]


def npz(path: Path, max_bytes: int | None = None) -> Examples:
    """The arrays `x` and `y` of a file, which may take so many bytes in memory."""
    arrays = read_npz(path, ("x", "y"), max_bytes)
    if missing := {"x", "y"} - arrays.keys():
        with zipfile.ZipFile(path) as archive:
            held = ", ".join(name.removesuffix(".npy") for name in archive.namelist()) or "nothing"
        raise ValueError(
            f"{path}: no array named {' or '.join(sorted(missing))}; it holds {held}. Save it with np.savez(path, "
            "x=..., y=...)"
        )
    x, y = arrays["x"], arrays["y"]
    if x.dtype.kind not in "biuf":
        raise ValueError(f"{path}: x must hold real numbers. Received: dtype {x.dtype}")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "iuf":  # NumPy counts spans of time as integers
        raise ValueError(
            f"{path}: y must be one integer label per example, or one float of a regression. Received: dtype "
            f"{y.dtype}, shape {y.shape}"
        )
    if len(x) != len(y):
        raise ValueError(f"{path}: x and y must have the same length. Received: {len(x)} and {len(y)}")
    if x.ndim not in (2, 3, 4) or not x.size:
        raise ValueError(
            f"{path}: x must have the shape (n, features), (n, height, width) or (n, height, width, channels). "
            f"Received: {x.shape}"
        )
    x = x[..., None] if x.ndim == 3 else x
    if np.issubdtype(y.dtype, np.floating):
        return x, y, []
    values, labels = np.unique(y, return_inverse=True)
    return x, labels, [str(value) for value in values]


def image_folder(folder: Path, size: tuple[int, int] | None) -> Examples:
    """A folder with a subfolder of PNG or JPEG files for each class."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("folders of images are read with Pillow: pip install 'bnzoo[tune]'") from error
    labels = sorted(sub.name for sub in folder.iterdir() if sub.is_dir() and not sub.name.startswith("."))
    if not labels:
        raise ValueError(f"{folder}: no subfolders; it needs one subfolder of PNG or JPEG files for each class")
    images, y = [], []
    for index, label in enumerate(labels):
        files = sorted(file for file in (folder / label).iterdir() if file.suffix.lower() in _IMAGES)
        if not files:
            raise ValueError(f"{folder / label}: no PNG or JPEG file in the folder of this class")
        for file in files:
            images.append((file, _read_image(Image, file, size)))
            y.append(index)
    colour = any(image.ndim == 3 for _, image in images)
    _check_sizes(images)
    x = np.stack([_channels(image, colour) for _, image in images])
    return x.astype(np.float32), np.array(y), labels


def _read_image(pillow: object, file: Path, size: tuple[int, int] | None) -> np.ndarray:
    try:
        with pillow.open(file) as image:  # type: ignore[attr-defined]
            grey = image.mode in ("1", "L", "LA")
            loaded = image.convert("L" if grey else "RGB")
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises each of them for a broken file
        raise ValueError(f"{file}: not a readable image, perhaps truncated ({error})") from error
    return np.asarray(loaded if size is None else loaded.resize((size[1], size[0])))


def _check_sizes(images: list[tuple[Path, np.ndarray]]) -> None:
    sizes = Counter(image.shape[:2] for _, image in images)
    if len(sizes) > 1:
        common = sizes.most_common(1)[0][0]
        odd = next((file, image.shape[:2]) for file, image in images if image.shape[:2] != common)
        raise ValueError(
            f"{odd[0]}: {odd[1][0]}x{odd[1][1]} pixels where most images have {common[0]}x{common[1]}; choose a size "
            "to resize all to, `image_size=(64, 64)` or `--image-size 64`"
        )


def _channels(image: np.ndarray, colour: bool) -> np.ndarray:
    if image.ndim == 3:
        return image
    return np.repeat(image[..., None], 3, axis=-1) if colour else image[..., None]
