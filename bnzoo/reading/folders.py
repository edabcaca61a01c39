"""The content of a folder, listed without following links or opening anything."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bnzoo.reading.files import kind_of


@dataclass(frozen=True)
class Entry:
    """Something below a folder that is no folder itself, or a folder that cannot be read.

    Attributes:
        path: Its path.
        name: String, the path relative to the folder, with `/`.
        kind: String: `"file"` for a regular file, else `"symbolic link"`, `"pipe"`, `"socket"`, `"device"`, or
            `"folder"` for one that cannot be read.
        error: String, why it cannot be read; empty for all that were not tried.
    """

    path: Path
    name: str
    kind: str
    error: str = ""


def entries(folder: str | Path) -> Iterator[Entry]:
    """Find everything below a folder, at any depth.

    Args:
        folder: The path of the folder, which may be a link itself; links in it are not followed.

    Yields:
        An `Entry` for each file, link, pipe, socket and device, and for each folder that cannot be read.
    """
    folder = Path(folder)
    waiting = [""]
    while waiting:  # no recursion: the folders may be nested more deeply than Python's stack
        name = waiting.pop()
        path = folder / name
        try:
            with os.scandir(path) as found:
                inside = sorted((entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in found)
        except OSError as error:
            yield Entry(path, name, "folder", error.strerror or type(error).__name__)
            continue
        for own, mode in inside:
            below = f"{name}/{own}" if name else own
            if stat.S_ISDIR(mode):
                waiting.append(below)
            else:
                yield Entry(folder / below, below, kind_of(mode))
