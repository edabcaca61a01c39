"""The form of a norm's record."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from bnzoo.layers.arguments import RULES

Arguments = dict[str, Any]

# the arguments of a layer that depend on the norm's position in the network
_SET_BY_POSITION = {"axis", "apply_activation"}


@dataclass(frozen=True, kw_only=True)
class Record:
    """All properties of a norm.

    Attributes:
        layer: The class of its layer.
        statistics: String, the axes of its statistics, for the documentation.
        paper: String, the paper and its arXiv number, for the documentation.
        defaults: Dict of arguments of the layer for which the norm has another default than the layer.
        excluded: Set of arguments that users may not set, because they would make it a different norm.
        activation: String, the activation that the norm replaces; `None` for a norm that replaces none.
        unit_scale: Boolean, whether gamma and beta act on values of unit variance. `replace_norm` copies them between
            such norms.
        affine_at_inference: Boolean, whether the norm is a constant scale and shift per channel at inference.
        weights_of: String, the norm whose trained weights it also takes; `None` for its own only.
        arguments_for: Function of a shape and the arguments of the layer. Returns the arguments for this shape, or
            `None` if the norm would be constant on it.
        recognizes: Function of a built layer that returns whether the layer is this norm, for a norm whose layer is not
            exactly one class.
        follow_statistics: Function of a built layer that sets its other weights according to its moving statistics.
    """

    layer: type[keras.Layer]
    statistics: str
    paper: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    excluded: frozenset[str] = frozenset()
    activation: str | None = None
    unit_scale: bool = False
    affine_at_inference: bool = False
    weights_of: str | None = None
    arguments_for: Callable[[tuple, Arguments], Arguments | None] = lambda shape, arguments: arguments
    recognizes: Callable[[Any], bool] | None = None
    follow_statistics: Callable[[Any], None] = lambda layer: None

    @property
    def has_moving_statistics(self) -> bool:
        """`True` if the norm uses statistics of the batch in training, and their moving averages at inference."""
        return issubclass(self.layer, keras.layers.BatchNormalization)

    @property
    def arguments(self) -> set[str]:
        """All arguments of the layer but those of `keras.layers.Layer`."""
        classes = self.layer.__mro__[: self.layer.__mro__.index(keras.layers.Layer)]
        names = {name for cls in classes for name in inspect.signature(cls).parameters}
        return names - {"args", "kwargs"}

    @property
    def options(self) -> dict[str, Callable[[str, Any], Any] | None]:
        """The arguments that a user may set, each with the function that checks its value, or `None`."""
        return {name: RULES.get(name) for name in self.arguments - _SET_BY_POSITION - self.excluded}

    def is_norm_of(self, layer: Any) -> bool:
        """Return whether a built layer is this norm."""
        return type(layer) is self.layer if self.recognizes is None else self.recognizes(layer)
