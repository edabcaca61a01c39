"""Readers of embedded data sets, `.npz` files, pairs of `.npy` files and folders of images.

Each returns the examples, their labels, and the names of the classes; a regression has float targets and no classes.
Targets of the shape `(examples, k)` are rows of labels, which have names, or of several float targets.
"""

import warnings
import zipfile
from pathlib import Path

import numpy as np

from bnzoo.data import store
from bnzoo.data.dataset import is_one_hot
from bnzoo.data.images import list_images, read_images
from bnzoo.data.rows import Rows
from bnzoo.errors import printable
from bnzoo.reading import read_npz

_PARTS = (
    ", where x is np.concatenate([x_train, x_test]); to keep the parts as splits, pass them to "
    "bnzoo.data.Dataset.from_tf_data"
)
_PAIR = ("x.npy", "y.npy")

Examples = tuple[np.ndarray, np.ndarray, list[str]]


def embedded(name: str) -> Examples:
    """Return a data set that scikit-learn contains."""
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(f"{name!r} is part of scikit-learn: pip install 'bnzoo[tune]'") from error
    if name == "diabetes":
        bunch = datasets.load_diabetes(scaled=False)  # in the original units
        return bunch.data.astype(np.float32), bunch.target, []
    bunch = getattr(datasets, f"load_{name}")()
    x = bunch.images[..., None] if name == "digits" else bunch.data
    return x.astype(np.float32), bunch.target, [str(label) for label in bunch.target_names]


def npz(path: Path, max_bytes: int | None = None) -> Examples:
    """Return the arrays `x` and `y` of a file.

    Args:
        path: The `.npz` file.
        max_bytes: Integer, the maximum number of bytes of the arrays in memory, as in `bnzoo.reading.declared`.

    Raises:
        ValueError: If an array is missing, or has an unsupported type or shape.
    """
    arrays = read_npz(path, ("x", "y"), max_bytes)
    if missing := {"x", "y"} - arrays.keys():
        with zipfile.ZipFile(path) as archive:
            held = [printable(name).removesuffix(".npy") for name in archive.namelist()]
        raise ValueError(
            f"{path} has no array named {' or '.join(sorted(missing))}; it has {', '.join(held) or 'nothing'}. Save it "
            f"with np.savez(path, x=..., y=...){_PARTS if {'x_train', 'x_test'} <= {*held} else ''}"
        )
    return _examples(path, arrays["x"], arrays["y"])


def image_folder(folder: Path, size: object = None) -> tuple[np.ndarray | Rows, np.ndarray, list[str]]:
    """Return the images of a folder with a subfolder for each class, in the order of their files.

    The arguments and errors are those of `list_images` and `read_images`.
    """
    images = list_images(folder, size)
    return read_images(images, np.arange(len(images.files))), images.y, images.labels


def has_npy(folder: Path) -> bool:
    """Return whether a folder has the files `x.npy` and `y.npy`."""
    return all((folder / name).exists() for name in _PAIR)


def npy(folder: Path) -> Examples:
    """Return the arrays in the files `x.npy`, which is mapped into memory, and `y.npy`.

    Args:
        folder: The folder of both files.

    Raises:
        ValueError: If a file is damaged, or has an unsupported type or shape.
    """
    x, y = (store.mapped(folder / name) for name in _PAIR)
    return _examples(folder, x, np.array(y))


def _examples(path: Path, x: np.ndarray, y: np.ndarray) -> Examples:
    if x.dtype.kind not in "biuf":
        raise ValueError(f"{path}: x must have real numbers. Received: dtype {x.dtype}")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    several = y.ndim == 2 and y.shape[1] > 1 and (y.dtype.kind == "f" or np.isin(y, (0, 1)).all())
    if not (several or y.ndim == 1) or y.dtype.kind not in ("biuf" if several else "biufU"):
        raise ValueError(
            f"{path}: y must have one label (integer, boolean or string) or one float target per example, or a row of "
            f"0 and 1 (several labels) or of float targets. Received: dtype {y.dtype}, shape {y.shape}"
        )
    if x.ndim and len(x) != len(y):
        raise ValueError(f"{path}: x and y must have the same length. Received: {len(x)} and {len(y)}")
    if x.ndim not in (2, 3, 4) or not x.size:
        raise ValueError(
            f"{path}: x must have the shape (n, features), (n, height, width) or (n, height, width, channels). "
            f"Received: {x.shape}"
        )
    x = x[..., None] if x.ndim == 3 else x
    one_hot = several and is_one_hot(y)
    if y.dtype.kind == "f":
        if one_hot:
            raise ValueError(
                f"{path}: y is one-hot: each row has exactly one 1. Floats are the targets of a regression. For a "
                "classification, save y.argmax(-1)"
            )
        return x, y, []
    if several:
        if one_hot:
            warnings.warn(
                f"{path}: each row of y has exactly one 1, and is read as several labels an example. For a "
                "classification, save y.argmax(1) instead.",
                stacklevel=5,
            )
        return x, y.astype(np.int32), [str(number) for number in range(y.shape[1])]
    values, labels = np.unique(y, return_inverse=True)
    return x, labels, [printable(str(value)) for value in values]
