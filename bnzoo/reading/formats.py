"""The format of a file, from its first bytes."""

from pathlib import Path
from typing import Literal

FileFormat = Literal["zip", "hdf5", "pickle", "safetensors", "git_lfs"]

_SIGNATURES: dict[bytes, FileFormat] = {
    b"PK\3\4": "zip",
    b"\x89HDF\r\n\x1a\n": "hdf5",
    b"version https://git-lfs": "git_lfs",
    **{b"\x80" + bytes([protocol]): "pickle" for protocol in range(2, 6)},
}


def first_bytes(path: Path) -> bytes:
    """Return as many bytes of a file as `format_of` needs."""
    with path.open("rb") as file:
        return file.read(32)


def format_of(start: bytes) -> FileFormat | None:
    """Return the format of a file with these first bytes, also of one cut off in them; `None` if it is unknown."""
    if start[6:9] == b"\0\0{":  # the length of a JSON header, then the header
        return "safetensors"
    formats = (name for signature, name in _SIGNATURES.items() if signature.startswith(start[: len(signature)]))
    return next(formats, None) if start else None
