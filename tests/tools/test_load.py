import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import bnzoo

L = keras.layers
X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


class Unregistered(L.Layer):
    def call(self, x):
        return x


def own_loss(true, predicted):
    return keras.ops.mean(keras.ops.abs(true - predicted))


def network(layer=None):
    inputs = keras.Input((4,))
    x = L.Dense(3, name="dense")(inputs)
    return keras.Model(inputs, L.BatchNormalization()(x if layer is None else layer(x)), name="small")


def save(path, model=None):
    (model or network()).save(path)
    return path


def assert_same(loaded, model):
    to_numpy = keras.ops.convert_to_numpy
    np.testing.assert_array_equal(to_numpy(loaded(X)), to_numpy(model(X)))


def rewritten(path, without=(), **members):
    """Write the file with other members, as a valid zip file with correct checksums."""
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist() if name not in without}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in (held | {name.replace("_", "."): content for name, content in members.items()}).items():
            archive.writestr(name, content)
    return path


def written(path, content):
    path.write_bytes(content)
    return path


def saved_model(folder):
    network().export(folder, verbose=False)
    return folder


def weights_only(path):
    network().save_weights(path)
    return path


def archive(path, *names):
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, "content")
    return path


def weights_of_another(path):
    with h5py.File(weights_only(path.with_suffix(".weights.h5")), "a") as file:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = np.zeros((4, 7))
    return rewritten(save(path), model_weights_h5=path.with_suffix(".weights.h5").read_bytes())


def linked(path):
    with h5py.File(weights_only(path.with_suffix(".weights.h5")), "a") as file:
        file["layers/dense/vars/outside"] = h5py.ExternalLink("other.h5", "w")
    return rewritten(save(path), model_weights_h5=path.with_suffix(".weights.h5").read_bytes())


def enlarged(config):
    """Return the configuration of `network`, 100 million times as wide."""
    return config.replace(b'"units": 3', b'"units": 300000000').replace(b"null, 3]", b"null, 300000000]")


def enlarged_hdf5(path):
    with h5py.File(save(path), "a") as file:
        file.attrs["model_config"] = enlarged(file.attrs["model_config"].encode())
    return path


def truncated_hdf5(path):
    save(path)
    return written(path, path.read_bytes()[:5000])


def folder(path, *names):
    path.mkdir()
    for name in names:
        (path / name).touch()
    return path


def trained_with(path, loss):
    model = network()
    model.compile("sgd", loss)
    return save(path, model)


