"""The arguments of a builder that may still be chosen for trained weights."""

from collections.abc import Mapping
from typing import Any

from bnzoo import norms
from bnzoo.norms.records import RECORDS

# Arguments of the builders that do not change the trained function. All others do.
_FREE = {
    "include_top",
    "input_tensor",
    "input_shape",
    "pooling",
    "classes",
    "classifier_activation",
    "name",
    "features",
    "kernel_regularizer",
    "drop_path_rate",
    "dropout_rate",
    "memory_efficient",
}


def merged(trained: Mapping[str, Any], overrides: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Return the arguments of a builder: those that the weights were trained with, and those of the user.

    Args:
        trained: Dict, the arguments that the weights were trained with, the options of `norm` included.
        overrides: Dict, the arguments of the user.
        origin: String, a description of the weights, for messages.

    Raises:
        ValueError: If an override contradicts the weights.
    """
    options = {**trained, **overrides}
    if "norm" in overrides:
        options["norm"] = _norm(trained["norm"], overrides["norm"], origin)
    for key in overrides.keys() - _FREE - {"norm"}:
        if key not in trained or options[key] != trained[key]:
            was = f"{key}={trained[key]!r}" if key in trained else "the builder's own"
            raise ValueError(
                f"`{key}` cannot be chosen: the {origin} were trained with {was}. Leave it out. You may choose "
                f"{', '.join(sorted(_FREE))}. Received: {key}={overrides[key]!r}"
            )
    return options


def _norm(trained: Mapping[str, Any], received: Any, origin: str) -> dict[str, Any]:
    """Return the norm of the user as a dict, with the options of the trained norm by default."""
    chosen = norms.get(received)
    alike = [name for name in RECORDS if _owner(name) == _owner(trained["name"])]
    fixed = {key: value for key, value in trained.items() if key not in ("name", "momentum")}
    options = {**fixed, **chosen.options}
    if chosen.name not in alike or any(options[key] != value for key, value in fixed.items()):
        raise ValueError(
            f"`norm` must be {' or '.join(map(repr, alike))} with {', '.join(f'{k}={v!r}' for k, v in fixed.items())}, "
            f"since the {origin} were trained with it. Received: norm={received!r}"
        )
    return {"name": chosen.name, **({"momentum": trained["momentum"]} if "momentum" in trained else {}), **options}


def _owner(name: str) -> str:
    """Return the norm whose trained weights a norm takes."""
    return RECORDS[name].weights_of or name
