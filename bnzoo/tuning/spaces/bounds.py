"""Upper limits of the networks of a space, checked before a network is built and fills the memory."""

import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

from bnzoo.errors import is_finite

DEEPEST = 2_000
LARGEST_OPTION = 1_000_000
PARAMETERS = 500_000_000  # 2 GB, and as much each for gradients, optimizer slots and checkpoints
# arguments of the builders that the space itself sets
_SET = ("depth", "norm", "input_tensor", "classifier_activation", "include_top", "pooling", "features")


def check_depths(depths: Iterable[Any]) -> None:
    """Raise `ValueError` if a depth is too large."""
    for depth in depths:
        if isinstance(depth, int | float) and depth > DEEPEST:
            raise ValueError(f"`depths` must be at most {DEEPEST:,}. Received: {reprlib.repr(depth)}")


def check_options(options: Mapping[str, Any]) -> None:
    """Raise `ValueError` if the space itself sets an option, or a number is too large."""
    for name, value in options.items():
        if name in _SET:
            raise ValueError(f"`{name}` cannot be an option, since the space sets it. Received: {name}={value!r}")
        for entry in value if isinstance(value, list | tuple) else (value,):
            number = isinstance(entry, int | float)
            if number and not isinstance(entry, bool) and not (is_finite(entry) and abs(entry) <= LARGEST_OPTION):
                raise ValueError(
                    f"`{name}` must be a number, at most {LARGEST_OPTION:,}. Received: {name}={reprlib.repr(entry)}"
                )


def check_parameters(parameters: float, options: Iterable[str]) -> None:
    """Raise `ValueError` if the largest network of a space is too large.

    Args:
        parameters: Float, an estimate of its number of parameters.
        options: Strings, the arguments that determine it, for the message.
    """
    if parameters > PARAMETERS:
        names = " or ".join(f"`{name}`" for name in ("depths", *options))
        raise ValueError(
            f"The largest network of the space would have about {parameters:.1e} parameters. At most {PARAMETERS:,} "
            f"are allowed: make {names} smaller"
        )
