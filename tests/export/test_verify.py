import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from portable import ON_LINUX, ON_POSIX, make_pipe, make_socket
from with_extras import with_extras

import bnzoo
from bnzoo import export
from bnzoo.export import parity, writing

LABELS = ["a", "b", "c"]
PARITY = "assets.extra/parity.npz"
LOGITS = "outputs/serve/logits"
ENTRY = {"sha256": "0" * 64, "bytes": 1}


@pytest.fixture(scope="module")
def original(tmp_path_factory, exported_here):
    """An artefact with every kind of content."""
    folder = tmp_path_factory.mktemp("original") / "digits" / "1"
    model = bnzoo.ResNetCifar(8, input_shape=(8, 8, 1), classes=3, classifier_activation=None)
    exported_here(model, folder, labels=LABELS, image="unit")
    return folder


@pytest.fixture
def artefact(tmp_path, original):
    """A copy of the artefact that the test may change."""
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
    assert "files match the manifest, differs from the model by" in str(found)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


SPOILT = {
    "variables/variables.data-00000-of-00001": (flip, "differs from the manifest: sha256"),
    "saved_model.pb": (
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        "differs from the manifest: .* bytes instead of",
    ),
    "assets/labels.txt": (lambda path: path.write_text("b\na\nc\n"), "differs from the manifest: sha256"),
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


def document(artefact, change):
    """Change the manifest of an artefact."""
    path = artefact / "MANIFEST.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def examples(artefact, change):
    """Change the examples of an artefact and their checksum."""
    path = artefact / PARITY
    with np.load(path) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(path, **arrays)
    rehash(artefact, PARITY)


def rehash(artefact, name):
    content = (artefact / name).read_bytes()
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    document(artefact, lambda content: content["files"].update({name: entry}))


def problems(artefact):
    [found] = export.verify(artefact)
    assert found.path == artefact
    return "\n".join(found.problems)


def test_an_artefact_that_answers_otherwise_is_told(artefact):
    """The artefact is like one with replaced weights and manifest."""
    examples(artefact, lambda arrays: arrays.update({LOGITS: arrays[LOGITS] * 1.01}))
    assert "The artefact differs from the model" in problems(artefact)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"files": {}}', "\0\0", "[" * 100_000, "1" * 5000], ids=lambda text: text[:10]
)
def test_a_manifest_that_cannot_be_read_is_a_problem_of_its_artefact_alone(tmp_path, artefact, text):
    (artefact / "MANIFEST.json").write_text(text)
    other = tmp_path / "digits" / "2"
    other.mkdir()
    (other / "MANIFEST.json").write_text(text)
    found = export.verify(artefact.parent)
    assert [verification.path for verification in found] == [artefact, other]
    for verification in found:
        [problem] = verification.problems
        assert problem.startswith(str(verification.path / "MANIFEST.json"))


