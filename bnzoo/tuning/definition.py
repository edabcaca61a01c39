"""What a study is, and what it ran on."""

import platform
import reprlib
import shlex
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from bnzoo.passwords import MASK, is_password_option, mask_passwords
from bnzoo.reading import read_json

KIND = "the definition of a study"
_PACKAGES = ("bnzoo", "keras", "keras-tuner", "numpy", "optuna", "tensorflow")
# what every definition has; those of other versions may have more
_FIELDS: dict[str, type] = {"space": dict, "data": dict, "seeds": int, "epochs": int, "sampler": dict}
_MOST = 8  # differences that are named
_LONG = 120  # characters of a value that is named
_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxlist, _REPR.maxstring = 4, 20, _LONG
_HINT = f"  # {MASK} stands for a password: give it by the variable PGPASSWORD or in ~/.pgpass, and leave out :{MASK}"


def read_definition(path: Path) -> dict[str, Any]:
    """Read the definition of a study.

    Args:
        path: The JSON file.

    Raises:
        ValueError: If it is no definition; the message names the file.
    """
    return read_json(path, KIND, check_definition)


def check_definition(found: Any) -> dict[str, Any]:
    """Return what was read as a definition if it is one. Raise `ValueError` if it is not."""
    if not isinstance(found, dict):
        raise ValueError(f"it must be an object with the fields {', '.join(_FIELDS)}")
    for name, kind in _FIELDS.items():
        if not isinstance(found.get(name), kind):
            raise ValueError(f"its field {name!r} must be {'an integer' if kind is int else 'an object'}")
    if not isinstance(found.get("name", ""), str):
        raise ValueError("its field 'name' must be a string")
    return found


def refuse_another(stored: dict[str, Any], asked: dict[str, Any], where: str) -> None:
    """Refuse to go on with a study that is another one.

    Args:
        stored: The definition that is there.
        asked: The definition of the study that is asked for.
        where: String, where the first was found.

    Raises:
        ValueError: If they differ; the message says in what.
    """
    there, here = dict(_flat(stored)), dict(_flat(asked))
    there["data.name"] = here["data.name"]  # the fingerprint tells whether data are the same, not their path
    differences = [
        f"{_short(key)}: {_short(there.get(key))} there, {_short(here.get(key))} asked for"
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key)
    ]
    if differences:
        more = f"; and {len(differences) - _MOST} more" if len(differences) > _MOST else ""
        raise ValueError(
            f"{where} holds another study. What differs: {'; '.join(differences[:_MOST])}{more}. Choose another folder "
            "or name, or ask for the same study to go on with it"
        )


def versions() -> dict[str, str]:
    """Return the versions of what decides about results."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}}


def command() -> str:
    """Return the command line of this process as a shell takes it, without passwords."""
    arguments = [Path(sys.argv[0]).name, *sys.argv[1:]]
    shown = [mask_passwords(argument) for argument in arguments]
    for place, before in enumerate(arguments[:-1]):
        if is_password_option(before):
            shown[place + 1] = MASK
    return shlex.join(shown) + (_HINT if shown != arguments else "")


def _flat(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield the leaves with the names of all branches. Files may be nested deeply, so that it does not call itself."""
    waiting = [("", tree)]
    while waiting:
        name, branch = waiting.pop()
        if not isinstance(branch, dict):
            yield name, branch
            continue
        waiting += [(f"{name}.{key}" if name else str(key), entry) for key, entry in branch.items()]


def _short(value: Any) -> str:
    return value[:_LONG] if isinstance(value, str) else _REPR.repr(value)
