"""`.npz` files. The header of each array is compared with its size before the array is made."""

import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format

from bnzoo.errors import printable
from bnzoo.reading.archive import members
from bnzoo.reading.files import declared, reading

_SUFFIX = ".npy"
# bytes that are read at a time
_PART = 2**24


def read_npz(
    path: str | Path, names: Collection[str] | None = None, max_bytes: int | None = None
) -> dict[str, np.ndarray]:
    """Read the arrays of an `.npz` file.

    Args:
        path: The path of the file.
        names: Strings, the arrays to read, without those that the file does not have; `None` for all.
        max_bytes: Integer, the largest allowed size of the arrays in memory, as in `declared`.

    Returns:
        Dict of arrays, in the order of the file.

    Raises:
        ValueError: If the file is damaged, an array holds objects, or a header does not fit the stored bytes.
    """
    with reading(path, "an .npz file") as file, zipfile.ZipFile(file) as archive:
        held = members(archive)
        every = {info.filename.removesuffix(_SUFFIX): info for info in held}
        if len(every) < len(held):
            raise ValueError("it has two arrays with the same name")
        wanted = {name: info for name, info in every.items() if names is None or name in names}
        declared(file, sum(info.file_size for info in wanted.values()), max_bytes)
        arrays = {}
        for name, info in wanted.items():
            try:
                with archive.open(info) as member:
                    arrays[name] = _array(member, info.file_size)
            except Exception as error:
                raise ValueError(f"array '{printable(name)}': {error or type(error).__name__}") from error
        return arrays


def _array(member: IO[bytes], size: int) -> np.ndarray:
    version = format.read_magic(member)
    headers = {(1, 0): format.read_array_header_1_0, (2, 0): format.read_array_header_2_0}
    # version 3 differs from version 2 only in the encoding of field names, which are refused
    shape, fortran, dtype = headers[min(version, (2, 0))](member)
    if dtype.hasobject or dtype.names:
        raise ValueError(f"it must hold numbers or strings. Received: dtype {dtype}")
    length = math.prod(shape) * dtype.itemsize
    if any(side < 0 for side in shape) or length != size - member.tell():
        raise ValueError(f"its header declares the shape {shape} of {dtype}, but it has {size - member.tell()} bytes")
    values = np.frombuffer(_content(member, length), dtype, math.prod(shape))
    return values.reshape(shape[::-1]).T if fortran else values.reshape(shape)


def _content(member: IO[bytes], length: int) -> bytearray:
    """Return the rest of a member, without a second copy in memory."""
    content, position = bytearray(length), 0
    while part := member.read(_PART):  # reading to the end of the member compares its checksum
        content[position : position + len(part)] = part
        position += len(part)
    return content
