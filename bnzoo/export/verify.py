"""Whether artefacts are still what was exported, and answer as they did."""

from dataclasses import dataclass, field
from pathlib import Path

from bnzoo.export import manifest, parity


@dataclass(frozen=True)
class Verification:
    """What became of an artefact.

    Attributes:
        path: Its folder.
        format: String.
        files: Integer, how many files were compared with their checksums.
        difference: Float, the largest difference between its outputs and those of the model that it was made from,
            relative to the largest output; `None` where it was not asked, because files differ.
        problems: List of strings, what is wrong, empty if nothing is.
    """

    path: Path
    format: str
    files: int
    difference: float | None = None
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if self.problems:
            return "\n".join([f"{self.path}: not what was exported", *(f"  {problem}" for problem in self.problems)])
        files = f"{self.files} files as exported"
        return f"{self.path}: {self.format}, {files}, differs from the model by {self.difference:.1e}"


def verify(path: str | Path) -> list[Verification]:
    """Compares every file of artefacts with its checksum, then asks each artefact again.

    The examples, and what the model gave for them, are part of the artefact: neither the model nor Keras is needed.

    Args:
        path: The folder of an artefact, or one that has artefacts in it, at any depth.

    Returns:
        A `Verification` for each artefact.

    Raises:
        FileNotFoundError: If there is no artefact.
        ValueError: If a manifest cannot be read; the message names it.

    Examples:
    >>> [verification] = bnzoo.export.verify("serving/digits/1")
    >>> assert not verification.problems
    """
    path = Path(path)
    folders = sorted(file.parent for file in path.rglob(manifest.NAME)) if path.is_dir() else []
    folders = [folder for folder in folders if not any(part.startswith(".") for part in folder.relative_to(path).parts)]
    if not folders:
        raise FileNotFoundError(f"{path} has no artefact in it: no folder with a {manifest.NAME}")
    return [_verify(folder) for folder in folders]


def _verify(folder: Path) -> Verification:
    document = manifest.read(folder)
    format, files = document["format"], len(document["files"])
    if problems := manifest.mismatches(folder, document):
        return Verification(folder, format, files, problems=problems)
    inputs, outputs = parity.kept(folder)
    try:
        difference = parity.difference(outputs, parity.apply(format, folder, inputs), document["labels"])
        parity.require(difference, document["parity"]["tolerance"])
    except RuntimeError as error:
        return Verification(folder, format, files, problems=[str(error)])
    return Verification(folder, format, files, difference)
