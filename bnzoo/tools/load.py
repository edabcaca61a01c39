"""A saved model, or what is wrong with its file."""

import contextlib
import re
import textwrap
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import h5py
import keras

from bnzoo import layers  # noqa: F401  # registers them, so that Keras finds them

_ZIP = b"PK\3\4"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_PICKLES = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
_PYTORCH = "weights that PyTorch has trained are brought in by `bnzoo.weights.from_torch`, from a safetensors file"
_AGAIN = "copy it again from where it came, or save the model again"
_UNREGISTERED = re.compile(
    r"Could not (?:locate|deserialize) (class|function) '([^']+)'|Unknown ([\w ]+): '([^']+)'\. Please ensure"
)


def load_model(path: str | Path, *, custom_objects: dict[str, Any] | None = None, compile: bool = True) -> keras.Model:
    """Loads a model that Keras has saved, with the layers of bnzoo known.

    What a file is, is seen from its content, and every part of a `.keras` file is compared with its checksum first:
    Keras itself loads weights in which bytes were flipped. An older `.h5` file of a whole model has no checksums.

    Args:
        path: The path of a `.keras` file, or of an `.h5` file of a whole model.
        custom_objects: Dict of names to the classes and functions of your own that are not registered with Keras.
        compile: Boolean, whether the model gets the optimizer, loss and metrics that it was saved with.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: If the file is empty, truncated, damaged, or no Keras model, or if Keras cannot load it; the message
            says which, and what to do.
        FileNotFoundError: If there is no such file.
        PermissionError: If it must not be read.

    Examples:
    >>> bnzoo.ResNet20Cifar().save("resnet.keras")
    >>> model = bnzoo.load_model("resnet.keras")
    """
    path = Path(path)
    _check(path)
    try:
        return keras.saving.load_model(path, custom_objects=custom_objects, compile=compile)
    except Exception as error:  # Keras lets through whatever a layer raises; the message carries it
        reason = _reason(path, error)
        if compile and _loads(path, custom_objects):
            reason += "; or pass `compile=False`: only training needs it"
        raise ValueError(reason) from error


def _loads(path: Path, custom_objects: dict[str, Any] | None) -> bool:
    """Whether the model loads without the optimizer, loss and metrics."""
    with contextlib.suppress(Exception):
        keras.saving.load_model(path, custom_objects=custom_objects, compile=False)
        return True
    return False


def _check(path: Path) -> None:
    """Raises an error that says what is the case, unless the file is a whole Keras model."""
    if path.is_dir():
        _refuse_folder(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}")
    if not path.is_file():  # to open a pipe would wait for ever
        raise ValueError(f"{path} is no regular file; a model is loaded from a .keras file")
    with path.open("rb") as file:
        start = file.read(32)
    if not start:
        raise ValueError(f"{path} is empty: {_AGAIN}")
    if _ZIP.startswith(start[: len(_ZIP)]):
        _check_zip(path)
    elif _HDF5.startswith(start[: len(_HDF5)]):
        _check_hdf5(path)
    else:
        raise ValueError(f"{path} {_foreign(start)}")


def _refuse_folder(path: Path) -> NoReturn:
    if (path / "saved_model.pb").exists():
        raise ValueError(
            f"{path} is a SavedModel, which is no Keras model any more: `tf.saved_model.load({str(path)!r})` gives its "
            "signatures"
        )
    if (path / "config.json").exists():
        raise ValueError(f"{path} is a folder with an unzipped Keras model: zip its files into one .keras file")
    raise ValueError(f"{path} is a folder; a model is loaded from a .keras file")


def _check_zip(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is truncated, its end is missing: {_AGAIN}")
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            damaged = archive.testzip()
    except Exception as error:  # another one for each field that may be damaged
        raise ValueError(f"{path} is damaged ({error}): {_AGAIN}") from error
    if damaged is not None:
        raise ValueError(f"{path} is damaged, {damaged} in it does not have its checksum: {_AGAIN}")
    if any(name.endswith("/data.pkl") for name in names):
        raise ValueError(f"{path} is a PyTorch file, no Keras model; {_PYTORCH}")
    missing = {"config.json", "metadata.json"} - names
    if not names & {"model.weights.h5", "model.weights.npz"}:
        missing.add("model.weights.h5")
    if missing:
        raise ValueError(f"{path} is a zip file, but no Keras model: it has no {', '.join(sorted(missing))}")
    _check_suffix(path, ".keras")


def _check_hdf5(path: Path) -> None:
    try:
        with h5py.File(path, "r") as file:
            whole = "model_config" in file.attrs
    except OSError as error:
        raise ValueError(f"{path} is a truncated or damaged HDF5 file ({error}): {_AGAIN}") from error
    if not whole:
        raise ValueError(
            f"{path} is an HDF5 file without a model, of weights only: build the model that they belong to, then "
            f"`model.load_weights({str(path)!r})`"
        )
    _check_suffix(path, ".h5", ".hdf5")


def _check_suffix(path: Path, *suffixes: str) -> None:
    """Keras goes by the name."""
    if not path.name.endswith(suffixes):
        raise ValueError(f"{path} holds a Keras model, but its name does not end in {suffixes[0]}: rename it")


def _foreign(start: bytes) -> str:
    """What a file is that starts like this, and what to do with it."""
    if start.startswith(_PICKLES):
        return f"is a pickle, which may run any code that is in it and is not loaded; {_PYTORCH}"
    if start[6:9] == b"\0\0{":  # the length of the JSON, then the JSON
        return f"is a safetensors file, of weights only; {_PYTORCH}"
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself: `git lfs pull` gets it"
    return f"is no Keras model; a model is loaded from a .keras file. It starts with {start[:16]!r}"


def _reason(path: Path, error: Exception) -> str:
    text = str(error).rsplit("Exception encountered:", 1)[-1]  # before it, Keras prints the whole configuration
    if "Python lambda" in text:
        return (
            f"{path} holds a Python lambda, which may be any code and is not loaded. If you trust the file: "
            f"`keras.saving.load_model({str(path)!r}, safe_mode=False)`"
        )
    if match := _UNREGISTERED.search(text):
        kind, name = (word for word in match.groups() if word)
        return (
            f"{path} uses the {kind} {name!r}, which Keras does not know: import the module that defines and registers "
            f"it first, or pass `custom_objects={{{name!r}: ...}}`"
        )
    return f"Keras cannot load {path}: {textwrap.shorten(text, 300, placeholder=' ...') or type(error).__name__}"
