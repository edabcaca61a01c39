"""What a study is, and what it ran on."""

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("bnzoo", "keras", "keras-tuner", "numpy", "optuna", "tensorflow")


def refuse_another(stored: dict[str, Any], asked: dict[str, Any], where: str) -> None:
    """Refuses to go on with a study that is another one.

    Args:
        stored: The definition that is there.
        asked: The definition of the study that is asked for.
        where: String, where the first was found.

    Raises:
        ValueError: If they differ; the message says in what.
    """
    there, here = _flat(stored), _flat(asked)
    there["data.name"] = here["data.name"]  # the fingerprint tells whether data are the same, not their path
    if differences := [
        f"{key}: {there.get(key)} there, {here.get(key)} asked for"
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key)
    ]:
        raise ValueError(
            f"{where} holds another study. What differs: {'; '.join(differences)}. Choose another folder or name, or "
            "ask for the same study to go on with it"
        )


def versions() -> dict[str, str]:
    """The versions of what decides about results."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}}


def command() -> str:
    """The command line of this process."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {k: v for key, value in tree.items() for k, v in _flat(value, f"{prefix}.{key}" if prefix else key).items()}
