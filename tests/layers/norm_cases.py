"""Norm layers and their references for the tests of the layers, in float64 if the backend supports it."""

from types import SimpleNamespace

import backend
import numpy as np
import numpy_norms

from bnzoo import norms

RENORM = {"rmax_steps": [10, 30], "dmax_steps": [10, 20], "renorm_momentum": 0.95}
# norm -> arguments of its reference, including defaults
CASES = {
    "batch": ("batch", {"momentum": 0.9, "epsilon": 1e-5}),
    "sync_batch": ("batch", {"momentum": 0.9, "epsilon": 1e-5}),
    "ghost_batch": ("ghost_batch", {"batch": 2, "momentum": 0.9, "epsilon": 1e-5}),
    "batch_renorm": ("batch_renorm", {"rmax": 3, "dmax": 5, "momentum": 0.9, "epsilon": 1e-5, **RENORM}),
    "group": ("group", {"groups": 2, "epsilon": 1e-5}),
    "instance": ("instance", {"epsilon": 1e-5}),
    "layer": ("layer", {"epsilon": 1e-6}),
    "rms": ("rms", {"epsilon": 1e-6}),
    "filter_response": ("filter_response", {"epsilon": 1e-6}),
    "evonorm_s0": ("evonorm_s0", {"groups": 2, "epsilon": 1e-5}),
    "dynamic_tanh": ("dynamic_tanh", {}),
    "affine": ("affine", {}),
}
# the options that are given; the others of CASES are the defaults
GIVEN = ("batch", "groups", *RENORM)
NAMES = [name for name in CASES if name != "sync_batch" or backend.BACKEND == "tensorflow"]
MASKED = [name for name in NAMES if name not in ("group", "instance", "layer", "rms")]
SHAPES = {2: (7, 6), 3: (5, 4, 6), 4: (5, 3, 2, 4), 5: (3, 2, 2, 2, 4)}


def case(name, shape, dtype=backend.DOUBLE, **overrides):
    """Return a built layer with random weights, and its reference."""
    function, options = CASES[name]
    given = {key: value for key, value in options.items() if key in GIVEN}
    layer = norms.get({"name": name, **given}).layer(shape, dtype=dtype, **overrides)
    layer.build(shape)
    shake(layer)
    return SimpleNamespace(layer=layer, reference=getattr(numpy_norms, function), options=options)


def shake(layer, seed=5):
    random = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(np.full(weight.shape, 16.0) if weight.name == "steps" else random.uniform(0.5, 1.5, weight.shape))


def weights(layer):
    """Return the weights by name."""
    return {weight.name: np.asarray(weight.value).astype("float64") for weight in layer.weights}


def inputs(shape, seed=3):
    """Return random values that are exact in the dtype of the layers."""
    return np.random.default_rng(seed).normal(0.7, 2, shape).astype(backend.DOUBLE).astype("float64")


def call(layer, x, mask=None):
    """Return the outputs in training mode."""
    return backend.forward(layer, x.astype(backend.DOUBLE), mask)


def assert_close(actual, expected, rtol=None):
    """Assert equality up to rounding: of float64 on TensorFlow, of float32 on JAX."""
    rtol = rtol or (1e-9 if backend.DOUBLE == "float64" else 2e-5)
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol)


def assert_gradients_close(actual, expected):
    """Assert equality up to the error of central differences, and of float32 on JAX."""
    rtol = 1e-5 if backend.DOUBLE == "float64" else 1e-3
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=0.1 * rtol * max(1, np.abs(expected).max()))