HOSTILE = {
    "tolerance too large": (
        lambda d: d["parity"].update(tolerance=1e9),
        "from 0 to 0.0001. Received: 1000",
    ),
    "tolerance a text": (lambda d: d["parity"].update(tolerance="x"), "from 0 to 0.0001"),
    "tolerance not a number": (lambda d: d["parity"].update(tolerance=float("nan")), "from 0 to 0.0001"),
    "tolerance negative": (lambda d: d["parity"].update(tolerance=-1), "from 0 to 0.0001"),
    "tolerance true": (lambda d: d["parity"].update(tolerance=True), "from 0 to 0.0001"),
    "int8 SavedModel": (
        lambda d: d.update(quantization="int8"),
        "the format must be one of litert, litert-int8, onnx, onnx-int8, openvino",
    ),
    "unknown format": (
        lambda d: d.update(format="pickle"),
        "the format must be one of litert, litert-int8, onnx, onnx-int8, openvino",
    ),
    "no signatures": (lambda d: d.update(signatures={}), "must name the signatures serve"),
    "image, without its signatures": (lambda d: d["signatures"].pop("serve_uint8"), "must name the signatures serve"),
    "labels a number": (lambda d: d.update(labels=3), "`labels` must be a list of strings, or null"),
    "labels of numbers": (lambda d: d.update(labels=[1, 2, 3]), "`labels` must be a list of strings, or null"),
    "labels too few": (lambda d: d.update(labels=["a"]), "names 1 classes, but the outputs of 'serve' have [3]"),
    "sha256 a number": (lambda d: d["files"][PARITY].update(sha256=5), "must be 64 hexadecimal digits"),
    "bytes a text": (lambda d: d["files"][PARITY].update(bytes="x"), "must be an integer, at least 0"),
    "entry a list": (lambda d: d["files"].update(x=[]), "must be an object"),
    "name outside": (lambda d: d["files"].update({"../x": ENTRY}), "cannot be the name of a file of an artefact"),
    "name absolute": (lambda d: d["files"].update({"/etc/passwd": ENTRY}), "cannot be the name of a file"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_manifest_says_is_not_taken_on_trust(artefact, name):
    change, message = HOSTILE[name]
    document(artefact, change)
    assert message in problems(artefact)


def constant(arrays):
    for name in ("logits", "probabilities"):
        arrays[f"outputs/serve/{name}"][:] = arrays[f"outputs/serve/{name}"][:1]


EXAMPLES = {
    "none": (lambda arrays: arrays.clear(), "there must be examples for each signature"),
    "one signature without": (
        lambda arrays: [arrays.pop(name) for name in list(arrays) if "/serve_uint8/" in name],
        "there must be examples for each signature",
    ),
    "of length zero": (
        lambda arrays: arrays.update({LOGITS: arrays[LOGITS][:0]}),
        "must have examples, the same number for",
    ),
    "as many dates": (
        lambda arrays: arrays.update({LOGITS: arrays[LOGITS].astype("int64").astype("M8[s]")}),
        "must be numbers or bytes",
    ),
    "neither input nor output": (lambda arrays: arrays.update({"a/b/c": np.ones(3)}), "the array 'a/b'"),
    "lengths of strings": (
        lambda arrays: arrays.update({"inputs/serve_image_bytes/image_bytes.lengths": np.array([-1, 5, 10**12])}),
        "the contents and the lengths of the strings",
    ),
    "labels without probabilities": (
        lambda arrays: [arrays.pop(name) for name in list(arrays) if "bytes/probabilities" in name],
        "but not the probabilities to check them with",
    ),
    "answers that do not vary": (constant, "are the same for all 8 examples, so a comparison proves nothing"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_that_prove_nothing_are_a_problem(artefact, name):
    change, message = EXAMPLES[name]
    examples(artefact, change)
    assert message in problems(artefact)


def test_a_signature_that_no_one_asks_is_a_problem(tmp_path, exported_here):
    model = bnzoo.MLP(depth=1, width=4, input_shape=(3,), classes=2)
    report = exported_here(model, tmp_path, sample=np.eye(3))
    loaded = tf.saved_model.load(str(report.path))
    serve = loaded.signatures["serve"]
    for signatures, message in (
        ({"serve": serve, "serving_default": serve, "backdoor": serve}, "Received: backdoor, serve, serving_default"),
        ({"serve": serve, "serving_default": twice(serve)}, "The artefact differs from the model"),
    ):
        tf.saved_model.save(loaded, str(report.path), signatures=signatures)
        for path in report.path.rglob("*"):
            if path.is_file() and path.name != "MANIFEST.json":
                rehash(report.path, path.relative_to(report.path).as_posix())
        assert message in problems(report.path)


def twice(serve):
    """Return the answers of another model with the same names."""
    function = tf.function(lambda features: {name: 2 * y for name, y in serve(features=features).items()})
    return function.get_concrete_function(tf.TensorSpec((None, 3), tf.float32, name="features"))


@pytest.mark.parametrize("content", [b"hello", b"", b"PK\3\4" + bytes(100)])
def test_examples_that_cannot_be_read_are_named(artefact, content):
    (artefact / PARITY).write_bytes(content)
    rehash(artefact, PARITY)
    assert f"{artefact / PARITY} cannot be read as an .npz file" in problems(artefact)


def test_one_example_is_noted_and_no_problem(tmp_path, exported_here):
    model = bnzoo.MLP(depth=1, width=4, input_shape=(3,), classes=2)
    report = exported_here(model, tmp_path / "one", sample=np.ones((1, 3)))
    assert "compared on one example only" in str(report)
    [found] = export.verify(report.path)
    assert not found.problems
    assert "note: compared on one example only" in str(found)
    assert "the comparison proves nothing" in str(exported_here(model, tmp_path / "same", sample=np.ones((3, 3))))


def test_an_example_with_another_answer_is_kept(tmp_path, exported_here):
    x = np.ones((40, 3))
    x[30] = 5
    report = exported_here(bnzoo.MLP(depth=1, width=4, input_shape=(3,), classes=2), tmp_path, sample=x)
    assert report.notes == []
    [found] = export.verify(report.path)
    assert (found.problems, found.notes) == ([], [])


def link_to_outside(path):
    outside = path.parent / "outside"
    shutil.copy(path, outside)
    outside.rename(path.parents[2] / "outside")
    path.unlink()
    path.symlink_to(path.parents[2] / "outside")


KINDS = {
    "a link in the place of a file": (link_to_outside, "is a symbolic link. Only regular files are allowed"),
    "a pipe in the place of a file": (
        lambda path: (path.unlink(), make_pipe(path)),
        "is a pipe. Only regular files are allowed",
    ),
    "a pipe beside the files": (lambda path: make_pipe(path.with_name("pipe")), "pipe is a pipe"),
    "a link beside the files": (lambda path: path.with_name("link").symlink_to("/"), "link is a symbolic link"),
    "a socket beside the files": (
        lambda path: make_socket(path.with_name("s")),
        "s is a socket",
    ),
    "a link in the place of the manifest": (
        lambda path: link_to_outside(path.parents[1] / "MANIFEST.json"),
        "MANIFEST.json is a symbolic link",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_only_regular_files_belong_to_an_artefact(artefact, kind, monkeypatch):
    spoil, message = KINDS[kind]
    monkeypatch.chdir(artefact)  # the name of a socket must be short
    spoil(artefact / "assets" / "labels.txt")
    assert message in problems(artefact)


@ON_POSIX
@pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["saved_model.pb", "variables", "MANIFEST.json"])
def test_what_may_not_be_read_is_a_problem(artefact, name):
    mode = (artefact / name).stat().st_mode
    (artefact / name).chmod(0)
    try:
        assert "ermission denied" in problems(artefact)
    finally:
        (artefact / name).chmod(mode)


def test_control_characters_do_not_reach_the_terminal(artefact):
    forged = f"\x1b[2J\n{artefact}: saved_model, 9 files match the manifest\u202e"
    document(artefact, lambda content: content["files"].update({forged: ENTRY}))
    [found] = export.verify(artefact)
    for text in (*str(found).splitlines(), *found.problems):
        assert text.isprintable()
    assert len(str(found).splitlines()) == 2
    assert r"\x1b[2J\n" in str(found)


def test_checksums_only_loads_nothing(artefact, monkeypatch):
    for name in ("run_artefact", "kept"):
        monkeypatch.setattr(parity, name, None)
    [found] = export.verify(artefact, checksums_only=True)
    assert (found.problems, found.difference) == ([], None)
    assert str(found).endswith("files match the manifest, not run")
    flip(artefact / "saved_model.pb")
    [found] = export.verify(artefact, checksums_only=True)
    assert "differs from the manifest: sha256" in found.problems[0]


CHILD = """
import os, sys
os.write(2, b"\\xff\\n" + b"x" * 100_000 + b"\\nError: \\x1b[2J the reason\\n\\n")
sys.exit(1)
"""


@pytest.mark.own_process
@pytest.mark.parametrize(
    ("script", "message"),
    [
        (CHILD, r": Error: \x1b[2J the reason"),
        ("import os; os.abort()", "the process ended with status -6"),
        ("import sys; open(sys.argv[4], 'wb').write(b'x')", "outputs of the onnx artefact cannot be read"),
        ("", "outputs of the onnx artefact cannot be read"),
    ],
)
def test_the_words_of_another_process_are_one_readable_line(tmp_path, monkeypatch, script, message):
    (tmp_path / "child.py").write_text(script)
    monkeypatch.setattr(parity.runtimes, "__file__", str(tmp_path / "child.py"))
    with pytest.raises(RuntimeError) as caught:
        parity.run_artefact("onnx", tmp_path, {"serve": {"x": np.ones((2, 3))}})
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("folder", [".", "nowhere"])
def test_no_artefact_is_told(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match=r"contains no artefact, which is a folder with a file MANIFEST\.json"):
        export.verify(tmp_path / folder)


SCRIPT = """
import sys
import numpy as np
import bnzoo
model = bnzoo.MLP(input_shape=(4,), classes=3, width=300, classifier_activation=None)
print("start", flush=True)
bnzoo.export.saved_model(model, sys.argv[1], sample=np.eye(2, 4))
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
    """Simulate a full disk with a limit on the size of written files."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@ON_POSIX
@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "error"),
    with_extras(("saved_model", OSError), ("onnx", OSError), ("litert", OSError), ("openvino", RuntimeError)),
)
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, format, error):
    # the other formats first write the SavedModel that they are converted from
    record = export.formats.FORMATS[format]
    write = record.convert or writing.write

    def write_on_a_full_disk(*args):
        with small_files():
            write(*args)

    if record.convert:
        full = dataclasses.replace(record, convert=write_on_a_full_disk)
        monkeypatch.setattr(sys.modules[f"bnzoo.export.formats.{format}"], "FORMAT", full)
    else:
        monkeypatch.setattr(writing, "write", write_on_a_full_disk)
    model = bnzoo.MLP(input_shape=(4,), classes=3, width=300, classifier_activation=None)
    with pytest.raises(error):
        getattr(export, format)(model, tmp_path / "model" / "1", sample=np.ones((2, 4)))
    assert not (tmp_path / "model").exists()


@ON_LINUX
def test_a_folder_that_cannot_be_written_in(tmp_path):
    """Not even root may write into this folder."""
    with pytest.raises(OSError, match="proc"):
        export.saved_model(bnzoo.MLP(input_shape=(4,), classes=3), "/proc/model")
