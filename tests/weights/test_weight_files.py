import pickle
import sys
import zipfile

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from bnzoo.weights.files import read_tensors

TENSORS = {
    "layer1.0.conv1.weight": np.arange(24, dtype="float32").reshape(2, 3, 2, 2),
    "fc.bias": np.arange(3, dtype="float16"),
    "bn1.num_batches_tracked": np.array(7),
}


def save_hdf5(path, tensors, separator="."):
    with h5py.File(path, "w") as file:
        for name, value in tensors.items():
            file[name.replace(".", separator)] = value


def save_safetensors(path, tensors):
    save_file(tensors, path)


WRITERS = {
    "npz": lambda path, tensors: np.savez(path, **tensors),
    "hdf5": save_hdf5,
    "hdf5 groups": lambda path, tensors: save_hdf5(path, tensors, "/"),
    "safetensors": save_safetensors,
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("suffix", [".npz", ".bin"])
def test_every_kind_gives_the_same_whatever_its_name(kind, suffix, tmp_path):
    path = tmp_path / f"w{suffix}"
    WRITERS[kind](tmp_path / "w.npz", TENSORS)
    (tmp_path / "w.npz").rename(path)
    tensors = read_tensors(path)
    assert set(tensors) == set(TENSORS)
    for name, value in TENSORS.items():
        assert tensors[name].dtype == value.dtype
        np.testing.assert_array_equal(tensors[name], value)
    assert read_tensors(str(path)).keys() == tensors.keys()


class TorchTensor:
    """A replacement of a PyTorch tensor in bfloat16, which NumPy does not support."""

    dtype = "torch.bfloat16"

    def __init__(self, steps=()):
        self.steps = steps

    def __getattr__(self, name):
        if name not in ("detach", "cpu", "float"):
            raise AttributeError(name)
        return lambda: TorchTensor((*self.steps, name))

    def __array__(self, dtype=None, copy=None):
        assert self.steps == ("detach", "cpu", "float")
        return np.ones(3)


def test_a_dict_may_hold_whatever_numpy_converts():
    tensors = read_tensors({"a": [1, 2], "b": TorchTensor()})
    assert {name: value.shape for name, value in tensors.items()} == {"a": (2,), "b": (3,)}
    with pytest.raises(ValueError, match="The tensor 'c' cannot be converted to an array"):
        read_tensors({"c": [[1], [2, 3]]})


def save_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


PICKLES = {
    "zip": save_zip,
    "pickle": lambda path: path.write_bytes(pickle.dumps(Bomb())),
    "old pickle": lambda path: path.write_bytes(pickle.dumps(Bomb(), protocol=2)),
}


@pytest.mark.parametrize("kind", PICKLES)
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors", "w"])
def test_a_pickle_is_refused_with_the_way_out(kind, name, tmp_path):
    PICKLES[kind](tmp_path / name)
    with pytest.raises(ValueError, match=r"is a pickle.*save_file.*weights_only=True.*w\.safetensors"):
        read_tensors(tmp_path / name)


@pytest.mark.extras("torch")
def test_the_way_out_works(tmp_path):
    import torch

    torch.save({"fc.bias": torch.arange(3.0)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="is a pickle") as caught:
        read_tensors(tmp_path / "w.pt")
    exec(str(caught.value).split("`")[1])
    np.testing.assert_array_equal(read_tensors(tmp_path / "w.safetensors")["fc.bias"], [0, 1, 2])


def test_without_safetensors_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    save_safetensors(tmp_path / "w.safetensors", TENSORS)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"w\.safetensors is a safetensors file, which needs `pip install"):
        read_tensors(tmp_path / "w.safetensors")


def test_objects_in_an_npz_are_refused(tmp_path):
    np.savez(tmp_path / "w.npz", a=np.array([Bomb()], dtype=object))
    with pytest.raises(ValueError, match=r"w\.npz cannot be read as an \.npz file: array 'a': it must hold numbers"):
        read_tensors(tmp_path / "w.npz")


@pytest.mark.parametrize("kind", ["npz", "hdf5", "safetensors"])
def test_a_damaged_file_says_so(kind, tmp_path):
    WRITERS[kind](tmp_path / "w.npz", TENSORS)
    whole = (tmp_path / "w.npz").read_bytes()
    (tmp_path / "w.npz").write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(ValueError, match=r"w\.npz"):
        read_tensors(tmp_path / "w.npz")


def test_what_is_no_file_of_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*missing"):
        read_tensors(tmp_path / "missing")
    (tmp_path / "w.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"safetensors, HDF5 and \.npz.*w\.txt, of another format"):
        read_tensors(tmp_path / "w.txt")
    with pytest.raises(ValueError, match="Received: int"):
        read_tensors(3)
