"""Zip files with a complete table of contents."""

import struct
import zipfile

from bnzoo.errors import printable

# the size of the record at the end of a zip file, the offset of its number of members, and the value for "not stored"
_END, _COUNT, _UNKNOWN = 22, 10, 0xFFFF


def members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the members of an open zip file.

    A damaged length in the table of contents can hide members. Their number is compared with the one at the end of the
    file.

    Args:
        archive: An open `zipfile.ZipFile`.

    Raises:
        ValueError: If members are missing in the table, or two have the same name.
    """
    infos = archive.infolist()
    file = archive.fp
    if file is not None:
        file.seek(-_END - len(archive.comment), 2)
        (count,) = struct.unpack_from("<H", file.read(_END), _COUNT)
        if count not in (len(infos), _UNKNOWN):
            raise ValueError(f"its table of contents has {len(infos)} members instead of the declared {count}")
    names = [info.filename for info in infos]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has the member {printable(twice)!r} more than once")
    return infos
