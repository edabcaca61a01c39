"""Signatures of artefacts: checksums detect damage, signatures prove the author."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import bnzoo
from bnzoo import export
from bnzoo.export import parity

pytestmark = pytest.mark.extras("cryptography")


def write_keys(folder, name, make="ed25519", password=None):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    key = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
        "short": lambda: ec.generate_private_key(ec.SECP192R1()),
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
    }[make]()
    hidden = serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    formats = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden
    (folder / f"{name}.pem").write_bytes(key.private_bytes(*formats))
    public = key.public_key().public_bytes(formats[0], serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)
    return folder / f"{name}.pem", folder / f"{name}.pub"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return {"own": write_keys(folder, "own", "ecdsa"), "other": write_keys(folder, "other")}


@pytest.fixture(scope="module")
def original(tmp_path_factory, exported_here, keys):
    folder = tmp_path_factory.mktemp("original") / "model" / "1"
    model = bnzoo.MLP(depth=1, width=4, input_shape=(3,), classes=2)
    exported_here(model, folder, sample=np.eye(3), sign=keys["own"][0])
    return folder


@pytest.fixture
def artefact(tmp_path, original):
    """A copy of the artefact that the test may change."""
    return Path(shutil.copytree(original, tmp_path / "model" / "1"))


def test_what_the_key_has_signed_is_accepted(original, keys):
    [found] = export.verify(original, key=keys["own"][1])
    assert (found.problems, found.signed) == ([], True)
    assert "files match the signed manifest" in str(found)
    [found] = export.verify(original)
    assert (found.problems, found.signed) == ([], False)


def test_it_can_be_verified_without_this_package(original, keys):
    """`openssl dgst -sha256 -verify own.pub -signature MANIFEST.json.sig MANIFEST.json`."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    public = serialization.load_pem_public_key(keys["own"][1].read_bytes())
    content, signature = ((original / name).read_bytes() for name in ("MANIFEST.json", "MANIFEST.json.sig"))
    public.verify(signature, content, ec.ECDSA(hashes.SHA256()))


def unsigned(artefact):
    (artefact / "MANIFEST.json.sig").unlink()


def garbage(artefact):
    (artefact / "MANIFEST.json.sig").write_text("{}")


def another_manifest(artefact):
    """The checksums are correct, because anyone who changes a file can write new ones."""
    document = json.loads((artefact / "MANIFEST.json").read_text())
    (artefact / "MANIFEST.json").write_text(json.dumps(document | {"labels": ["a", "b"]}))


@pytest.mark.parametrize(
    ("key", "spoil", "message"),
    [
        ("other", lambda artefact: None, "MANIFEST.json.sig is not the signature of MANIFEST.json by the key"),
        ("own", another_manifest, "is not the signature of MANIFEST.json"),
        ("own", unsigned, "is not signed: the file MANIFEST.json.sig is missing"),
        ("own", garbage, "MANIFEST.json.sig is not the signature of MANIFEST.json by the key"),
    ],
)
def test_what_the_key_has_not_signed_is_a_problem_and_is_not_run(artefact, keys, monkeypatch, key, spoil, message):
    spoil(artefact)
    monkeypatch.setattr(parity, "run_artefact", None)
    for only in (True, False):
        [found] = export.verify(artefact, key=keys[key][1], checksums_only=only)
        [problem] = found.problems
        assert message in problem


def test_keys_that_cannot_be_read_are_named(tmp_path, original):
    (tmp_path / "garbage.pem").write_text("x")
    model = bnzoo.MLP(depth=1, width=4, input_shape=(3,), classes=2)
    hidden = write_keys(tmp_path, "hidden", password=b"x")
    pairs = [[tmp_path / "garbage.pem"] * 2, hidden[:1] * 2, *(write_keys(tmp_path, n, n) for n in ("rsa", "short"))]
    for private, public in pairs:
        with pytest.raises(ValueError, match=f"{private} cannot be read as a private Ed25519 or ECDSA key"):
            export.saved_model(model, tmp_path / "model" / "1", sign=private)
        with pytest.raises(ValueError, match=f"{public} cannot be read as a public Ed25519"):
            export.verify(original, key=public)
    with pytest.raises(FileNotFoundError, match="There is no file nowhere"):
        export.verify(original, key="nowhere")
    assert not (tmp_path / "model").exists()


def test_a_missing_extra_is_told(monkeypatch, original):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ImportError, match=r"`key` needs the extra `sign` .*pip install 'bnzoo\[sign\]'"):
        export.verify(original, key="key.pub")