PYTORCH = "PyTorch are loaded by `bnzoo.weights.from_torch`"
BAD = {
    "a SavedModel": (
        lambda tmp: saved_model(tmp / "serving"),
        "serving is a SavedModel, which is no Keras model any more: load its signatures with `tf.saved_model.load(",
    ),
    "an unzipped model": (
        lambda tmp: folder(tmp / "model", "config.json"),
        "is a folder with an unzipped Keras model: zip its files into one .keras file",
    ),
    "a folder": (lambda tmp: folder(tmp / "a"), "a is a folder; a model is loaded from a .keras file"),
    "a device": (lambda tmp: Path("/dev/null"), "/dev/null is no regular file"),
    "empty": (lambda tmp: written(tmp / "m.keras", b""), "m.keras is empty: copy it again from its source, or save"),
    "no config": (
        lambda tmp: rewritten(save(tmp / "m.keras"), without=["config.json"]),
        "m.keras is a zip file, but no Keras model: it has no config.json",
    ),
    "no weights": (
        lambda tmp: rewritten(save(tmp / "m.keras"), without=["model.weights.h5"]),
        "it has no model.weights.h5",
    ),
    "a document": (
        lambda tmp: archive(tmp / "m.keras", "word/document.xml"),
        "it has no config.json, metadata.json, model.weights.h5",
    ),
    "a PyTorch zip": (lambda tmp: archive(tmp / "m.pt", "m/data.pkl", "m/data/0"), "m.pt is a PyTorch file"),
    "another name": (
        lambda tmp: save(tmp / "m.keras").rename(tmp / "m.bin"),
        "m.bin holds a Keras model, but its name does not end in .keras: rename it",
    ),
    "HDF5 of another name": (
        lambda tmp: save(tmp / "m.h5").rename(tmp / "m.keras"),
        "m.keras holds a Keras model, but its name does not end in .h5: rename it",
    ),
    "weights only": (
        lambda tmp: weights_only(tmp / "m.weights.h5"),
        "an HDF5 file of weights without a model: build the model of these weights, then call `model.load_weights(",
    ),
    "truncated HDF5": (lambda tmp: truncated_hdf5(tmp / "m.h5"), "m.h5 is a truncated or damaged HDF5 file ("),
    "a pickle": (lambda tmp: written(tmp / "m.pth", pickle.dumps([1])), "m.pth is a pickle, which may run any code"),
    "safetensors": (
        lambda tmp: save_file({"w": X}, tmp / "m.safetensors") or tmp / "m.safetensors",
        "m.safetensors is a safetensors file, which holds weights without a model; weights trained with " + PYTORCH,
    ),
    "a pointer": (
        lambda tmp: written(tmp / "m.keras", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "m.keras is a pointer of Git LFS, not the file itself: `git lfs pull` gets the file",
    ),
    "a text": (
        lambda tmp: written(tmp / "m.keras", b"<!DOCTYPE html> not found"),
        "m.keras is no Keras model; a model is loaded from a .keras file. It starts with b'<!DOCTYPE html> '",
    ),
    "a class of one's own": (
        lambda tmp: save(tmp / "m.keras", network(Unregistered())),
        "uses the class 'Unregistered', which Keras does not know: import the module that defines and registers it "
        "first, or pass `custom_objects={'Unregistered': ...}`",
    ),
    "a class of one's own in HDF5": (
        lambda tmp: save(tmp / "m.h5", network(Unregistered())),
        "uses the layer 'Unregistered', which Keras does not know: import",
    ),
    "a loss of one's own": (
        lambda tmp: trained_with(tmp / "m.keras", own_loss),
        "uses the function 'own_loss', which Keras does not know: import the module that defines and registers it "
        "first, or pass `custom_objects={'own_loss': ...}`; or pass `compile=False`, since only training needs it",
    ),
    "a lambda": (
        lambda tmp: save(tmp / "m.keras", network(L.Lambda(lambda x: 2 * x))),
        "holds a Python lambda, which may be any code and is not loaded. If you trust the file, "
        "call `keras.saving.load_model(",
    ),
    "no JSON": (lambda tmp: rewritten(save(tmp / "m.keras"), config_json=b'{"a":'), "m.keras: Expecting value: line 1"),
    "an argument unknown to Keras": (
        lambda tmp: rewritten(save(tmp / "m.keras"), config_json=config(tmp / "m.keras").replace(b"units", b"unitz")),
        "missing 1 required positional argument: 'units'",
    ),
    "a bomb": (
        lambda tmp: rewritten(save(tmp / "m.keras"), assets_x=bytes(600 * 2**20)),
        "in memory. At most 536,870,912 are allowed. If you trust the file, pass `max_bytes=",
    ),
    "a network out of proportion": (
        lambda tmp: rewritten(save(tmp / "m.keras"), config_json=enlarged(config(tmp / "m.keras"))),
        "m.keras is not loaded, for its network has 2,700,000,000 weights: ",
    ),
    "a network that does not fit together": (
        lambda tmp: rewritten(
            save(tmp / "m.keras"), config_json=config(tmp / "m.keras").replace(b'"units": 3', b'"units": 300000000')
        ),
        "incompatible with the layer: expected axis -1 of input shape to have value 3",
    ),
    "an HDF5 network out of proportion": (
        lambda tmp: enlarged_hdf5(tmp / "m.h5"),
        "m.h5 is not loaded, for its network has 2,700,000,000 weights: ",
    ),
    "a link in the weights": (lambda tmp: linked(tmp / "m.keras"), "/outside' is a link, which may refer to any other"),
    "weights of another model": (lambda tmp: weights_of_another(tmp / "m.keras"), "variable.shape=(4, 3)"),
}


def config(path):
    with zipfile.ZipFile(path) as archive:
        return archive.read("config.json")


@pytest.mark.filterwarnings("ignore")  # Keras warns when such a model is saved
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_told_in_one_line(tmp_path, kind):
    make, message = BAD[kind]
    path = make(tmp_path)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        bnzoo.load_model(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def test_truncated_is_not_missing(tmp_path):
    whole = save(tmp_path / "whole.keras").read_bytes()
    for length in (1, 3, 4, 20, 100, 1000, len(whole) // 2, len(whole) - 200, len(whole) - 22, len(whole) - 1):
        path = written(tmp_path / "part.keras", whole[:length])
        with pytest.raises(ValueError, match=r"part\.keras is truncated, its end is missing: copy it again"):
            bnzoo.load_model(path)
    with pytest.raises(FileNotFoundError, match=r"There is no file .*none\.keras"):
        bnzoo.load_model(tmp_path / "none.keras")


def test_a_flipped_byte_is_found(tmp_path):
    """The damage can be anywhere in a member. Keras checks no checksum when it reads weights in parts."""
    whole = save(tmp_path / "whole.keras").read_bytes()
    with zipfile.ZipFile(tmp_path / "whole.keras") as archive:
        starts = {m.filename: m.header_offset + 30 + len(m.filename) for m in archive.infolist()}
        sizes = {m.filename: m.compress_size for m in archive.infolist()}
    assert len(starts) == 3
    for name, start in starts.items():
        for offset in np.linspace(0, sizes[name] - 1, 7, dtype=int):
            flipped = bytearray(whole)
            flipped[start + offset] ^= 1
            path = written(tmp_path / "flipped.keras", bytes(flipped))
            with pytest.raises(ValueError, match=rf"flipped\.keras is damaged, {name} in it does not match its"):
                bnzoo.load_model(path)


def test_a_damaged_table_of_contents_never_loads_something_else(tmp_path):
    """Bytes that are never read, such as a date, can have any value."""
    model = network()
    whole = save(tmp_path / "whole.keras", model).read_bytes()
    with zipfile.ZipFile(tmp_path / "whole.keras") as archive:
        contents = archive.start_dir
    for position in range(contents, len(whole), 5):
        flipped = bytearray(whole)
        flipped[position] ^= 0xFF
        path = written(tmp_path / "flipped.keras", bytes(flipped))
        try:
            loaded = bnzoo.load_model(path)
        except ValueError as error:
            assert "flipped.keras is" in str(error)  # noqa: PT017
        else:
            assert_same(loaded, model)


def test_a_file_that_must_not_be_read(tmp_path, monkeypatch):
    def refused(self, mode):
        raise PermissionError(13, "Permission denied", str(self))

    path = save(tmp_path / "m.keras")
    monkeypatch.setattr(Path, "open", refused)  # the superuser may read everything
    with pytest.raises(PermissionError, match=r"Permission denied: .*m\.keras"):
        bnzoo.load_model(path)


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_a_good_file_computes_the_same(tmp_path, random_statistics, name):
    model = random_statistics(network())
    model.compile("sgd", "mse")
    model.save(tmp_path / name)
    loaded = bnzoo.load_model(str(tmp_path / name), compile=False)
    assert_same(loaded, model)
    assert not loaded.compiled


def test_what_it_was_trained_with_comes_too(tmp_path):
    assert bnzoo.load_model(trained_with(tmp_path / "m.keras", "mse")).compiled
    path = trained_with(tmp_path / "own.keras", own_loss)
    assert bnzoo.load_model(path, custom_objects={"own_loss": own_loss}).compiled
    assert not bnzoo.load_model(path, compile=False).compiled


def test_custom_objects(tmp_path):
    model = network(Unregistered())
    path = save(tmp_path / "m.keras", model)
    loaded = bnzoo.load_model(path, custom_objects={"Unregistered": Unregistered})
    assert_same(loaded, model)
    with keras.saving.custom_object_scope({"Unregistered": Unregistered}):
        assert_same(bnzoo.load_model(path), model)


@pytest.mark.slow
def test_the_layers_of_bnzoo_are_known_to_a_fresh_process(tmp_path):
    model = bnzoo.MLP(depth=3, width=8, norm="dynamic_tanh", residual=True, input_shape=(4,), classes=3)
    path = save(tmp_path / "m.keras", model)
    script = f"""
import json
import bnzoo
model = bnzoo.load_model({str(path)!r})
import numpy
print(json.dumps(model.predict_on_batch(numpy.array({X.tolist()}, "float32")).tolist()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), keras.ops.convert_to_numpy(model(X)), rtol=1e-5, atol=1e-6)


def test_what_failed_is_not_tried_again(tmp_path, monkeypatch):
    calls = []

    def failing(*arguments, **options):
        calls.append(options)
        raise ValueError("damaged")

    path = trained_with(tmp_path / "m.keras", "mse")
    monkeypatch.setattr(keras.saving, "load_model", failing)
    with pytest.raises(ValueError, match=r"damaged$"):
        bnzoo.load_model(path)
    assert len(calls) == 1


def test_more_memory_may_be_allowed(tmp_path):
    path = save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="At most 10 are allowed"):
        bnzoo.load_model(path, max_bytes=10)
    assert_same(bnzoo.load_model(path, max_bytes=10**6), bnzoo.load_model(path))
