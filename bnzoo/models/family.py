"""The record of a family: its builders, its placements, and what a search may vary."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import keras


def _no_options(input_shape: tuple[int | None, ...]) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Family:
    """All that is known of a family of networks.

    Attributes:
        name: String, the name for `bnzoo.placements`, `bnzoo tune` and messages.
        builders: Tuple, the public builders. The first builds every network of the family.
        variants: Tuple of modules that define the named networks.
        by_depth: The builder that a search calls, with a `depth`.
        placements: Dict from the value of `placement` to the row of operations.
        check_depth: Function of a depth and the options of `by_depth`; it raises `ValueError` if there is no network
            of this depth.
        parameters: Function that estimates the number of parameters, from the depth, the options of `by_depth`, the
            input shape and the number of classes.
        images: Boolean, whether the input must be an image.
        searchable_options: Tuple of strings, the options of `by_depth` that a search may vary.
        size_options: Tuple of strings, the options that determine the number of parameters.
        default_depths: Tuple of integers, the depths of a search.
        default_norms: Tuple, the norms of a search.
        default_placement: String, the placement of a search.
        default_activation: String, the activation of a search.
        default_optimizer: String, the optimizer of a search.
        default_options: Dict, options of `by_depth` in a search.
        options_for: Function of an input shape that returns further options of `by_depth`.
    """

    name: str
    builders: tuple[Callable[..., keras.Model], ...]
    variants: tuple[ModuleType, ...]
    by_depth: Callable[..., keras.Model]
    placements: Mapping[str, str]
    check_depth: Callable[[Any, Mapping[str, Any]], Any]
    parameters: Callable[[int, Mapping[str, Any], tuple[int | None, ...], int], float]
    images: bool = True
    searchable_options: tuple[str, ...] = ()
    size_options: tuple[str, ...] = ()
    default_depths: tuple[int, ...] = (2, 4, 8)
    default_norms: tuple[Any, ...] = ("batch", None)
    default_placement: str = "pre"
    default_activation: str = "relu"
    default_optimizer: str = "sgd"
    default_options: Mapping[str, Any] = field(default_factory=dict)
    options_for: Callable[[tuple[int | None, ...]], dict[str, Any]] = _no_options

    def is_smallest(self, depth: int, options: Mapping[str, Any]) -> bool:
        """Return whether the family has no network of a smaller depth with the same options of `by_depth`."""
        for smaller in range(1, depth):
            try:
                self.check_depth(smaller, options)
            except ValueError:
                continue
            return False
        return True
