import pickle

import h5py
import numpy as np
import pytest

from bnzoo.reading import first_bytes, format_of


def hdf5(path):
    with h5py.File(path, "w") as file:
        file["x"] = 1


WRITERS = {
    "zip": lambda path: np.savez(path.open("wb"), x=np.zeros(2)),
    "hdf5": hdf5,
    "pickle": lambda path: path.write_bytes(pickle.dumps([1], protocol=4)),
    "safetensors": lambda path: path.write_bytes((2).to_bytes(8, "little") + b"{}"),
    "git_lfs": lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n"),
    None: lambda path: path.write_text("name,age\n"),
}


@pytest.mark.parametrize("expected", WRITERS, ids=str)
def test_a_format_is_told_from_the_first_bytes(tmp_path, expected):
    WRITERS[expected](tmp_path / "file")
    assert format_of(first_bytes(tmp_path / "file")) == expected


def test_a_file_that_is_cut_off_in_its_signature_has_the_format_of_the_whole():
    assert format_of(b"PK") == "zip"
    assert format_of(b"\x89HD") == "hdf5"
    assert format_of(b"") is None
