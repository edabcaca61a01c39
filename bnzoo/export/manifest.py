"""`MANIFEST.json`: the description of an artefact, and the checksum of each of its files."""

import hashlib
import os
import platform
import re
import reprlib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from bnzoo.json_text import json_text
from bnzoo.machine import regular_file_opener
from bnzoo.reading import Entry, entries, read_json, regular_file

NAME = "MANIFEST.json"
# the signature of the manifest, in the same folder
SIGNATURE = f"{NAME}.sig"

_REPR = reprlib.Repr()  # a manifest may hold values of any size and depth
_REPR.maxstring = 80
_SHA256 = re.compile("[0-9a-f]{64}")

Files = dict[str, dict[str, Any]]


def write(folder: Path, content: dict[str, Any], packages: Iterable[str]) -> Files:
    """Write the manifest of a folder, after all other files.

    Args:
        folder: The folder of the artefact.
        content: Dict of JSON values, the entries other than files and versions.
        packages: Strings, the distributions that made the artefact.

    Returns:
        Dict of the `sha256` and the `bytes` of each file, by name.
    """
    versions = {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}
    files = {entry.name: _file(entry.path) for entry in sorted(_inside(folder), key=lambda entry: entry.name)}
    text = json_text({**content, "versions": versions, "files": files})
    (folder / NAME).write_text(text, encoding="utf-8", newline="\n")
    return files


def read(folder: Path) -> dict[str, Any]:
    """Read the manifest of a folder, and check its form.

    Raises:
        FileNotFoundError: If the folder has no manifest.
        ValueError: If the manifest cannot be read or has another form. The message names the file.
    """
    path = folder / NAME
    if path.is_symlink():
        raise ValueError(f"{path} is a symbolic link. It must be a regular file")
    try:
        regular_file(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{folder} has no {NAME}: it is damaged, or no artefact of bnzoo") from error
    document = read_json(path, "a manifest")
    if fault := next(_faults(document), ""):
        raise ValueError(f"{path} is damaged: {fault}")
    return document


def _faults(document: Any) -> Iterator[str]:
    """Find departures from the form of a manifest. The values are checked by `bnzoo.export.evidence`."""
    if not isinstance(document, dict):
        yield f"it must be an object. Received: {type(document).__name__}"
        return
    labels = document.get("labels", "nothing")
    if not isinstance(document.get("format"), str):
        yield f"`format` must be a string. Received: {_short(document.get('format'))}"
    if labels is not None and not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
        yield f"`labels` must be a list of strings, or null. Received: {_short(labels)}"
    parity, files = document.get("parity"), document.get("files")
    if not isinstance(parity, dict) or "tolerance" not in parity:
        yield f"`parity` must be an object with `tolerance`. Received: {_short(parity)}"
    if not isinstance(files, dict) or not files:
        yield f"`files` must be an object with an entry for each file. Received: {_short(files)}"
        return
    for name, entry in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name or name in (".", NAME, SIGNATURE):
            yield f"{_short(name)} cannot be the name of a file of an artefact"
        if not isinstance(entry, dict):
            yield f"the entry of {_short(name)} must be an object. Received: {_short(entry)}"
            continue
        sha256, size = entry.get("sha256"), entry.get("bytes")
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            yield f"`sha256` of {_short(name)} must be 64 hexadecimal digits. Received: {_short(sha256)}"
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            yield f"`bytes` of {_short(name)} must be an integer, at least 0. Received: {_short(size)}"


def _short(value: Any) -> str:
    return _REPR.repr(value)


def mismatches(folder: Path, document: dict[str, Any]) -> list[str]:
    """Compare the files of a folder with its manifest. Only regular files that the manifest names are opened.

    Args:
        folder: The folder of the artefact.
        document: The manifest, as `read` returns it.

    Returns:
        List of strings, a sentence for each difference.
    """
    actual, expected = {entry.name: entry for entry in _inside(folder)}, document["files"]
    missing = [f"{folder / name} is missing" for name in expected if name not in actual]
    foreign, other = [], []
    for name in sorted(actual):
        entry = actual[name]
        if entry.error:
            other.append(f"{entry.path} cannot be read: {entry.error}")
        elif entry.kind != "file":
            other.append(f"{entry.path} is a {entry.kind}. Only regular files are allowed")
        elif name not in expected:
            foreign.append(f"{entry.path} is not in the manifest")
        elif difference := _difference(entry.path, expected[name]):
            other.append(f"{entry.path} {difference}")
    return missing + other + foreign


def _difference(path: Path, expected: dict[str, Any]) -> str:
    try:
        actual = _file(path, expected["bytes"])
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if actual["bytes"] != expected["bytes"]:
        return f"differs from the manifest: {actual['bytes']} bytes instead of {expected['bytes']}"
    if actual["sha256"] != expected["sha256"]:
        return f"differs from the manifest: sha256 {actual['sha256'][:12]}... instead of {expected['sha256'][:12]}..."
    return ""


def _inside(folder: Path) -> Iterator[Entry]:
    """Find the entries of a folder that its manifest must name."""
    return (
        entry for entry in entries(folder) if entry.name != NAME and (entry.name, entry.kind) != (SIGNATURE, "file")
    )


def _file(path: Path, expected: int | None = None) -> dict[str, Any]:
    """Return the checksum and the size of a file. The checksum is empty if the size is not the expected one."""
    with open(path, "rb", opener=regular_file_opener) as file:
        size = os.fstat(file.fileno()).st_size
        sha256 = hashlib.file_digest(file, "sha256").hexdigest() if expected in (None, size) else ""
        return {"sha256": sha256, "bytes": size}
