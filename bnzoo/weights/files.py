"""Reading of tensors from files that cannot run code."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bnzoo.reading import datasets, first_bytes, format_of, open_hdf5, read_npz, reading, regular_file, tensor

_PICKLE_SUFFIXES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".tar")


def read_tensors(source: Any, max_bytes: int | None = None) -> dict[str, np.ndarray]:
    """Return the tensors of a source by their names.

    The format of a file is read from its content, not from its name.

    Args:
        source: The path of a safetensors, HDF5 or `.npz` file, or a mapping from names to arrays (NumPy arrays, torch
            tensors, anything that NumPy converts).
        max_bytes: Integer, the most bytes that the tensors of a file may take in memory; `None` for 512 MiB or 100
            times the size of the file, whichever is more.

    Returns:
        Dict of NumPy arrays, in the order of the source. The groups of an HDF5 file are separated by dots in a name.

    Raises:
        ValueError: If the file is a pickle, has another format, is damaged, refers to another file, or is larger in
            memory than allowed.
        FileNotFoundError: If there is no such file.
        ImportError: If the file is a safetensors file and the package safetensors is not installed.
    """
    if isinstance(source, Mapping):
        return {str(name): _array(name, value) for name, value in source.items()}
    if not isinstance(source, str | Path):
        raise ValueError(
            "Weights are read from a path (safetensors, HDF5, .npz) or a mapping from names to arrays. "
            f"Received: {type(source).__name__}"
        )
    path = regular_file(source)
    return _reader(path)(path, max_bytes)


def _reader(path: Path) -> Callable[[Path, int | None], dict[str, np.ndarray]]:
    kind = format_of(first_bytes(path))
    members: list[str] = []
    if kind == "zip":
        with reading(path, "a zip file"), zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    if members and all(member.endswith(".npy") for member in members):
        return _read_npz
    if kind == "hdf5":
        return _read_hdf5
    if kind == "safetensors":
        return _read_safetensors
    pickled = kind == "pickle" or any(member.endswith(".pkl") for member in members)
    if pickled or path.suffix.lower() in _PICKLE_SUFFIXES:
        raise ValueError(
            f"{path} is a pickle, which may run any code when it is read, and is not read. If you trust it, convert it "
            "once, where torch is installed: `import torch; from safetensors.torch import save_file; "
            f"save_file({{k: v.contiguous() for k, v in torch.load({str(path)!r}, weights_only=True).items()}}, "
            f"{str(path.with_suffix('.safetensors'))!r})`"
        )
    raise ValueError(f"Weights are read from safetensors, HDF5 and .npz files. Received: {path}, of another format")


def _read_npz(path: Path, max_bytes: int | None) -> dict[str, np.ndarray]:
    return read_npz(path, max_bytes=max_bytes)


def _read_hdf5(path: Path, max_bytes: int | None) -> dict[str, np.ndarray]:
    with open_hdf5(path, max_bytes=max_bytes) as file:
        return {name.lstrip("/").replace("/", "."): tensor(dataset) for name, dataset in datasets(file)}


def _read_safetensors(path: Path, max_bytes: int | None) -> dict[str, np.ndarray]:
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise ImportError(f"{path} is a safetensors file, which needs `pip install safetensors`") from error
    with reading(path, "a safetensors file"):  # the format has no compression
        return load_file(path)


def _array(name: object, value: Any) -> np.ndarray:
    """Return a NumPy array of a torch tensor, without an import of torch, or of anything that NumPy converts."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if "bfloat16" in str(getattr(value, "dtype", "")):  # no dtype of NumPy
            value = value.float()
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The tensor {name!r} cannot be converted to an array: {error}") from error
