"""Loading of saved models, with checks of the file first."""

import json
import math
import re
import textwrap
import traceback
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import keras

from bnzoo.errors import printable
from bnzoo.layers.batch_normalization import CUSTOM_OBJECTS
from bnzoo.reading import RefusedError, closed_hdf5, declared, first_bytes, format_of, members

_PYTORCH = "weights trained with PyTorch are loaded by `bnzoo.weights.from_torch`, from a safetensors file"
_AGAIN = "copy it again from its source, or save the model again"
_UNREGISTERED = re.compile(
    r"Could not (?:locate|deserialize) (class|function) '([^']+)'|Unknown ([\w ]+): '([^']+)'\. Please ensure"
)


def load_model(
    path: str | Path,
    *,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
    max_bytes: int | None = None,
) -> keras.Model:
    """Load a model that Keras has saved, layers of bnzoo included.

    The format is read from the content of the file, not from its name. Every part of a `.keras` file is compared with
    its checksum first, since Keras itself loads weights with flipped bytes. An older `.h5` file of a whole model has no
    checksums. Links to other files are refused in both formats, and the memory for the content of the file and for the
    weights of the network is checked before anything is allocated.

    Args:
        path: The path of a `.keras` file, or of an `.h5` file of a whole model.
        custom_objects: Dict from names to your own classes and functions that are not registered with Keras.
        compile: Boolean, whether to compile the model with its saved optimizer, loss and metrics.
        max_bytes: Integer, the most bytes that the content of the file, and the weights of its network, may take in
            memory; `None` for 512 MiB or 100 times the size of the file, whichever is more.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: If the file is empty, truncated, damaged or no Keras model, or if Keras cannot load it. The message
            names the fault and the remedy.
        FileNotFoundError: If there is no such file.
        PermissionError: If the file may not be read.

    Examples:
    >>> bnzoo.ResNet20Cifar().save("resnet.keras")
    >>> model = bnzoo.load_model("resnet.keras")
    """
    path = Path(path)
    network = _check(path, max_bytes)
    custom_objects = {**CUSTOM_OBJECTS, **(custom_objects or {})}
    _check_weights(path, network, custom_objects, max_bytes)
    try:
        return keras.saving.load_model(path, custom_objects=custom_objects, compile=compile)
    except Exception as error:  # Keras passes on any error of a layer
        reason = _reason(path, error)
        if any(frame.name == "compile_from_config" for frame in traceback.extract_tb(error.__traceback__)):
            reason += "; or pass `compile=False`, since only training needs it"
        raise ValueError(reason) from error


def _check(path: Path, max_bytes: int | None) -> str:
    """Return the configuration of the network as JSON, or raise an error that names the fault of the file."""
    if path.is_dir():
        _refuse_folder(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}")
    if not path.is_file():  # opening a pipe could wait forever
        raise ValueError(f"{path} is no regular file; a model is loaded from a .keras file")
    start = first_bytes(path)
    match format_of(start):
        case "zip":
            return _check_zip(path, max_bytes)
        case "hdf5":
            return _check_hdf5(path, max_bytes)
        case "pickle":
            raise ValueError(f"{path} is a pickle, which may run any code and is not loaded; {_PYTORCH}")
        case "safetensors":
            raise ValueError(f"{path} is a safetensors file, which holds weights without a model; {_PYTORCH}")
        case "git_lfs":
            raise ValueError(f"{path} is a pointer of Git LFS, not the file itself: `git lfs pull` gets the file")
    if not start:
        raise ValueError(f"{path} is empty: {_AGAIN}")
    raise ValueError(f"{path} is no Keras model; a model is loaded from a .keras file. It starts with {start[:16]!r}")


def _check_weights(path: Path, network: str, custom_objects: dict[str, Any], max_bytes: int | None) -> None:
    """Raise an error if a network cannot be built, or its weights would take more memory than allowed."""
    try:
        count = sum(math.prod(variable.shape) for variable in _built(json.loads(network), custom_objects))
        declared(path, 4 * count, max_bytes)
    except RefusedError as error:
        raise ValueError(f"{path} is not loaded, for its network has {count:,} weights: {error}") from error
    except Exception as error:
        # Layers of Keras and bnzoo can be built without values. A network with layers of others is built later.
        if not _has_code_of_others(network, custom_objects):
            raise ValueError(_reason(path, error)) from error


def _has_code_of_others(network: str, custom_objects: dict[str, Any]) -> bool:
    registered = {**keras.saving.get_custom_objects(), **custom_objects}
    foreign = (n for n, value in registered.items() if not value.__module__.startswith(("bnzoo.", "keras.")))
    return any(f'"{name}"' in network for name in foreign)


