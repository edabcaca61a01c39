"""The words for WHAT normalizes: `Norm`, `get`, `list_norms`."""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from bnzoo import layers
from bnzoo.errors import at_least, fraction, positive, positive_integer, steps, unknown
from bnzoo.keras_internals import output_shape
from bnzoo.layers.axes import channel_axis, position_axes
from bnzoo.layers.batch_statistics import OTHER_NORMS
from bnzoo.layers.groups import largest_divisor

# how many channels a group of vectors has unless asked for otherwise: two alone become -1 and 1, whatever they were
_LEAST_VALUES = 8
# what the position of a norm decides, not the user
_PLACE = {"axis", "groups", "apply_activation"}
_RULES: dict[str, Callable[[str, Any], Any]] = {
    "batch": positive_integer,
    "groups": positive_integer,
    "epsilon": positive,
    "initial_alpha": positive,
    "momentum": fraction,
    "renorm_momentum": fraction,
    "rmax": lambda name, value: at_least(name, value, 1),
    "dmax": lambda name, value: at_least(name, value, 0),
    "rmax_steps": steps,
    "dmax_steps": steps,
}


@dataclass(frozen=True)
class _Entry:
    """A row of the catalogue: the layer, the defaults that bnzoo chooses, and which options a user has.

    Attributes:
        layer: The class of the layer.
        defaults: Arguments of the layer where the norm's default is not the layer's.
        extra: Options that the user has although `_PLACE` or `without` names them.
        without: Arguments of the layer that would make another norm of it.
        fit: The arguments for a shape, from all of them; refuses what has no meaning there.
    """

    layer: type[keras.Layer]
    defaults: dict[str, Any] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    fit: Callable[[tuple, dict[str, Any]], dict[str, Any]] = lambda shape, options: options

    def arguments(self) -> set[str]:
        """Every argument of the layer, those of `keras.layers.Layer` excepted."""
        classes = self.layer.__mro__[: self.layer.__mro__.index(keras.layers.Layer)]
        names = {name for cls in classes for name in inspect.signature(cls).parameters}
        return names - {"args", "kwargs"}

    def options(self) -> set[str]:
        """Every option that the norm takes, beside those that its position decides."""
        return (self.arguments() - _PLACE - set(self.without)) | set(self.extra)


