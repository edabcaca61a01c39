"""Whether artefacts are still what was exported, and answer as they did."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bnzoo.errors import printable
from bnzoo.export import evidence, manifest, parity, signing
from bnzoo.export.formats import FORMATS
from bnzoo.reading import entries

# of the problems of an artefact that are printed
_PRINTED = 20


@dataclass(frozen=True)
class Verification:
    """What became of an artefact.

    Attributes:
        path: Its folder.
        format: String, with `" int8"` behind it where it is quantized; empty where the manifest cannot be read.
        files: Integer, how many files were compared with their checksums.
        difference: Float, the largest difference between its outputs and those of the model that it was made from,
            relative to the largest output; `None` where it was not asked.
        problems: List of strings, empty if nothing is wrong.
        notes: List of strings, weaknesses of the comparison that are no problems.
        signed: Boolean, whether its signature was verified with a key.
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
            return "\n".join([f"{path}: not what was exported", *lines, *more])
        answers = "not asked" if self.difference is None else f"differs from the model by {self.difference:.1e}"
        files = f"{self.files} files as {'signed' if self.signed else 'exported'}"
        noted = [f"  note: {printable(note)}" for note in self.notes]
        return "\n".join([f"{path}: {printable(self.format)}, {files}, {answers}", *noted])


def verify(path: str | Path, *, checksums_only: bool = False, key: str | Path | None = None) -> list[Verification]:
    """Compare every file of artefacts with its checksum, then ask each artefact again.

    The examples, and what the model gave for them, are part of the artefact: neither the model nor Keras is needed.
    Nothing that an artefact says of itself is taken on trust: its manifest cannot allow a larger difference than its
    format may have. To ask an artefact is to run it, in a process of its own and with all your rights. Compare only the
    checksums of a stranger's artefact, or verify its signature: anyone can write checksums.

    Args:
        path: The folder of an artefact, or one that has artefacts in it, at any depth. Links in it are not followed.
        checksums_only: Boolean, whether files are compared with their checksums, and nothing is loaded or run.
        key: The path of a public key (Ed25519 or ECDSA, PEM). An artefact that its private key has not signed then has
            a problem, and is not run. Needs the extra `sign`.

    Returns:
        A `Verification` for each artefact, and for each folder that cannot be read.

    Raises:
        FileNotFoundError: If there is no artefact, or no key.
        ValueError: If the key cannot be read.
        ImportError: If the extra is needed and not installed.

    Examples:
    >>> [verification] = bnzoo.export.verify("serving/digits/1")
    >>> assert not verification.problems
    """
    path, check_signature = Path(path), signing.verifier(key)
    found: dict[Path, list[str]] = {}
    for entry in entries(path) if path.is_dir() else ():
        if any(part.startswith(".") for part in Path(entry.name).parts):
            continue
        if entry.path.name == manifest.NAME:
            found[entry.path.parent] = []
        elif entry.error:
            found.setdefault(entry.path, []).append(f"{entry.path} cannot be read: {entry.error}")
    if not found:
        raise FileNotFoundError(f"{path} has no artefact in it: no folder with a {manifest.NAME}")
    return [
        _failed(folder, found[folder]) if found[folder] else _verify(folder, checksums_only, check_signature)
        for folder in sorted(found)
        # the artefact that the folder belongs to names it among its problems
        if not (found[folder] and any(parent in found for parent in folder.parents))
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
        found = parity.apply(document["format"], folder, inputs)
        difference = parity.difference(outputs, found, document["labels"])
        parity.require(difference, document["parity"]["tolerance"])
    except (RuntimeError, ValueError, OSError) as error:
        return _failed(folder, [str(error)], format, files)
    return Verification(folder, format, files, difference, notes=list(evidence.notes(outputs)), signed=signed)


def _failed(folder: Path, problems: Iterable[str], format: str = "", files: int = 0) -> Verification:
    return Verification(folder, format, files, problems=[printable(problem) for problem in problems])


def _format(document: dict[str, Any]) -> str:
    return " ".join(str(word) for word in (document["format"], document.get("quantization")) if word is not None)
