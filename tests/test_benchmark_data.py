import numpy as np
import pytest
from portable import ON_LINUX

from bnzoo import data
from recipes.benchmarks import data as benchmark


class Here:
    """A pool that runs in this process."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def map(self, call, arguments, chunksize):
        return map(call, arguments)


@ON_LINUX
def test_a_folder_of_images_is_made_once_and_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(benchmark, "BATCH", 4)
    monkeypatch.setattr(benchmark, "AUGMENT", ("none", "flip"))
    folder = benchmark.make_images(tmp_path / "images", 30)
    monkeypatch.setattr(benchmark, "_make_image", None)
    assert benchmark.make_images(folder, 30) == folder
    images = data.load(folder)
    assert (images.input_shape, images.classes, images.train.x.dtype) == ((224, 224, 3), 10, np.uint8)
    values = benchmark._with_memory(benchmark.read, folder, 8)
    assert 0 < values["s to load"] < values["s to the first batch"]
    assert values["files/s"] == pytest.approx(30 / values["s to load"])
    assert values["images/s with flip"] > 0
    assert values["MB of memory"] > values["MB without files"] > 0


@pytest.mark.slow
@ON_LINUX
def test_arrays_are_trained_on(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "STEPS", 2)
    monkeypatch.setattr(benchmark, "BATCH", 8)
    arrays = benchmark.make_arrays(tmp_path / "arrays.npz", 200)
    assert data.load(arrays).input_shape == (28, 28, 1)
    values = benchmark.compare_steps(arrays, turns=1)
    times = values["ms in the pipeline"], values["ms on a batch in memory"]
    assert values["ratio (median of pairs)"] == pytest.approx(times[0] / times[1])
