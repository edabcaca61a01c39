"""`MANIFEST.json`: what an artefact is, and the checksum of each of its files."""

import hashlib
import json
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

NAME = "MANIFEST.json"


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
    files = _files(folder)
    text = json.dumps({**content, "versions": versions, "files": files}, indent=1, allow_nan=False)
    (folder / NAME).write_text(text + "\n", encoding="utf-8")
    return files


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a folder.

    Raises:
        FileNotFoundError: If it has none.
        ValueError: If it cannot be read; the message names the file.
    """
    path = folder / NAME
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no {NAME}: it is no artefact of bnzoo, or was damaged")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        document["format"], document["labels"], document["parity"]["tolerance"]
        for entry in document["files"].values():
            entry["sha256"], entry["bytes"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: it is not the manifest that was written ({error!r})") from error
    return document


def mismatches(folder: Path, document: dict[str, Any]) -> list[str]:
    """What is not as the manifest says, a sentence for each file."""
    found, expected = _files(folder), document["files"]
    missing = [f"{folder / name} is missing" for name in expected if name not in found]
    foreign = [f"{folder / name} is not in the manifest" for name in found if name not in expected]
    other = [
        f"{folder / name} is not what was exported: {_how(expected[name], found[name])}"
        for name in expected
        if name in found and found[name] != expected[name]
    ]
    return missing + other + foreign


def _how(expected: dict[str, Any], found: dict[str, Any]) -> str:
    if expected["bytes"] != found["bytes"]:
        return f"{found['bytes']} bytes, not {expected['bytes']}"
    return f"sha256 {found['sha256'][:12]}..., not {expected['sha256'][:12]}..."


def _files(folder: Path) -> Files:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / NAME)
    return {path.relative_to(folder).as_posix(): _file(path) for path in paths}


def _file(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}
