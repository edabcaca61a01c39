"""The heaps of an HDF5 file, which hold strings of any length."""

import mmap
import struct
from pathlib import Path

from bnzoo.reading.files import RefusedError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEAP = b"GCOL\1\0\0\0"
# the size of a heap, and the header of an object: number, reference count, 4 reserved bytes, length
_SIZE, _OBJECT = struct.Struct("<Q"), struct.Struct("<HHIQ")
# the offset of the byte with the number of bytes of a length, by the version of the superblock
_LENGTHS = {0: 14, 1: 14, 2: 10, 3: 10}


def check_heaps(path: Path) -> None:
    """Check that each heap of an HDF5 file ends.

    The HDF5 library never finishes reading a heap with free space of length zero, and cannot be interrupted.

    Args:
        path: The path of the file.

    Raises:
        RefusedError: If a heap has no end, or if lengths do not have 8 bytes, as in every file of weights.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        check_content(content)


def check_content(content: bytes | mmap.mmap) -> None:
    """Check the content of an HDF5 file, as `check_heaps` does."""
    lengths = _LENGTHS.get(content[8] if len(content) > 16 else -1)
    if content[: len(_SIGNATURE)] != _SIGNATURE or lengths is None or content[lengths] != 8:
        raise RefusedError("its superblock differs from that of files of weights")
    start = content.find(_HEAP)
    while start >= 0:
        at = start + len(_HEAP)
        if at + _SIZE.size <= len(content):
            end = min(start + _SIZE.unpack_from(content, at)[0], len(content))
            _walk(content, at + _SIZE.size, end)
        start = content.find(_HEAP, start + 1)


def _walk(content: bytes | mmap.mmap, at: int, end: int) -> None:
    while at + _OBJECT.size <= end:
        number, _, _, length = _OBJECT.unpack_from(content, at)
        step = length if number == 0 else _OBJECT.size + (length + 7) // 8 * 8
        if step == 0:
            raise RefusedError(f"its heap has no end at byte {at}")
        at += step
