"""The words for WHAT normalizes: `Norm`, `get`, `list_norms`."""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from bnzoo.errors import positive_integer, unknown
from bnzoo.layers.axes import channel_axis


def _batch(shape: tuple, **options: Any) -> keras.Layer:
    return keras.layers.BatchNormalization(axis=channel_axis(len(shape)), **options)


def _layer(shape: tuple, **options: Any) -> keras.Layer:
    return keras.layers.LayerNormalization(axis=channel_axis(len(shape)), **options)


def _rms(shape: tuple, **options: Any) -> keras.Layer:
    return keras.layers.RMSNormalization(axis=channel_axis(len(shape)), **options)


def _group(shape: tuple, groups: int = 32, **options: Any) -> keras.Layer:
    axis = channel_axis(len(shape))
    channels = shape[axis]
    divisor = max(d for d in range(1, min(groups, channels) + 1) if channels % d == 0)
    positions = [size for i, size in enumerate(shape) if i not in (0, axis % len(shape))]
    if divisor == channels and all(size == 1 for size in positions):
        raise ValueError(
            "This norm would see one value per group and always return its beta, whatever the input. "
            "Choose fewer `groups`, or another norm. "
            f"Received: groups={divisor} for an input of shape {shape}"
        )
    return keras.layers.GroupNormalization(groups=divisor, axis=axis, **options)


def _instance(shape: tuple, **options: Any) -> keras.Layer:
    return _group(shape, groups=shape[channel_axis(len(shape))], **options)


@dataclass(frozen=True)
class _Entry:
    """A row of the catalogue: how to make the layer, and the defaults that bnzoo chooses."""

    make: Callable[..., keras.Layer]
    layer: type[keras.Layer]
    defaults: dict[str, Any]
    extra: tuple[str, ...] = ()

    def options(self) -> set[str]:
        """Every option that the norm takes, beside those that its position decides."""
        own = set(inspect.signature(self.layer.__init__).parameters)
        return (own - {"self", "kwargs", "axis", "groups"}) | set(self.extra)


_BATCH_DEFAULTS = {"momentum": 0.9, "epsilon": 1e-5}
_CATALOGUE: dict[str, _Entry] = {
    "batch": _Entry(_batch, keras.layers.BatchNormalization, _BATCH_DEFAULTS),
    "group": _Entry(_group, keras.layers.GroupNormalization, {"groups": 32, "epsilon": 1e-5}, ("groups",)),
    "instance": _Entry(_instance, keras.layers.GroupNormalization, {"epsilon": 1e-5}),
    "layer": _Entry(_layer, keras.layers.LayerNormalization, {"epsilon": 1e-6}),
    "rms": _Entry(_rms, keras.layers.RMSNormalization, {"epsilon": 1e-6}),
}


@dataclass(frozen=True)
class Norm:
    """What normalizes: a name of the catalogue and its options.

    A norm never knows where it stands. `Norm(None)` is no norm at all: the slot stays empty and the linear layers
    get their biases back.

    | name | statistics over | paper |
    |---|---|---|
    | `batch` | the batch and all positions, per channel | Ioffe & Szegedy 2015, arXiv:1502.03167 |
    | `group` | positions and the channels of a group, per sample | Wu & He 2018, arXiv:1803.08494 |
    | `instance` | positions, per sample and channel | Ulyanov et al. 2016, arXiv:1607.08022 |
    | `layer` | channels, per sample and position | Ba et al. 2016, arXiv:1607.06450 |
    | `rms` | channels, per sample and position, no mean | Zhang & Sennrich 2019, arXiv:1910.07467 |

    Args:
        name: String or `None`, a name of `bnzoo.norms.list_norms()`.
        **options: Arguments of the Keras layer (`momentum`, `epsilon`, ...); `groups` for `group`, where the
            largest divisor of the channels that is not above it is taken.

    Raises:
        ValueError: If the name or an option is unknown.

    Examples:
    >>> bnzoo.Norm("group", groups=16).get_config()
    {'name': 'group', 'groups': 16}
    """

    name: str | None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __init__(self, name: str | None, **options: Any) -> None:
        name = None if name == "none" else name
        if name is not None and name not in _CATALOGUE:
            raise ValueError(unknown("norm", name, list_norms()))
        allowed = set() if name is None else _CATALOGUE[name].options()
        for option in options:
            if option not in allowed:
                raise ValueError(
                    f"The norm {name!r} has no option {option!r}. Its options: {', '.join(sorted(allowed)) or 'none'}. "
                    f"Received: {option}={options[option]!r}"
                )
        positive_integer("groups", options.get("groups", 1))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "options", dict(options))

    def __hash__(self) -> int:
        return hash(self.label)

    def __bool__(self) -> bool:
        """Whether anything is normalized at all."""
        return self.name is not None

    @property
    def label(self) -> str:
        """The norm in one short word: `batch`, `none`, `group(groups=8)`."""
        options = ",".join(f"{key}={json.dumps(value, default=str)}" for key, value in sorted(self.options.items()))
        return f"{self.name or 'none'}({options})" if options else self.name or "none"

    def layer(self, shape: tuple, name: str | None = None, **overrides: Any) -> keras.Layer:
        """A new Keras layer of this norm.

        Args:
            shape: Tuple, the shape of what it will normalize, batch dimension included.
            name: String, the layer's name.
            **overrides: Arguments of the Keras layer that the place decides (`gamma_initializer`).

        Returns:
            A `keras.Layer`.

        Raises:
            ValueError: If every output would be constant: one value per group.
        """
        if self.name is None:
            raise ValueError("`Norm(None)` has no layer: leave the slot empty")
        entry = _CATALOGUE[self.name]
        return entry.make(shape, **{**entry.defaults, **self.options, **overrides, "name": name})

    def get_config(self) -> str | dict[str, Any] | None:
        """The norm as JSON: what `bnzoo.norms.get` turns back into it."""
        return {"name": self.name, **self.options} if self.options else self.name


def get(norm: "str | Mapping[str, Any] | Norm | None") -> Norm:
    """The `Norm` that a user's word stands for.

    Args:
        norm: String (`"batch"`), dict (`{"name": "group", "groups": 16}`), `Norm`, or `None` (also `"none"`).

    Returns:
        A `Norm`.

    Raises:
        ValueError: If it is none of these; the message lists the known norms.
    """
    if isinstance(norm, Norm):
        return norm
    if norm is None or isinstance(norm, str):
        return Norm(norm)
    if isinstance(norm, Mapping) and "name" in norm:
        return Norm(**norm)
    raise ValueError(
        "`norm` must be a name, a dict with a `name`, a `bnzoo.Norm` or None. "
        f"Known norms: {', '.join(str(n) for n in list_norms())}. Received: norm={norm!r}"
    )


def list_norms() -> list[str | None]:
    """The names that `norm` may take; `None` is no norm."""
    return [*_CATALOGUE, None]
