import h5py
import numpy as np
import pytest

import bnzoo
from bnzoo.weights.files import read_tensors
from bnzoo.weights.keras_files import read_as

SECRET = b"root:x:0:0:root:/root:/bin/sh"


def external_storage(file, secret):
    file.create_dataset("layers/w", (len(SECRET),), "u1", external=[(str(secret), 0, len(SECRET))])


def virtual_dataset(file, secret):
    with h5py.File(secret.with_name("other.h5"), "w") as other:
        other["w"] = np.frombuffer(SECRET, np.uint8)
    layout = h5py.VirtualLayout((len(SECRET),), "u1")
    layout[:] = h5py.VirtualSource(str(secret.with_name("other.h5")), "w", (len(SECRET),))
    file.create_virtual_dataset("layers/w", layout)


def external_link(file, secret):
    with h5py.File(secret.with_name("other.h5"), "w") as other:
        other["w"] = np.frombuffer(SECRET, np.uint8)
    file["layers/w"] = h5py.ExternalLink(str(secret.with_name("other.h5")), "w")


def soft_link(file, secret):
    file["v"] = np.ones(3)
    file["layers/w"] = h5py.SoftLink("/v")


def link_in_a_circle(file, secret):
    file["layers/w"] = h5py.ExternalLink(file.filename, "/")


@pytest.mark.parametrize(
    "outside", [external_storage, virtual_dataset, external_link, soft_link, link_in_a_circle], ids=lambda f: f.__name__
)
def test_no_reader_leaves_the_file(outside, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    model = bnzoo.MLP(depth=1, width=2, input_shape=(2,), classes=2)
    model.save(tmp_path / "m.h5")
    for name, mode in (("w.h5", "w"), ("m.h5", "a")):
        with h5py.File(tmp_path / name, mode) as file:
            outside(file, secret)
    readers = {
        "w.h5": (read_tensors, lambda path: read_as(model, path)),
        "m.h5": (bnzoo.load_model,),
    }
    for name, functions in readers.items():
        for read in functions:
            with pytest.raises(ValueError, match=rf"{name}.* '/layers/w' is a .*any other file"):
                read(tmp_path / name)


def test_a_circle_of_groups_ends(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["a/b"] = np.arange(3)
        file["a/again"] = file["/"]
    assert list(read_tensors(tmp_path / "w.h5")) == ["a.b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (h5py.Empty("f4"), "no shape"),
        ("a text", "values of type object"),
        (np.array([1j]), "values of type complex128"),
    ],
)
def test_only_numbers_are_tensors(content, message, tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["w"] = content
    with pytest.raises(
        ValueError,
        match=rf"w\.h5 cannot be read as an HDF5 file: '/w' must be a tensor of real numbers. Received: {message}",
    ):
        read_tensors(tmp_path / "w.h5")


def test_a_shape_out_of_proportion_is_refused_unless_it_is_allowed(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("w", (2**28,), "f4", chunks=(2**20,), compression="gzip")
        file.create_dataset("v", (2**18,), "f4", chunks=(2**10,), compression="gzip")
    with pytest.raises(ValueError, match=r"w\.h5 cannot .* take 1,074,790,400 bytes in memory"):
        read_tensors(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "a") as file:
        del file["w"]
    assert read_tensors(tmp_path / "w.h5")["v"].shape == (2**18,)
    with pytest.raises(ValueError, match="At most 1,000,000 are"):
        read_tensors(tmp_path / "w.h5", max_bytes=10**6)


def test_a_heap_without_an_end_is_not_read(tmp_path):
    """HDF5 would read such a file in an endless loop."""
    bnzoo.MLP(depth=1, width=2, input_shape=(2,), classes=2).save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["w"] = np.ones(3)
        file.attrs["text"] = "of any length"
    readers = {"m.h5": bnzoo.load_model, "w.h5": read_tensors}
    for name, read in readers.items():
        content = bytearray((tmp_path / name).read_bytes())
        assert read(tmp_path / name)
        start = content.index(b"GCOL") + 16
        content[start : start + 16] = bytes(16)
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}.*its heap has no end at byte {start}"):
            read(tmp_path / name)
