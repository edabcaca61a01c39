import contextlib
import hashlib
import json
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from with_extras import with_extras

import bnzoo
from bnzoo import export

LABELS = ["a", "b", "c"]


@pytest.fixture(scope="module")
def original(tmp_path_factory, exported_here):
    """An artefact of every kind of content."""
    folder = tmp_path_factory.mktemp("original") / "digits" / "1"
    model = bnzoo.ResNetCifar(8, input_shape=(8, 8, 1), classes=3, classifier_activation=None)
    exported_here(model, folder, labels=LABELS, image="unit")
    return folder


@pytest.fixture
def artefact(tmp_path, original):
    """A copy of it to spoil."""
    return Path(shutil.copytree(original, tmp_path / "digits" / "1"))


def test_the_manifest_tells_what_it_is(original):
    manifest = json.loads((original / "MANIFEST.json").read_text())
    files = {p.relative_to(original).as_posix() for p in original.rglob("*") if p.is_file()} - {"MANIFEST.json"}
    assert set(manifest["files"]) == files > {"saved_model.pb", "assets/labels.txt", "assets.extra/parity.npz"}
    for name, entry in manifest["files"].items():
        content = (original / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    assert manifest["format"] == "saved_model"
    assert manifest["labels"] == LABELS
    assert manifest["image"]["std"] == 255
    assert len(manifest["fold"]["folded"]) == 7
    assert manifest["parity"]["difference"] <= manifest["parity"]["tolerance"] == 1e-4
    assert manifest["versions"]["bnzoo"] == bnzoo.__version__
    signatures = manifest["signatures"]
    assert set(signatures) == {"serve", "serve_uint8", "serve_image_bytes"}
    assert signatures["serve"]["inputs"] == {"image": {"dtype": "float32", "shape": [None, 8, 8, 1]}}
    assert signatures["serve_image_bytes"]["inputs"] == {"image_bytes": {"dtype": "string", "shape": [None]}}
    assert signatures["serve_image_bytes"]["outputs"]["label"] == {"dtype": "string", "shape": [None, 3]}


@pytest.mark.slow
@pytest.mark.own_process
def test_an_artefact_as_it_was_exported(original):
    [found] = export.verify(original.parent)
    assert (found.path, found.problems) == (original, [])
    assert found.difference <= 1e-4
    assert "7 of 7" not in str(found)
    assert "files as exported, differs from the model by" in str(found)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


SPOILT = {
    "variables/variables.data-00000-of-00001": (flip, "is not what was exported: sha256"),
    "saved_model.pb": (
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        "is not what was exported: .* bytes, not",
    ),
    "assets/labels.txt": (lambda path: path.write_text("b\na\nc\n"), "is not what was exported: sha256"),
    "assets.extra/parity.npz": (lambda path: path.unlink(), "is missing"),
    "variables/part": (lambda path: path.write_text("x"), "is not in the manifest"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_the_file_that_does_not_match_is_named(artefact, name):
    spoil, message = SPOILT[name]
    spoil(artefact / name)
    [found] = export.verify(artefact)
    [problem] = found.problems
    assert problem.startswith(str(artefact / name))
    assert re.search(message, problem)


def test_an_artefact_that_answers_otherwise_is_told(artefact):
    """As one would whose weights were exchanged together with the manifest."""
    keys = artefact / "assets.extra" / "parity.npz"
    with np.load(keys) as file:
        arrays = dict(file)
    arrays["outputs/serve/logits"] = arrays["outputs/serve/logits"] * 1.01
    np.savez(keys, **arrays)
    content = keys.read_bytes()
    document = json.loads((artefact / "MANIFEST.json").read_text())
    document["files"]["assets.extra/parity.npz"] = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    (artefact / "MANIFEST.json").write_text(json.dumps(document))
    [found] = export.verify(artefact)
    assert "differs from the one in memory" in found.problems[0]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": {}}', "\0\0"])
def test_a_manifest_that_cannot_be_read_is_named(artefact, text):
    (artefact / "MANIFEST.json").write_text(text)
    with pytest.raises(ValueError, match=f"{artefact / 'MANIFEST.json'} is damaged"):
        export.verify(artefact.parent)


@pytest.mark.parametrize("folder", [".", "nowhere"])
def test_no_artefact_is_told(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match=r"has no artefact in it: no folder with a MANIFEST\.json"):
        export.verify(tmp_path / folder)


SCRIPT = """
import sys
import numpy as np
import bnzoo
model = bnzoo.MLP(input_shape=(4,), classes=3, width=300, classifier_activation=None)
print("start", flush=True)
bnzoo.export.saved_model(model, sys.argv[1], sample=np.ones((2, 4)))
"""


@pytest.mark.parametrize(
    "seconds",
    [pytest.param((2, 4), marks=pytest.mark.slow), pytest.param(range(6), marks=pytest.mark.nightly)],
    ids=["2 kills", "6 kills"],
)
def test_killed_at_any_moment_it_is_whole_or_not_there(tmp_path, seconds):
    for number in seconds:
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "model")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout.readline() == b"start\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(number)
        process.kill()
        process.wait()
        versions = list((tmp_path / "model").glob("[0-9]*"))
        for version in versions:
            assert not export.verify(version)[0].problems
    whole = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "model")], check=True, capture_output=True)
    assert whole.returncode == 0
    highest = max(int(p.name) for p in (tmp_path / "model").glob("[0-9]*"))
    assert not export.verify(tmp_path / "model" / str(highest))[0].problems


@contextlib.contextmanager
def small_files():
    """Let the largest file that the process may write stand in for a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "error"),
    with_extras(("saved_model", OSError), ("onnx", OSError), ("litert", OSError), ("openvino", RuntimeError)),
)
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, format, error):
    # of another format the SavedModel that it is made of is written before the disk is full
    name, step = ("saved_model", "write") if format == "saved_model" else (f"converters.{format}", "convert")
    module = sys.modules[f"bnzoo.export.{name}"]
    write = getattr(module, step)

    def write_on_a_full_disk(*args):
        with small_files():
            write(*args)

    monkeypatch.setattr(module, step, write_on_a_full_disk)
    model = bnzoo.MLP(input_shape=(4,), classes=3, width=300, classifier_activation=None)
    with pytest.raises(error):
        getattr(export, format)(model, tmp_path / "model" / "1", sample=np.ones((2, 4)))
    assert not (tmp_path / "model").exists()


def test_a_folder_that_cannot_be_written_in(tmp_path):
    """Root may write anywhere but here."""
    with pytest.raises(OSError, match="proc"):
        export.saved_model(bnzoo.MLP(input_shape=(4,), classes=3), "/proc/model")
