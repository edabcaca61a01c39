"""What may still be chosen of a network that is trained."""

from collections.abc import Mapping
from typing import Any

from bnzoo import norms
from bnzoo.norms.records import RECORDS

# arguments of the builders that leave the trained function as it is; whatever else a builder takes is part of it
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
    """The arguments of a builder: those that the weights were trained with, and the user's.

    Args:
        trained: Dict, what the weights were trained with, the options of `norm` included.
        overrides: Dict, the user's arguments.
        origin: String, what the weights are, for messages.

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
                f"`{key}` is not free: the {origin} were trained with {was}. Leave it out; free are "
                f"{', '.join(sorted(_FREE))}. Received: {key}={overrides[key]!r}"
            )
    return options


def _norm(trained: Mapping[str, Any], received: Any, origin: str) -> dict[str, Any]:
    """The norm received, with the trained one's options where it does not say otherwise."""
    given = norms.get(received)
    alike = [name for name in RECORDS if _owner(name) == _owner(trained["name"])]
    fixed = {key: value for key, value in trained.items() if key not in ("name", "momentum")}
    options = {**fixed, **given.options}
    if given.name not in alike or any(options[key] != value for key, value in fixed.items()):
        raise ValueError(
            f"`norm` must be {' or '.join(map(repr, alike))} with {', '.join(f'{k}={v!r}' for k, v in fixed.items())}: "
            f"with it the {origin} were trained. Received: norm={received!r}"
        )
    return {"name": given.name, **({"momentum": trained["momentum"]} if "momentum" in trained else {}), **options}


def _owner(name: str) -> str:
    """Return the norm whose trained weights a norm takes."""
    return RECORDS[name].weights_of or name
