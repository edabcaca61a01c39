"""Signatures of the manifest, and so of the checksums of all files, with keys of the user."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bnzoo.export.manifest import NAME, SIGNATURE
from bnzoo.reading import reading

# the bytes of a signature that are read
_LONGEST = 1024
_KINDS = "Ed25519 or ECDSA key (at least 256 bits) in PEM"
_LEAST_BITS = 256


def signer(key: str | Path | None) -> Callable[[Path], None]:
    """Read a private key to sign with.

    Args:
        key: The path of the key; `None` to sign nothing.

    Returns:
        A function of a folder that writes the signature of its manifest.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is no such key.
        ImportError: If the extra is not installed.
    """
    if key is None:
        return lambda folder: None
    serialization, _ = _library("sign")
    with reading(key, f"a private {_KINDS}, without a password") as path:
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        options = _options(private.public_key())
    return lambda folder: _write(folder, private.sign((folder / NAME).read_bytes(), *options))


def _write(folder: Path, signature: bytes) -> None:
    (folder / SIGNATURE).write_bytes(signature)


def verifier(key: str | Path | None) -> Callable[[Path], str] | None:
    """Read a public key to verify signatures with.

    Args:
        key: The path of the key; `None` to verify none.

    Returns:
        A function of a folder that returns a sentence if its signature is missing or wrong, else an empty string.
        `None` without a key.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is no such key.
        ImportError: If the extra is not installed.
    """
    if key is None:
        return None
    serialization, exceptions = _library("key")
    with reading(key, f"a public {_KINDS}") as path:
        public = serialization.load_pem_public_key(path.read_bytes())
        options = _options(public)

    def verify(folder: Path) -> str:
        signature = folder / SIGNATURE
        try:
            with signature.open("rb") as file:
                content = file.read(_LONGEST)
            public.verify(content, (folder / NAME).read_bytes(), *options)
        except FileNotFoundError:
            return f"{folder} is not signed: the file {SIGNATURE} is missing"
        except exceptions.InvalidSignature:
            return f"{signature} is not the signature of {NAME} by the key {path}"
        return ""

    return verify


def _options(public: Any) -> tuple[Any, ...]:
    """Return the further arguments of signing and verifying."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.hashes import SHA256

    if isinstance(public, ed25519.Ed25519PublicKey):
        return ()
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.key_size >= _LEAST_BITS:
        return (ec.ECDSA(SHA256()),)
    raise ValueError(f"the key is of another kind, {type(public).__name__}")


def _library(argument: str) -> tuple[Any, Any]:
    try:
        from cryptography import exceptions
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise ImportError(f"`{argument}` needs the extra `sign` ({error}): pip install 'bnzoo[sign]'") from error
    return serialization, exceptions
