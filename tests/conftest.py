import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# as the commands that train set it: one process must compute the same as another
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np
import pytest
from hypothesis import settings

import bnzoo
from bnzoo import data

pytest_plugins = ["postgres", "pytester", "tiers"]
# the same examples on every machine and in every run
settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
settings.load_profile("fixed")


def pytest_collection_finish():
    """Keep the imported modules out of every later garbage collection: Keras collects after each architecture."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(7)
    yield
    # without collecting garbage: a collection after each test takes longer than most tests
    keras.backend.clear_session(free_memory=False)


@pytest.fixture(scope="session")
def digits() -> data.Dataset:
    return data.load("digits")


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory) -> data.Dataset:
    """240 real digits, for tests that need no accuracy."""
    whole = data.load("digits").train
    path = tmp_path_factory.mktemp("few") / "few.npz"
    np.savez(path, x=whole.x[:240], y=whole.y[:240])
    return data.load(path)


def verify_here(patch):
    """Verify artefacts in this process, because a separate process takes seconds to start."""
    from bnzoo.export import parity, runtimes

    patch.setattr(parity, "run_artefact", runtimes.run_artefact)


@pytest.fixture
def verified_here(monkeypatch):
    verify_here(monkeypatch)


@pytest.fixture(scope="session")
def exported_here():
    """Export a SavedModel for the tests of a module, verified in this process."""

    def export_here(*args, **options):
        with pytest.MonkeyPatch.context() as patch:
            verify_here(patch)
            return bnzoo.export.saved_model(*args, **options)

    return export_here


@pytest.fixture
def random_statistics():
    """Set random weights and statistics in every batch norm of a model, so that folding changes the model."""

    def plant(model: keras.Model, seed: int = 3) -> keras.Model:
        random = np.random.default_rng(seed)
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.set_weights([random.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
        return model

    return plant
