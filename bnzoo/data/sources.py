"""Readers: embedded tables, `.npz` files, folders of images.

Each gives examples, labels and the classes' names; a regression has float targets and no classes.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from bnzoo.data.images import image_folder

__all__ = ["Examples", "embedded", "image_folder", "npz"]

Examples = tuple[np.ndarray, np.ndarray, list[str]]


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


def npz(path: Path) -> Examples:
    """The arrays `x` and `y` of a file."""
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path}: not a readable .npz file, perhaps truncated; save it with np.savez(path, x=..., y=...)"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            if missing := {"x", "y"} - set(file.files):
                raise ValueError(
                    f"{path}: no array named {' or '.join(sorted(missing))}; it holds "
                    f"{', '.join(file.files) or 'nothing'}. Save it with np.savez(path, x=..., y=...)"
                )
            x, y = file["x"], file["y"]
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path}: not a readable .npz file ({error})") from error
    except ValueError as error:
        if "pickle" in str(error):
            raise ValueError(f"{path}: x and y must be plain arrays of numbers, not objects") from error
        raise
    if not (np.issubdtype(x.dtype, np.number) or x.dtype == bool) or np.iscomplexobj(x):
        raise ValueError(f"{path}: x must hold real numbers. Received: dtype {x.dtype}")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or not (np.issubdtype(y.dtype, np.integer) or np.issubdtype(y.dtype, np.floating)):
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
