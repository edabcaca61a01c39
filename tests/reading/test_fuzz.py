"""Every reader on damaged files: correct values or an error that names the file, in limited time and memory."""

import signal
from contextlib import contextmanager

import keras
import numpy as np
import pandas as pd
import pytest
from mutations import mutated
from PIL import Image
from safetensors.numpy import save_file
from tiers import tiered
from untrained import leave_out_training

import bnzoo
from bnzoo.data import TableEncoder
from bnzoo.export import manifest
from bnzoo.weights.files import read_tensors
from bnzoo.weights.keras_files import read_as

SECONDS, GIGABYTE = 5, 2**30
NETWORK = {"depth": 1, "width": 3, "input_shape": (4,), "classes": 2}
ARRAYS = {"x": np.arange(160, dtype="float32").reshape(40, 4), "y": np.arange(40) % 2}
TABLE = pd.DataFrame({"a": np.arange(40) / 7, "b": ["u", "v w"] * 20, "y": np.arange(40) % 2})


def network():
    keras.utils.set_random_seed(1)
    return bnzoo.MLP(**NETWORK)


def weights_of(model):
    return [np.asarray(weight) for weight in model.get_weights()]


def tensors_by_name(path):
    return {name: np.array(value) for name, value in read_tensors(path).items()}


def table(path):
    data = bnzoo.data.load(path, target="y", task="classification")
    return data.encoder.features


def pictures(path):
    return bnzoo.data.load(path.parent.parent).train.x


def write_pictures(path, **options):
    """Write the file into a folder of two classes with other images."""
    levels = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 6, 3), np.uint8)
    for label, images in zip("ab", levels, strict=True):
        folder = path.parent.parent / label
        folder.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / f"{number}{path.suffix}", **options)


def encoder(path):
    return TableEncoder.load(path).features


def study(folder):
    space = bnzoo.tuning.MLPSpace(depths=(1,), width=4, learning_rates=(0.01, 0.1, 2), norms=("batch",))
    return bnzoo.tuning.Study(space, bnzoo.data.load("wine"), folder, epochs=1)


def write_study(path):
    with pytest.MonkeyPatch.context() as patch:
        leave_out_training(patch)
        study(path.parent).run()


def write_manifest(path):
    (path.parent / "model.bin").write_bytes(bytes(100))
    content = {"format": "saved_model", "labels": None, "parity": {"tolerance": 1e-4}, "signatures": {"serve": {}}}
    manifest.write(path.parent, content, ["numpy"])


def checked(path):
    """Return the size of the file in the manifest."""
    [found] = bnzoo.export.verify(path.parent, checksums_only=True)
    if found.problems:
        raise ValueError(f"{path.parent.parent}: {found.problems[0]}")
    return found.files


# file name, function that writes it, function that reads it, `True` if checksums detect every changed value
READERS = {
    "keras": ("m.keras", lambda path: network().save(path), lambda path: weights_of(bnzoo.load_model(path)), True),
    "h5": ("m.h5", lambda path: network().save(path), lambda path: weights_of(bnzoo.load_model(path)), False),
    "weights.h5": (
        "m.weights.h5",
        lambda path: network().save_weights(path),
        lambda path: list(read_as(network(), path).values()),
        False,
    ),
    "hdf5": ("w.weights.h5", lambda path: network().save_weights(path), tensors_by_name, False),
    "npz": (
        "d.npz",
        lambda path: np.savez_compressed(path, **ARRAYS),
        lambda path: bnzoo.data.load(path).train.x,
        True,
    ),
    "npz of weights": ("w.npz", lambda path: np.savez(path, **ARRAYS), tensors_by_name, True),
    "safetensors": ("w.safetensors", lambda path: save_file(ARRAYS, path), tensors_by_name, False),
    "csv": ("t.csv", lambda path: TABLE.to_csv(path, index=False), table, False),
    "parquet": ("t.parquet", lambda path: TABLE.to_parquet(path), table, False),
    "png": ("set/a/0.png", write_pictures, pictures, False),
    "jpeg": ("set/a/0.jpg", write_pictures, pictures, False),
    "journal": ("study/journal.log", write_study, lambda path: len(study(path.parent).results), False),
    "definition": ("study/study.json", write_study, lambda path: len(study(path.parent).results), False),
    "results": ("study/results.json", write_study, lambda path: len(study(path.parent).results), False),
    "manifest": ("serving/1/MANIFEST.json", write_manifest, checked, False),
    "encoder": ("encoder.json", lambda path: bnzoo_encoder().save(path), encoder, False),
}


def bnzoo_encoder():
    return TableEncoder.learn(TABLE[["a", "b"]])


@contextmanager
def bounded():
    """Fail if the block takes more than five seconds of processor time or a gigabyte of memory."""
    resource = pytest.importorskip("resource", reason="needs the signals and limits of POSIX")

    def stop(*_):
        raise TimeoutError(f"The reader did not end within {SECONDS} s of the processor.")

    usual = signal.signal(signal.SIGVTALRM, stop)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, usual)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < GIGABYTE


def same(found, expected):
    """Return `True` if two results have equal values."""
    found, expected = (keras.tree.flatten(reading) for reading in (found, expected))
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


def try_mutations(kind, seeds, tmp_path):
    name, write, read, summed = READERS[kind]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path)
    content, expected = path.read_bytes(), read(path)
    refused = 0
    for seed in seeds:
        path.write_bytes(mutated(content, seed))
        try:
            with bounded():
                found = read(path)
        except (ValueError, OSError) as error:
            assert not isinstance(error, TimeoutError), f"seed {seed}"  # noqa: PT017
            assert str(path) in str(error) or str(path.parent.parent) in str(error), f"seed {seed}"  # noqa: PT017
            assert "\n" not in str(error), f"seed {seed}"  # noqa: PT017
            refused += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        else:
            assert not summed or same(found, expected), f"seed {seed}"
    assert refused > len(seeds) // 10


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", tiered(READERS, plain=READERS.keys() - {"png"}, rest="slow"))
def test_fifty_mutations(kind, tmp_path):
    try_mutations(kind, range(50), tmp_path)


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", READERS)
def test_two_thousand_mutations(kind, tmp_path):
    try_mutations(kind, range(50, 2050), tmp_path)
