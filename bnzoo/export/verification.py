"""Verification of artefacts: their files, and their outputs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bnzoo.errors import printable
from bnzoo.export import evidence, manifest, parity, signing
from bnzoo.export.formats import FORMATS
from bnzoo.reading import entries

# the number of problems of an artefact that are printed
_PRINTED = 20


@dataclass(frozen=True)
class Verification:
    """The result of the verification of an artefact.

    Attributes:
        path: The folder of the artefact.
        format: String, followed by `" int8"` if the artefact is quantized; empty if the manifest cannot be read.
        files: Integer, the number of files that were compared with their checksums.
        difference: Float, the largest difference between the outputs of the artefact and of its model, relative to the
            largest output; `None` if the artefact was not run.
        problems: List of strings, empty if nothing is wrong.
        notes: List of strings, weaknesses of the comparison that are no problems.
        signed: Boolean, whether the signature was verified with a key.
    """

    path: Path
    format: str
    files: int
    difference: float | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    signed: bool = False

    def __str__(self) -> str:
        path = printable(str(self.path))
        if self.problems:
            left = len(self.problems) - _PRINTED
            more = [f"  and {left} more problems"] if left > 0 else []
            lines = (f"  {printable(problem)}" for problem in self.problems[:_PRINTED])
            return "\n".join([f"{path}: verification failed", *lines, *more])
        outputs = "not run" if self.difference is None else f"differs from the model by {self.difference:.1e}"
        files = f"{self.files} files match the {'signed ' if self.signed else ''}manifest"
        notes = [f"  note: {printable(note)}" for note in self.notes]
        return "\n".join([f"{path}: {printable(self.format)}, {files}, {outputs}", *notes])


def verify(path: str | Path, *, checksums_only: bool = False, key: str | Path | None = None) -> list[Verification]:
    """Compare the files of artefacts with their checksums, then run each artefact and compare it with its model.

    The examples, and the outputs of the model for them, are stored with the artefact: neither the model nor Keras is
    needed. A manifest that allows a larger difference than the tolerance of the format is a problem. The artefact runs
    in another process, with all your rights. If you do not know its author, compare only the checksums, or verify the
    signature: anyone can write checksums.

    Args:
        path: The folder of an artefact, or a folder that contains artefacts at any depth. Links are not followed.
        checksums_only: Boolean, whether files are compared with their checksums, and nothing is loaded or run.
        key: The path of a public key (Ed25519 or ECDSA, PEM). An artefact without the signature of its private key
            then has a problem, and is not run. Needs the extra `sign`.

    Returns:
        List of `Verification`s, one for each artefact and for each folder that cannot be read.

    Raises:
        FileNotFoundError: If there is no artefact, or no key.
        ValueError: If the key cannot be read.
        ImportError: If the extra is needed and not installed.

    Examples:
    >>> [verification] = bnzoo.export.verify("serving/digits/1")
    >>> assert not verification.problems
    """
    path, check_signature = Path(path), signing.verifier(key)
    folders: dict[Path, list[str]] = {}
    for entry in entries(path) if path.is_dir() else ():
        if any(part.startswith(".") for part in Path(entry.name).parts):
            continue
        if entry.path.name == manifest.NAME:
            folders[entry.path.parent] = []
        elif entry.error:
            folders.setdefault(entry.path, []).append(f"{entry.path} cannot be read: {entry.error}")
    if not folders:
        raise FileNotFoundError(f"{path} contains no artefact, which is a folder with a file {manifest.NAME}")
    return [
        _failed(folder, folders[folder]) if folders[folder] else _verify(folder, checksums_only, check_signature)
        for folder in sorted(folders)
        # an unreadable folder inside an artefact is a problem of the artefact
        if not (folders[folder] and any(parent in folders for parent in folder.parents))
    ]


def _verify(folder: Path, checksums_only: bool, check_signature: Callable[[Path], str] | None) -> Verification:
    signed = check_signature is not None
    try:
        document = manifest.read(folder)
    except (ValueError, OSError) as error:
        return _failed(folder, [str(error)])
    format, files = _format(document), len(document["files"])
    try:
        if problems := [*evidence.faults_of_manifest(document), *manifest.mismatches(folder, document)]:
            return _failed(folder, problems, format, files)
        if check_signature is not None and (problem := check_signature(folder)):
            return _failed(folder, [problem], format, files)
        if checksums_only:
            return Verification(folder, format, files, signed=signed)
        inputs, outputs = parity.kept(folder)
        if faults := list(evidence.faults_of_examples(document, inputs, outputs)):
            return _failed(folder, faults, format, files)
        record = FORMATS[document["format"]]
        if faults := list(record.faults(folder, {*document["signatures"], *record.aliases})):
            return _failed(folder, faults, format, files)
        for sample in (inputs, outputs):
            sample.update({alias: sample[name] for alias, name in record.aliases.items()})
        actual = parity.run_artefact(record.name, folder, inputs)
        difference = parity.difference(outputs, actual, document["labels"])
        parity.require(difference, document["parity"]["tolerance"])
    except (RuntimeError, ValueError, OSError) as error:
        return _failed(folder, [str(error)], format, files)
    return Verification(folder, format, files, difference, notes=list(evidence.notes(outputs)), signed=signed)


def _failed(folder: Path, problems: Iterable[str], format: str = "", files: int = 0) -> Verification:
    return Verification(folder, format, files, problems=[printable(problem) for problem in problems])


def _format(document: dict[str, Any]) -> str:
    return " ".join(str(word) for word in (document["format"], document.get("quantization")) if word is not None)
