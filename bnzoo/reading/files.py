"""Checks before a file is read, and the form of the errors of all readers."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bnzoo.errors import printable

# the size to which a small file may inflate, the factor for a larger one, and the largest JSON file
_SMALL = 512 * 2**20
_TIMES = 100
_JSON = 64 * 2**20


def regular_file(path: str | Path) -> Path:
    """Return the path of a regular file, without opening it.

    Args:
        path: The path of a file.

    Returns:
        The path as a `Path`.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is a folder, a pipe, a socket or a device, or its name has a null character. Opening a pipe
            might never return.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f"There is no file {path}") from error
    except ValueError as error:  # a null character
        raise ValueError(f"{str(path)!r} cannot be the name of a file: {error}") from error
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is a {kind_of(mode)}. It must be a regular file")
    return path


def kind_of(mode: int) -> str:
    """Return the kind of a file by its mode in `os.stat`: `"file"`, `"folder"`, `"pipe"`, ..."""
    kinds = {
        stat.S_ISREG: "file",
        stat.S_ISDIR: "folder",
        stat.S_ISLNK: "symbolic link",
        stat.S_ISFIFO: "pipe",
        stat.S_ISSOCK: "socket",
    }
    return next((name for test, name in kinds.items() if test(mode)), "device")


class RefusedError(ValueError):
    """An error for a file that needs too much memory, or refers to another file."""


@contextmanager
def reading(path: str | Path, kind: str) -> Iterator[Path]:
    """Read a file in the block, and turn every error of a library into a `ValueError` that names the file.

    Args:
        path: The path of the file.
        kind: String, the kind of file with its article, such as `"an .npz file"`.

    Yields:
        The path as a `Path`.

    Raises:
        FileNotFoundError: If the file does not exist.
        PermissionError: If the file may not be read.
        ImportError: If a package that reads the file is missing.
        ValueError: If it is no regular file, or for any other error: "PATH cannot be read as KIND: reason".
    """
    path = regular_file(path)
    try:
        yield path
    except (ImportError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # libraries raise errors of many kinds for a damaged file
        raise ValueError(f"{path} cannot be read as {kind}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    reason = printable(" ".join(str(error).split())).rstrip(".")
    if isinstance(error, KeyError):
        return f"it has no {reason}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({reason})" if reason else "there is not enough memory"
    return reason or type(error).__name__


def declared(path: Path, size: int, max_bytes: int | None = None) -> None:
    """Check the size that a file declares for its content, before the content is read.

    Args:
        path: The path of the file.
        size: Integer, the bytes of the content in memory.
        max_bytes: Integer, the largest allowed size; `None` for 512 MiB or 100 times the size of the file, whichever is
            more.

    Raises:
        RefusedError: If the size is larger.
    """
    stored = os.path.getsize(path)
    allowed = max(_SMALL, _TIMES * stored) if max_bytes is None else max_bytes
    if size > allowed:
        raise RefusedError(
            f"its {stored:,} bytes take {size:,} bytes in memory. At most {allowed:,} are allowed. If you trust the "
            f"file, pass `max_bytes={size}`, or save it without compression"
        )


def read_json(path: str | Path, kind: str, check: Callable[[Any], Any] | None = None) -> Any:
    """Read a JSON file.

    Args:
        path: The path of the file.
        kind: String, the kind of file with its article, such as `"a manifest"`.
        check: Function that checks and converts the content. Its errors become errors of the file.

    Returns:
        The content, converted by `check`.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is no JSON, nested too deeply, larger than 64 MiB, or refused by `check`.
    """
    with reading(path, kind) as file:
        if (size := file.stat().st_size) > _JSON:
            raise ValueError(f"it has {size:,} bytes. At most {_JSON:,} are allowed")
        content = json.loads(file.read_text(encoding="utf-8"))
        return content if check is None else check(content)
