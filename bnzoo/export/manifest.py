"""`MANIFEST.json`: what an artefact is, and the checksum of each of its files."""

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
# beside the manifest, which it signs
SIGNATURE = f"{NAME}.sig"

_REPR = reprlib.Repr()  # a manifest may hold values of any size and depth
_REPR.maxstring = 80
_SHA256 = re.compile("[0-9a-f]{64}")

Files = dict[str, dict[str, Any]]


def write(folder: Path, content: dict[str, Any], packages: Iterable[str]) -> Files:
    """Writes the manifest of a folder, the last of its files.

    Args:
        folder: The folder of the artefact.
        content: What to say beside files and versions, JSON-able.
        packages: The distributions whose versions made the artefact.

    Returns:
        The `sha256` and the `bytes` of each file.
    """
    versions = {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}
    files = {entry.name: _file(entry.path) for entry in sorted(_inside(folder), key=lambda entry: entry.name)}
    text = json_text({**content, "versions": versions, "files": files})
    (folder / NAME).write_text(text, encoding="utf-8", newline="\n")
    return files


def read(folder: Path) -> dict[str, Any]:
    """Read the manifest of a folder, and check that it has the form of those of `write`.

    Raises:
        FileNotFoundError: If it has none.
        ValueError: If it cannot be read or has another form; the message names the file.
    """
    path = folder / NAME
    if path.is_symlink():
        raise ValueError(f"{path} is a symbolic link, where a regular file is needed")
    try:
        regular_file(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{folder} has no {NAME}: it is no artefact of bnzoo, or was damaged") from error
    document = read_json(path, "a manifest")
    if fault := next(_faults(document), ""):
        raise ValueError(f"{path} is damaged: it is not the manifest that was written: {fault}")
    return document


def _faults(document: Any) -> Iterator[str]:
    """Find departures from the form of the manifests of `write`; values are judged by those who use them."""
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
            yield f"`bytes` of {_short(name)} must be an integer that is not negative. Received: {_short(size)}"


def _short(value: Any) -> str:
    return _REPR.repr(value)


def mismatches(folder: Path, document: dict[str, Any]) -> list[str]:
    """Return a sentence for each file that differs from the manifest. Only regular files that it names are opened."""
    found, expected = {entry.name: entry for entry in _inside(folder)}, document["files"]
    missing = [f"{folder / name} is missing" for name in expected if name not in found]
    foreign, other = [], []
    for name in sorted(found):
        entry = found[name]
        if entry.error:
            other.append(f"{entry.path} cannot be read: {entry.error}")
        elif entry.kind != "file":
            other.append(f"{entry.path} is a {entry.kind}, where only regular files belong")
        elif name not in expected:
            foreign.append(f"{entry.path} is not in the manifest")
        elif how := _difference(entry.path, expected[name]):
            other.append(f"{entry.path} {how}")
    return missing + other + foreign


def _difference(path: Path, expected: dict[str, Any]) -> str:
    try:
        found = _file(path, expected["bytes"])
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if found["bytes"] != expected["bytes"]:
        return f"is not what was exported: {found['bytes']} bytes, not {expected['bytes']}"
    if found["sha256"] != expected["sha256"]:
        return f"is not what was exported: sha256 {found['sha256'][:12]}..., not {expected['sha256'][:12]}..."
    return ""


def _inside(folder: Path) -> Iterator[Entry]:
    """Find all entries of a folder that its manifest has to name."""
    return (
        entry for entry in entries(folder) if entry.name != NAME and (entry.name, entry.kind) != (SIGNATURE, "file")
    )


def _file(path: Path, expected: int | None = None) -> dict[str, Any]:
    """Return the checksum and the size of a file; the checksum is empty if the size is not the expected one."""
    with open(path, "rb", opener=regular_file_opener) as file:
        size = os.fstat(file.fileno()).st_size
        sha256 = hashlib.file_digest(file, "sha256").hexdigest() if expected in (None, size) else ""
        return {"sha256": sha256, "bytes": size}
