"""The content of a folder, listed without following links or opening files."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bnzoo.reading.files import kind_of


@dataclass(frozen=True)
class Entry:
    """A file below a folder, or a folder that cannot be read.

    Attributes:
        path: The path.
        name: String, the path relative to the folder, with `/`.
        kind: String, `"file"` for a regular file, else `"symbolic link"`, `"pipe"`, `"socket"`, `"device"`, or
            `"folder"` for a folder that cannot be read.
        error: String, the reason why a folder cannot be read, else empty.
    """

    path: Path
    name: str
    kind: str
    error: str = ""


def entries(folder: str | Path) -> Iterator[Entry]:
    """List the entries below a folder, at any depth.

    Args:
        folder: The path of the folder, which may be a link. Links inside it are not followed.

    Yields:
        An `Entry` for each file, link, pipe, socket and device, and for each folder that cannot be read.
    """
    folder = Path(folder)
    waiting = [""]
    while waiting:  # without recursion, as folders may be nested more deeply than Python's stack
        name = waiting.pop()
        path = folder / name
        try:
            with os.scandir(path) as scanned:
                inside = sorted((entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in scanned)
        except OSError as error:
            yield Entry(path, name, "folder", error.strerror or type(error).__name__)
            continue
        for own, mode in inside:
            below = f"{name}/{own}" if name else own
            if stat.S_ISDIR(mode):
                waiting.append(below)
            else:
                yield Entry(folder / below, below, kind_of(mode))
