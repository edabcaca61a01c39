"""The definition of a study, and the versions and the command line that produced its results."""

import platform
import reprlib
import shlex
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnzoo.metrics import CLASSIFICATION, MULTILABEL, REGRESSION
from bnzoo.passwords import MASK, is_password_option, mask_passwords
from bnzoo.reading import read_json
from bnzoo.training.precision import FLOAT32
from bnzoo.tuning.objective import LOSS
from bnzoo.tuning.steps import EPOCHS

if TYPE_CHECKING:
    from bnzoo.tuning.study import Study

KIND = "the definition of a study"
_PACKAGES = ("bnzoo", "keras", "keras-tuner", "numpy", "optuna", "tensorflow")
# the fields of every definition; those of other versions may have more
_FIELDS: dict[str, type] = {"space": dict, "data": dict, "seeds": int, "epochs": int, "sampler": dict}
_MOST = 8  # differences in a message
_LONG = 120  # characters of a value in a message
_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxlist, _REPR.maxstring = 4, 20, _LONG
_HINT = f"  # {MASK} replaces a password: set the variable PGPASSWORD or use ~/.pgpass, and omit :{MASK}"


def definition_of(study: "Study") -> dict[str, Any]:
    """Return everything that determines the results of a study, as JSON.

    Arguments that later versions have added are left out where they have their default: a study that began without them
    goes on.
    """
    data = study.data
    return {
        "space": study.space.get_config(),
        "data": {
            "name": data.name,
            "classes": data.classes,
            "input_shape": list(data.input_shape),
            "fingerprint": data.fingerprint,
            **({"augment": list(data.augment)} if data.augment else {}),
            **({"task": data.task} if data.task == MULTILABEL else {}),
            **({"targets": list(data.targets)} if data.outputs > 1 and data.targets else {}),
        },
        "seeds": study.seeds,
        "epochs": study.epochs,
        "sampler": {"name": study.sampler, "seed": study.sampler_seed},
        "pruner": None if study.pruner is None else {"name": study.pruner},
        "enqueue": study.enqueue,
        **({} if study.objective == LOSS else {"objective": study.objective}),
        **({} if study.class_weight is None else {"class_weight": study.class_weight}),
        **({} if study.plan is None else {"plan": study.plan.get_config()}),
        **({} if study.precision == FLOAT32 else {"precision": study.precision}),
        **({} if study.equal == EPOCHS else {"equal": study.equal}),
        **({} if study.measure is None else {"measure": f"{study.measure.__module__}.{study.measure.__qualname__}"}),
    }


def read_definition(path: Path) -> dict[str, Any]:
    """Read the definition of a study.

    Args:
        path: The JSON file.

    Raises:
        ValueError: If it is not a definition. The message names the file.
    """
    return read_json(path, KIND, check_definition)


def check_definition(definition: Any) -> dict[str, Any]:
    """Return a definition. Raise `ValueError` if it is not one."""
    if not isinstance(definition, dict):
        raise ValueError(f"it must be an object with the fields {', '.join(_FIELDS)}")
    for name, kind in _FIELDS.items():
        if not isinstance(definition.get(name), kind):
            raise ValueError(f"its field {name!r} must be {'an integer' if kind is int else 'an object'}")
    if not isinstance(definition["data"].get("name"), str):
        raise ValueError("its field 'data' must have a string 'name'")
    if not isinstance(definition.get("name", ""), str):
        raise ValueError("its field 'name' must be a string")
    return definition


def outputs_of(definition: dict[str, Any]) -> tuple[str, int]:
    """Return the task of a study, and the number of its classes, labels or targets."""
    data = definition["data"]
    if data["classes"]:
        return data.get("task", CLASSIFICATION), data["classes"]
    return REGRESSION, len(data.get("targets", ["one"]))


def require_same_study(stored: dict[str, Any], requested: dict[str, Any], location: str) -> None:
    """Raise an error if two definitions differ.

    Args:
        stored: Dict, the stored definition.
        requested: Dict, the definition of the requested study.
        location: String, the location of the stored definition, for the message.

    Raises:
        ValueError: If they differ. The message lists the differences.
    """
    old, new = dict(_flat(stored)), dict(_flat(requested))
    old["data.name"] = new["data.name"]  # the fingerprint identifies the data; their path may change
    differences = [
        "the examples or their splits"
        if key == "data.fingerprint"
        else f"{_short(key)}: {_short(old.get(key))} stored, {_short(new.get(key))} requested"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if differences:
        more = f"; and {len(differences) - _MOST} more" if len(differences) > _MOST else ""
        raise ValueError(
            f"{location} has another study. Differences: {'; '.join(differences[:_MOST])}{more}. Choose another folder "
            "or `name`, or use the stored arguments to continue the study."
        )


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect results."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}}


def command() -> str:
    """Return the command line of this process, quoted for a shell and without passwords."""
    arguments = [Path(sys.argv[0]).name, *sys.argv[1:]]
    shown = [mask_passwords(argument) for argument in arguments]
    for number, option in enumerate(arguments[:-1]):
        if is_password_option(option):
            shown[number + 1] = MASK
    return shlex.join(shown) + (_HINT if shown != arguments else "")


def _flat(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested dicts with their paths. It is not recursive: files may be nested deeply."""
    waiting = [("", tree)]
    while waiting:
        name, branch = waiting.pop()
        if not isinstance(branch, dict):
            yield name, branch
            continue
        waiting += [(f"{name}.{key}" if name else str(key), entry) for key, entry in branch.items()]


def _short(value: Any) -> str:
    return value[:_LONG] if isinstance(value, str) else _REPR.repr(value)
