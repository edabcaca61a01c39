"""Small models, and a comparison of their functions."""

import keras
import numpy as np
from backend import at_inference

L = keras.layers


def chain(shape, *layers, name=None):
    x = inputs = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x, name=name)


def fresh(layer):
    """Return a copy of a layer that no other test has built."""
    return type(layer).from_config(layer.get_config())


def batch_norms(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, L.BatchNormalization)]


def examples_of(model, count=3, seed=5):
    """Return random inputs with the structure of the model's inputs."""
    random = np.random.default_rng(seed)

    def draw(tensor):
        shape = [count, *(5 if side is None else side for side in tensor.shape[1:])]
        return random.normal(size=shape).astype(tensor.dtype)

    return keras.tree.map_structure(draw, model.inputs[0] if isinstance(model, keras.Sequential) else model.input)


def outputs_of(model, x=None):
    outputs = at_inference(model)(examples_of(model) if x is None else x)
    return [np.asarray(output, np.float64) for output in keras.tree.flatten(outputs)]


def assert_same_function(model, other, rtol=1e-4, atol=0.0):
    """Assert equal outputs, up to `rtol` of the largest value of each."""
    x = examples_of(model)
    for expected, got in zip(outputs_of(model, x), outputs_of(other, x), strict=True):
        np.testing.assert_allclose(got, expected, atol=rtol * np.abs(expected).max() + atol, rtol=0)


class BatchNormReLU(L.BatchNormalization):
    """A batch norm with an activation."""

    def call(self, inputs, training=None, mask=None):
        return keras.ops.relu(super().call(inputs, training=training, mask=mask))
