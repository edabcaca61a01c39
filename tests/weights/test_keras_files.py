import h5py
import keras
import numpy as np
import pytest
from keras_2 import save_as_keras_2_did

from bnzoo.weights.keras_files import classes_in, read_as

L = keras.layers


def network(prefix="", classes=5, blocks=2, width=4, include_top=True):
    x = inputs = keras.Input((8, 8, 3))
    for i in range(blocks):
        x = L.Conv2D(width, 3, name=f"{prefix}conv{i}", use_bias=i == 0)(x)
        x = L.ReLU()(L.BatchNormalization(name=f"{prefix}bn{i}")(x))
    x = L.GlobalAveragePooling2D()(x)
    if include_top:
        x = L.Dense(classes, name=f"{prefix}predictions")(x)
    return keras.Model(inputs, x, name="network")


def save_in_parts(model, path):
    """HDF5 limits the size of an attribute, so long lists of names take several."""
    save_as_keras_2_did(model, path)
    with h5py.File(path, "r+") as file:
        names = file.attrs["layer_names"]
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:3], names[3:]


KINDS = {
    "weights": ("w.h5", save_as_keras_2_did),
    "in parts": ("w.h5", save_in_parts),
    "whole model": ("w.h5", lambda model, path: model.save(path)),
    "save_weights": ("w.weights.h5", lambda model, path: model.save_weights(path)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("include_top", [True, False])
def test_every_kind_of_file_is_read(kind, include_top, trained, tmp_path):
    """The names of the layers in the file do not matter."""
    file, save = KINDS[kind]
    there = trained(network("old_", include_top=include_top))
    there.compile("adam", "mse")
    there.optimizer.build(there.trainable_variables)
    save(there, tmp_path / file)
    assert classes_in(tmp_path / file) == (5 if include_top else None)
    tensors = read_as(network(include_top=include_top), tmp_path / file)
    assert [*tensors][:4] == ["conv0/kernel", "conv0/bias", "bn0/gamma", "bn0/beta"]
    for tensor, expected in zip(tensors.values(), there.get_weights(), strict=True):
        np.testing.assert_array_equal(tensor, expected)


WRONG = {
    "another width": ({"width": 6}, r"has 'conv0/kernel' of shape \(3, 3, 3, 4\), .* '\w+' of shape \(3, 3, 3, 6\)"),
    "more layers": ({"blocks": 3}, r"has ('predictions/kernel' of shape \(4, 5\)|nothing), the file has a tensor of"),
    "fewer layers": ({"blocks": 1}, r"has 'conv1/kernel' of shape \(3, 3, 4, 4\), "),
    "no classifier": ({"include_top": False}, r"has 'predictions/kernel' of shape \(4, 5\), the file has nothing"),
    "other classes": ({"classes": 7}, r"has 'predictions/kernel' of shape \(4, 5\), .* of shape \(4, 7\)"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", WRONG)
def test_the_first_tensor_that_does_not_fit_is_named(kind, case, tmp_path):
    options, message = WRONG[case]
    file, save = KINDS[kind]
    save(network(**options), tmp_path / file)
    with pytest.raises(ValueError, match=f"does not fit 'network': where the network ({message})"):
        read_as(network(), tmp_path / file)


def test_what_is_no_hdf5_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        classes_in(tmp_path / "w.h5")
    (tmp_path / "w.keras").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"keras\.models\.load_model.*w\.keras"):
        classes_in(tmp_path / "w.keras")


def legacy(path, layers):
    """Write a file in the layout of Keras 2. `layers` has names, each with a list of names and arrays."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name, _ in layers]
        for name, variables in layers:
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{variable}:0".encode() for variable, _ in variables]
            for variable, value in variables:
                group[f"{name}/{variable}:0"] = value


@pytest.mark.parametrize("prefix", ["", "block_"])
def test_a_layer_that_has_its_name_is_found_by_it(prefix, trained, tmp_path):
    """Variables are matched by name, because gamma and beta have equal shapes. `block_conv` used to be `block/conv`."""
    model = trained(network(prefix))
    layers = [
        (layer.name.replace("_", "/"), [(v.name, np.array(v)) for v in reversed(layer.weights)])
        for layer in reversed(model.layers)
        if layer.weights
    ]
    legacy(tmp_path / "w.h5", layers)
    found = read_as(network(prefix), tmp_path / "w.h5")
    for tensor, expected in zip(found.values(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(tensor, expected)


def test_layers_of_other_names_fill_the_places_that_are_left(trained, tmp_path):
    model = trained(network())
    layers = [(layer.name, [(v.name, np.array(v)) for v in layer.weights]) for layer in model.layers if layer.weights]
    called = [(name.replace("bn", "norm"), variables) for name, variables in layers]
    moved = sorted(called, key=lambda layer: layer[0].startswith("conv"))  # the norms keep their order
    legacy(tmp_path / "w.h5", moved)
    found = read_as(network(), tmp_path / "w.h5")
    for tensor, expected in zip(found.values(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(tensor, expected)


ODD = {
    "a dataset for the layers": (lambda file: file.update({"layers": np.ones(3)}), "a dataset 'layers'"),
    "a group for a variable": (lambda file: file.create_group("layers/conv2d/vars/0"), "does not fit 'network'"),
    "a layer that is not there": (lambda file: file.attrs.update({"layer_names": [b"none"]}), "no group 'none'"),
    "numbers for names": (lambda file: file.attrs.update({"layer_names": 3}), ""),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_file_of_another_structure(kind, tmp_path):
    change, message = ODD[kind]
    with h5py.File(tmp_path / "w.h5", "w") as file:
        change(file)
    with pytest.raises(ValueError, match=rf"w\.h5 cannot be read as weights of keras\.applications: .*{message}"):
        read_as(network(), tmp_path / "w.h5")
