"""Zip files whose table of contents is whole."""

import struct
import zipfile

from bnzoo.errors import printable

# of the record at the end of a zip file, which a comment may follow: its size, and where it has the number of members
_END, _COUNT, _UNKNOWN = 22, 10, 0xFFFF


def members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the members of an open zip file.

    A damaged length in the table of contents can hide the members behind it: their number is compared with the one at
    the end of the file.

    Args:
        archive: An open `zipfile.ZipFile`.

    Raises:
        ValueError: If members are missing in the table, or two have one name.
    """
    found = archive.infolist()
    file = archive.fp
    if file is not None:
        file.seek(-_END - len(archive.comment), 2)
        (count,) = struct.unpack_from("<H", file.read(_END), _COUNT)
        if count not in (len(found), _UNKNOWN):
            raise ValueError(f"its table of contents has {len(found)} members, not the {count} that it says")
    names = [info.filename for info in found]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has {printable(twice)!r} more than once")
    return found