def _group(shape: tuple, options: dict[str, Any]) -> dict[str, Any]:
    """The largest number of groups that divides the channels; without positions no group of a single channel."""
    channels, positions = shape[options["axis"]], _has_positions(shape, options["axis"])
    if channels == 1 and not positions:
        raise _nothing_to_normalize(shape)
    values = 1 if positions else 2 if options["groups"] else _LEAST_VALUES
    groups = min(options["groups"] or 32, max(channels // values, 1))
    return {**options, "groups": largest_divisor(channels, groups)}


def _instance(shape: tuple, options: dict[str, Any]) -> dict[str, Any]:
    if not _has_positions(shape, options["axis"]):
        raise _nothing_to_normalize(shape)
    return {**options, "groups": shape[options["axis"]]}


def _evonorm_s0(shape: tuple, options: dict[str, Any]) -> dict[str, Any]:
    if options.get("apply_activation", True):
        return _group(shape, options)
    return {**options, "groups": options["groups"] or 32}  # which has no statistics


def _has_positions(shape: tuple, axis: int) -> bool:
    return any(shape[i] != 1 for i in position_axes(len(shape), axis))


def _nothing_to_normalize(shape: tuple) -> ValueError:
    return ValueError(
        "This norm would see one value per group, whose variance is 0 whatever the input: its output would be "
        "constant. Choose another norm: batch, sync_batch, ghost_batch, batch_renorm, group, layer, rms, "
        f"filter_response, evonorm_s0, dynamic_tanh, affine. Received: an input of shape {shape}"
    )


_BATCH = {"momentum": 0.9, "epsilon": 1e-5}
_CATALOGUE: dict[str, _Entry] = {
    "batch": _Entry(layers.BatchNormalization, _BATCH, without=OTHER_NORMS),
    "sync_batch": _Entry(layers.SyncBatchNormalization, without=OTHER_NORMS),
    "ghost_batch": _Entry(layers.GhostBatchNormalization, without=OTHER_NORMS),
    "batch_renorm": _Entry(layers.BatchRenormalization, extra=("renorm_momentum",), without=OTHER_NORMS),
    "group": _Entry(keras.layers.GroupNormalization, {"groups": None, "epsilon": 1e-5}, ("groups",), fit=_group),
    "instance": _Entry(keras.layers.GroupNormalization, {"epsilon": 1e-5}, fit=_instance),
    "layer": _Entry(keras.layers.LayerNormalization, {"epsilon": 1e-6}),
    "rms": _Entry(layers.RMSNormalization),
    "filter_response": _Entry(layers.FilterResponseNormalization),
    "evonorm_s0": _Entry(layers.EvoNormS0, {"groups": None}, ("groups",), fit=_evonorm_s0),
    "dynamic_tanh": _Entry(layers.DynamicTanh),
    "affine": _Entry(layers.Affine),
}


@dataclass(frozen=True)
class Norm:
    """What normalizes: a name of the catalogue and its options.

    The mean and the variance of the kinds of batch norm are exact as far as float32 can tell the values apart. `group`,
    `instance` and `layer` are layers of Keras, whose mean is rounded like any sum in float32: of equal values above 1e7
    they take the rounding for a spread.

    A norm never knows where it stands. `Norm(None)` is no norm at all: the slot stays empty and the linear layers
    get their biases back.

    | name | statistics over | paper |
    |---|---|---|
    | `batch` | the batch and all positions, per channel | Ioffe & Szegedy 2015, arXiv:1502.03167 |
    | `sync_batch` | the same over all replicas; TensorFlow only | Peng et al. 2018, arXiv:1711.07240 |
    | `ghost_batch` | as `batch`, for each `batch` examples by themselves | Hoffer et al. 2017, arXiv:1705.08741 |
    | `batch_renorm` | as `batch`, corrected towards the moving statistics | Ioffe 2017, arXiv:1702.03275 |
    | `group` | positions and the channels of a group, per sample | Wu & He 2018, arXiv:1803.08494 |
    | `instance` | positions, per sample and channel | Ulyanov et al. 2016, arXiv:1607.08022 |
    | `layer` | channels, per sample and position | Ba et al. 2016, arXiv:1607.06450 |
    | `rms` | channels, per sample and position, no mean | Zhang & Sennrich 2019, arXiv:1910.07467 |
    | `filter_response` | positions, no mean; replaces the activation | Singh & Krishnan 2019, arXiv:1911.09737 |
    | `evonorm_s0` | as `group`, no mean removed; replaces the activation | Liu et al. 2020, arXiv:2004.02967 |
    | `dynamic_tanh` | nothing: a tanh with a trainable slope | Zhu et al. 2025, arXiv:2503.10622 |
    | `affine` | nothing: a scale and a shift per channel | Touvron et al. 2021, arXiv:2105.03404 |

    Args:
        name: String or `None`, a name of `bnzoo.norms.list_norms()`.
        **options: Arguments of the layer (`momentum`, `epsilon`, ...); `batch`, the examples of a ghost batch, for
            `ghost_batch`; `groups` for `group` and `evonorm_s0`, where the largest divisor of the channels that is not
            above it is taken (by default 32, and for vectors what leaves a group 8 channels).

    Raises:
        ValueError: If the name or an option is unknown, or an option is out of range.

    Examples:
    >>> bnzoo.Norm("group", groups=16).get_config()
    {'name': 'group', 'groups': 16}
    """

    name: str | None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __init__(self, name: str | None, **options: Any) -> None:
        name = None if name == "none" else name
        if name is not None and not (isinstance(name, str) and name in _CATALOGUE):
            raise ValueError(unknown("norm", name, list_norms()))
        allowed = set() if name is None else _CATALOGUE[name].options()
        for option, value in options.items():
            if option not in allowed:
                raise ValueError(
                    f"The norm {name!r} has no option {option!r}. Its options: {', '.join(sorted(allowed)) or 'none'}. "
                    f"Received: {option}={value!r}"
                )
            if option in _RULES:
                options[option] = _RULES[option](option, value)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "options", options)

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

    @property
    def replaces_activation(self) -> bool:
        """Whether its layer is norm and activation in one; `apply_activation=False` makes a norm alone of it."""
        return self.name is not None and "apply_activation" in _CATALOGUE[self.name].arguments()

    @property
    def can_start_at_zero(self) -> bool:
        """Whether its layer has a gamma that may be given another initializer."""
        return (
            self.name is not None
            and "gamma_initializer" in _CATALOGUE[self.name].arguments()
            and bool(self.options.get("scale", True))
        )

    @property
    def arguments(self) -> set[str]:
        """The arguments of its layer, those of `keras.layers.Layer` excepted."""
        return set() if self.name is None else _CATALOGUE[self.name].arguments()

    def layer(self, shape: tuple, name: str | None = None, **overrides: Any) -> keras.Layer:
        """A new Keras layer of this norm.

        Args:
            shape: Tuple, the shape of what it will normalize, batch dimension included.
            name: String, the layer's name.
            **overrides: Arguments of the layer that the place decides (`gamma_initializer`; `apply_activation` of a
                norm that `replaces_activation`).

        Returns:
            A `keras.Layer`.

        Raises:
            ValueError: If every group of channels would hold one value, or the backend has no such norm.
        """
        if self.name is None:
            raise ValueError("`Norm(None)` has no layer: leave the slot empty")
        entry = _CATALOGUE[self.name]
        options = {"axis": channel_axis(len(shape)), **entry.defaults, **self.options, **overrides}
        return entry.layer(**entry.fit(shape, options), name=name)

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


def name_of(layer: keras.Layer) -> str | None:
    """The name of the norm that a layer is, Keras' own layers included; `None` if it is none of the catalogue.

    Args:
        layer: A built layer.
    """
    if isinstance(layer, keras.layers.GroupNormalization):
        return "instance" if layer.groups in (-1, output_shape(layer)[layer.axis]) else "group"
    for name, entry in _CATALOGUE.items():
        if type(layer) is entry.layer and name != "batch":
            return name
    if isinstance(layer, keras.layers.RMSNormalization):
        return "rms"
    if isinstance(layer, keras.layers.BatchNormalization):
        return "batch_renorm" if layer.renorm else "sync_batch" if layer.synchronized else "batch"
    return None


def list_norms() -> list[str | None]:
    """The names that `norm` may take; `None` is no norm."""
    return [*_CATALOGUE, None]