def _built(config: dict[str, Any], custom_objects: dict[str, Any]) -> list[keras.Variable]:
    """Return the variables of a network, without values."""
    config.pop("compile_config", None)
    with keras.StatelessScope(initialize_variables=False):
        if "module" in config:
            return keras.saving.deserialize_keras_object(config, custom_objects=custom_objects).variables
        kind = keras.Sequential if config["class_name"] == "Sequential" else keras.Model  # an .h5 file
        return kind.from_config(config["config"], custom_objects=custom_objects).variables


def _refuse_folder(path: Path) -> NoReturn:
    if (path / "saved_model.pb").exists():
        raise ValueError(
            f"{path} is a SavedModel, which is no Keras model any more: load its signatures with "
            f"`tf.saved_model.load({str(path)!r})`"
        )
    if (path / "config.json").exists():
        raise ValueError(f"{path} is a folder with an unzipped Keras model: zip its files into one .keras file")
    raise ValueError(f"{path} is a folder; a model is loaded from a .keras file")


def _check_zip(path: Path, max_bytes: int | None) -> str:
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is truncated, its end is missing: {_AGAIN}")
    config = b""
    try:
        with zipfile.ZipFile(path) as archive:
            held = members(archive)
            names = {info.filename for info in held}
            declared(path, sum(info.file_size for info in held), max_bytes)
            damaged = archive.testzip()
            if damaged is None and {"config.json", "model.weights.h5"} <= names:
                config = archive.read("config.json")
                with closed_hdf5(path, max_bytes, content=archive.read("model.weights.h5")):
                    pass  # opening it is the check
    except RefusedError as error:
        raise ValueError(f"{path} is not loaded: {error}") from error
    except Exception as error:  # of many kinds, depending on the damaged field
        raise ValueError(f"{path} is damaged ({printable(str(error))}): {_AGAIN}") from error
    if damaged is not None:
        raise ValueError(f"{path} is damaged, {printable(damaged)} in it does not match its checksum: {_AGAIN}")
    if any(name.endswith("/data.pkl") for name in names):
        raise ValueError(f"{path} is a PyTorch file, no Keras model; {_PYTORCH}")
    missing = {"config.json", "metadata.json"} - names
    if not names & {"model.weights.h5", "model.weights.npz"}:
        missing.add("model.weights.h5")
    if missing:
        raise ValueError(f"{path} is a zip file, but no Keras model: it has no {', '.join(sorted(missing))}")
    _check_suffix(path, ".keras")
    return config.decode(errors="replace")


def _check_hdf5(path: Path, max_bytes: int | None) -> str:
    try:
        with closed_hdf5(path, max_bytes) as file:
            config = file.attrs.get("model_config")
    except RefusedError as error:
        raise ValueError(f"{path} is not loaded: {error}") from error
    except Exception as error:  # of many kinds, depending on the damaged part
        raise ValueError(f"{path} is a truncated or damaged HDF5 file ({printable(str(error))}): {_AGAIN}") from error
    if config is None:
        raise ValueError(
            f"{path} is an HDF5 file of weights without a model: build the model of these weights, then call "
            f"`model.load_weights({str(path)!r})`"
        )
    _check_suffix(path, ".h5", ".hdf5")
    return config.decode(errors="replace") if isinstance(config, bytes) else str(config)


def _check_suffix(path: Path, *suffixes: str) -> None:
    """Raise an error if the name of a file does not end as Keras expects, which goes by the name."""
    if not path.name.endswith(suffixes):
        raise ValueError(f"{path} holds a Keras model, but its name does not end in {suffixes[0]}: rename it")


def _reason(path: Path, error: Exception) -> str:
    text = str(error).rsplit("Exception encountered:", 1)[-1]  # the text before it is the whole configuration
    if "Python lambda" in text:
        return (
            f"{path} holds a Python lambda, which may be any code and is not loaded. If you trust the file, call "
            f"`keras.saving.load_model({str(path)!r}, safe_mode=False)`"
        )
    if match := _UNREGISTERED.search(text):
        kind, name = (word for word in match.groups() if word)
        return (
            f"{path} uses the {kind} {name!r}, which Keras does not know: import the module that defines and registers "
            f"it first, or pass `custom_objects={{{name!r}: ...}}`"
        )
    return f"Keras cannot load {path}: {textwrap.shorten(text, 300, placeholder=' ...') or type(error).__name__}"
