"""Weight files in the layout of Keras 2."""

import h5py


def save_as_keras_2_did(model, path):
    """Write a file in the layout of keras.applications' downloads, with layer names like `conv1/conv`."""
    called = {layer: layer.name.replace("_conv", "/conv") for layer in model.layers}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in called.values()]
        for layer in model.layers:
            group = file.create_group(called[layer])
            names = [f"{called[layer]}/{variable.name}:0" for variable in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, variable in zip(names, layer.weights, strict=True):
                group[name] = variable.numpy()
