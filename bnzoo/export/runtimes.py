"""Artefacts, run without the rest of this package.

Run as a script, this file applies an artefact in a process that can import neither Keras nor bnzoo, nor TensorFlow
unless the format needs it: `python -P runtimes.py FORMAT FOLDER INPUTS.npz... OUTPUTS.npz`.
"""

import functools
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]

# the examples of a batch, and the bytes of a part
_BATCH, _PART = 64, 2**26
_LENGTHS = ".lengths"


def _formats() -> Mapping[str, Any]:
    """Load the formats, without the package around them if this file is run as a script."""
    if __package__:
        from bnzoo.export.formats import FORMATS

        return FORMATS
    name = "bnzoo_formats"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "formats" / "__init__.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name].FORMATS


def open_artefact(format: str, folder: str | Path) -> Callable[..., Arrays]:
    """Load an artefact on the CPU.

    Args:
        format: String, the name of the format.
        folder: The folder of the artefact.

    Returns:
        A function as `open` of `bnzoo.export.formats.record.Format` returns it.

    Raises:
        ValueError: If the format is unknown.
    """
    formats = _formats()
    if format not in formats:
        raise ValueError(f"Unknown `format`: {format!r}. Known: {', '.join(formats)}")
    return formats[format].open(Path(folder))


def pack(inputs: Arrays) -> Arrays:
    """Convert arrays of strings to arrays of numbers: their contents and their lengths.

    An array of dtype `S` would lose the zeros at the end of an encoded image.

    Args:
        inputs: Dict of arrays, of numbers or of bytes.

    Returns:
        Dict of arrays. An array of bytes becomes an array of dtype uint8 and another one, `<name>.lengths`.
    """
    packed = {}
    for name, values in inputs.items():
        if values.dtype.kind not in "OS":
            packed[name] = values
            continue
        strings = values.ravel().tolist()
        packed[name] = np.frombuffer(b"".join(strings), np.uint8)
        packed[name + _LENGTHS] = np.array([len(s) for s in strings], np.int64).reshape(values.shape)
    return packed


def unpack(arrays: Arrays) -> Arrays:
    """Convert the arrays of `pack` back, bytes to arrays of objects.

    Args:
        arrays: Dict of arrays, as `pack` returns them.

    Returns:
        Dict of arrays.

    Raises:
        ValueError: If the lengths of strings do not fit their contents.
    """
    return {
        name: _strings(name, values, arrays[name + _LENGTHS]) if name + _LENGTHS in arrays else values
        for name, values in arrays.items()
        if not name.endswith(_LENGTHS)
    }


def _strings(name: str, contents: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    sizes = lengths.ravel().tolist() if lengths.dtype == np.int64 else [-1]
    if contents.dtype != np.uint8 or contents.ndim != 1 or min(sizes, default=0) < 0 or sum(sizes) != len(contents):
        raise ValueError(f"the contents and the lengths of the strings {name!r} do not fit")
    ends = np.cumsum(lengths)
    strings = np.empty(lengths.size, object)
    strings[:] = [contents[end - size : end].tobytes() for end, size in zip(ends, lengths.flat, strict=True)]
    return strings.reshape(lengths.shape)


def _block(uses_tensorflow: bool) -> None:
    """Block imports, so that an artefact that needs more than its own runtime fails here and not for its first user."""
    if uses_tensorflow:
        import tensorflow  # noqa: F401  # which itself may look for Keras
    blocked: Any = {"keras": None, "bnzoo": None}
    if not uses_tensorflow:
        blocked["tensorflow"] = None
    sys.modules.update(blocked)


def save(path: str | Path, arrays: dict[str, Arrays]) -> None:
    """Write arrays of numbers and of strings, by signature and by name, to an `.npz` file."""
    flat = {f"{signature}/{name}": values for signature, named in arrays.items() for name, values in named.items()}
    np.savez(path, **pack(flat))  # type: ignore[arg-type]  # numpy takes any name


def load(path: str | Path) -> dict[str, Arrays]:
    """Read the arrays that `save` wrote."""
    with np.load(path) as file:
        return by_signature(dict(file))


def by_signature(arrays: Arrays) -> dict[str, Arrays]:
    """Group the arrays of a file of `save` by signature.

    Args:
        arrays: Dict of arrays, by the names in the file.

    Returns:
        Dict of dicts of arrays, by signature and by name.

    Raises:
        ValueError: If the strings among them are damaged.
    """
    grouped: dict[str, Arrays] = {}
    for key, values in unpack(arrays).items():
        signature, _, name = key.rpartition("/")
        grouped.setdefault(signature, {})[name] = values
    return grouped


def parts(arrays: dict[str, Arrays]) -> Iterator[dict[str, Arrays]]:
    """Split examples by signature and by name into parts of whole batches that fit into memory."""
    sizes = {signature: len(next(iter(named.values()))) for signature, named in arrays.items()}
    one = sum(values[:1].nbytes for named in arrays.values() for values in named.values())
    step = _BATCH * max(1, _PART // (_BATCH * max(one, 1)))
    for start in range(0, max(sizes.values()), step):
        yield {
            signature: {name: values[start : start + step] for name, values in named.items()}
            for signature, named in arrays.items()
            if start < sizes[signature]
        }


def main(format: str, folder: str, *files: str) -> None:
    """Apply an artefact to the arrays of files, and write its outputs to another file.

    Args:
        format: String, the name of the format.
        folder: The folder of the artefact.
        files: `.npz` files: those of the parts of the inputs, as `save` writes them, and the file to write.
    """
    *sources, target = files
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # results are compared on one kind of device
    _block(_formats()[format].uses_tensorflow)
    run = open_artefact(format, folder)
    outputs = [_run(run, load(source)) for source in sources]
    save(target, {name: _joined([part[name] for part in outputs if name in part]) for name in outputs[0]})


def run_artefact(format: str, folder: str | Path, inputs: dict[str, Arrays]) -> dict[str, Arrays]:
    """Apply an artefact to inputs by signature, in batches.

    Args:
        format: String, the name of the format.
        folder: The folder of the artefact.
        inputs: Dict of dicts of arrays, by signature and by name.

    Returns:
        Dict of dicts of arrays, by signature and by name.
    """
    return _run(open_artefact(format, folder), inputs)


def _run(run: Callable[..., Arrays], inputs: dict[str, Arrays]) -> dict[str, Arrays]:
    return {name: in_batches(functools.partial(run, signature=name), arrays) for name, arrays in inputs.items()}


def in_batches(apply: Callable[..., Arrays], inputs: Arrays) -> Arrays:
    """Apply a function of arrays by name to many examples, in batches."""
    size = len(next(iter(inputs.values())))
    return _joined(
        [
            apply({name: values[start : start + _BATCH] for name, values in inputs.items()})
            for start in range(0, size, _BATCH)
        ]
    )


def _joined(parts: list[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


if __name__ == "__main__":
    main(*sys.argv[1:])
