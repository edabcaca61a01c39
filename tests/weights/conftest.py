"""Networks of other zoos, with random weights and random moving statistics."""

import importlib

import keras
import numpy as np
import pytest

from recipes.benchmarks.training.contestants import import_torch


def random_tensor(random, name, shape):
    """Return random values as in a trained network. Zeros and ones could hide a swapped tensor."""
    leaf = name.replace("/", ".").rsplit(".", 1)[-1]
    if "token" in leaf or "embed" in name.replace("patch_embed", ""):
        return random.normal(0, 0.5, shape).astype("float32")
    if len(shape) > 1:
        inputs = np.prod(shape[:-1] if leaf == "kernel" else shape[1:])
        return random.normal(0, np.sqrt(1.5 / inputs), shape).astype("float32")
    if leaf in ("gamma", "weight", "moving_variance", "running_var"):
        return random.uniform(0.5, 1.5, shape).astype("float32")
    return random.normal(0, 0.2, shape).astype("float32")


@pytest.fixture(scope="session")
def trained():
    """Set random weights in a model of Keras or PyTorch. For PyTorch, return the state dict."""

    def plant(model, seed=11):
        random = np.random.default_rng(seed)
        if isinstance(model, keras.Model):
            for variable in model.weights:
                variable.assign(random_tensor(random, variable.path, variable.shape))
            return model
        import torch

        state = {
            name: random_tensor(random, name, tuple(tensor.shape))
            for name, tensor in model.state_dict().items()
            if not name.endswith("num_batches_tracked")
        }
        model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()}, strict=False)
        return state

    return plant


@pytest.fixture
def same_logits(request):
    """Compare a peer with a bnzoo model, on images of several sizes."""

    def compare(peer, model, sizes, tolerance=1e-4):
        random = np.random.default_rng(5)
        for size in sizes:
            images = random.normal(size=(2, *size, 3)).astype("float32")
            expected, got = np.asarray(peer(images)), keras.ops.convert_to_numpy(model(images, training=False))
            assert expected.shape == got.shape
            assert np.isfinite(expected).all()
            difference = np.abs(got - expected).max() / np.abs(expected).max()
            print(f"{request.node.name}, {size[0]}x{size[1]}: {difference:.1e}")
            assert difference < tolerance

    return compare


@pytest.fixture
def without_values(monkeypatch):
    """Build networks whose variables have names and shapes but no values, in a tenth of the time."""
    monkeypatch.setattr(keras.Variable, "assign", lambda variable, value: None)
    monkeypatch.setattr(keras.Variable, "numpy", lambda variable: np.broadcast_to(np.float32(0), variable.shape))
    with keras.StatelessScope(initialize_variables=False):
        yield


# A test with one of these fixtures has the marker `extras(...)`, and is skipped if the package is missing.


@pytest.fixture(scope="session")
def torch():
    torch, _ = import_torch()
    return torch


@pytest.fixture(scope="session")
def torchvision(torch):
    return importlib.import_module("torchvision")


@pytest.fixture(scope="session")
def timm(torch):
    return importlib.import_module("timm")


@pytest.fixture
def torch_peer(torch):
    """Return a PyTorch model as a function of images with Keras' order of axes."""

    def wrap(model):
        def call(images):
            with torch.no_grad():
                return model.eval()(torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy()

        return call

    return wrap
