import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bnzoo.reading import read_npz


def npy(shape, descr="<f4", body=b"", order=False):
    """Return a `.npy` file with any header."""
    header = f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def archive(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


@settings(max_examples=50, deadline=None)
@given(
    array=arrays.arrays(
        st.one_of(arrays.scalar_dtypes(), arrays.unicode_string_dtypes(max_len=5)), arrays.array_shapes(min_dims=0)
    ),
    fortran=st.booleans(),
)
def test_every_array_of_numpy_comes_back(array, fortran, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "every.npz"
    array = np.asfortranarray(array) if fortran else array
    np.savez(path, a=array)
    found = read_npz(path)["a"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    found.flat[:1] = found.flat[:1]  # the array is writable


def test_only_what_is_asked_for_is_read(tmp_path):
    np.savez(tmp_path / "f.npz", x=np.arange(3), y=np.arange(4), z=np.array([None]))
    assert list(read_npz(tmp_path / "f.npz", ("y", "x", "w"))) == ["x", "y"]


FLOATS = np.arange(12, dtype="<f4").tobytes()
BAD = {
    "too many": (npy("(4, 4)", body=FLOATS), r"header declares the shape \(4, 4\) of float32, but it has 48 bytes"),
    "too few": (npy("(3,)", body=FLOATS), "it has 48 bytes"),
    "2**46": (npy("(17592186044416, 4)", body=FLOATS), "it has 48 bytes"),
    "overflow": (npy("(2**62, 2**62, 0)".replace("2**62", str(2**62)), body=FLOATS), "it has 48 bytes"),
    "negative": (npy("(-3, -4)", body=FLOATS), "it has 48 bytes"),
    "objects": (npy("(3,)", "|O", FLOATS), "must hold numbers or strings"),
    "fields": (npy("(3,)", [("a", "<f4")], FLOATS), "must hold numbers or strings"),
    "no header": (b"hello", "magic string"),
    "garbage": (b"\x93NUMPY\x01\x00\x10\x00{'descr': (}}}}}\n", ""),
    "version": (b"\x93NUMPY\x09\x00" + FLOATS, ""),
    "empty": (b"", ""),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_header_that_lies(kind, tmp_path):
    member, message = BAD[kind]
    path = archive(tmp_path / "f.npz", x=member)
    with pytest.raises(ValueError, match=rf"f\.npz cannot be read as an \.npz file: array 'x': .*{message}"):
        read_npz(path)


def test_a_bomb_is_not_inflated(tmp_path):
    whole = bytearray(archive(tmp_path / "f.npz", x=npy(f"({2**28},)", body=bytes(2**20))).read_bytes())
    contents = whole.index(b"PK\1\2")  # the declared size in the central directory
    whole[contents + 24 : contents + 28] = struct.pack("<I", 2**30)
    (tmp_path / "f.npz").write_bytes(whole)
    with pytest.raises(ValueError, match="take 1,073,741,824 bytes in memory"):
        read_npz(tmp_path / "f.npz")


def test_a_flipped_byte_and_two_arrays_of_one_name(tmp_path):
    stored = io.BytesIO()
    np.savez(stored, x=np.arange(100.0))
    content = bytearray(stored.getvalue())
    content[400] ^= 1
    (tmp_path / "f.npz").write_bytes(content)
    with pytest.raises(ValueError, match="Bad CRC-32"):
        read_npz(tmp_path / "f.npz")
    with zipfile.ZipFile(tmp_path / "g.npz", "w") as file:
        file.writestr("x.npy", npy("(3,)", body=FLOATS[:12]))
        file.writestr("x", npy("(3,)", body=FLOATS[:12]))
    with pytest.raises(ValueError, match="two arrays with the same name"):
        read_npz(tmp_path / "g.npz")


def test_a_table_of_contents_that_hides_an_array(tmp_path):
    np.savez(tmp_path / "f.npz", x=np.arange(3), y=np.arange(3))
    whole = bytearray((tmp_path / "f.npz").read_bytes())
    first, second = whole.index(b"PK\1\2"), whole.rindex(b"PK\1\2")
    whole[first + 32 : first + 34] = struct.pack("<H", len(whole) - second - 22)  # the second is a comment
    (tmp_path / "f.npz").write_bytes(whole)
    with pytest.raises(ValueError, match=r"f\.npz cannot .* has 1 members instead of the declared 2"):
        read_npz(tmp_path / "f.npz")
