"""A norm with its options, as a user chooses it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from bnzoo.errors import unknown
from bnzoo.layers.axes import channel_axis
from bnzoo.norms.record import Record
from bnzoo.norms.records import RECORDS


@dataclass(frozen=True)
class Norm:
    """A norm: a name of `bnzoo.norms.list_norms()` and options.

    The batch norms compute mean and variance to the precision of float32. `group`, `instance` and `layer` are layers of
    Keras: for equal values above 1e7, their rounding errors appear as variance.

    A norm does not depend on its position in the network. `Norm(None)` is no norm at all: no layer is made for it, and
    the linear layers get their biases back.

    | name | statistics over | paper |
    |---|---|---|
    | `batch` | the batch and all positions, per channel | Ioffe & Szegedy 2015, arXiv:1502.03167 |
    | `sync_batch` | as `batch`, over all replicas; TensorFlow only | Peng et al. 2018, arXiv:1711.07240 |
    | `ghost_batch` | as `batch`, separately for each `batch` examples | Hoffer et al. 2017, arXiv:1705.08741 |
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
            `ghost_batch`; `groups` for `group` and `evonorm_s0`: the layer gets the largest divisor of the channels
            that is not above it (by default 32; for vectors, groups of 8 channels).

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
        if name is not None and not (isinstance(name, str) and name in RECORDS):
            raise ValueError(unknown("norm", name, list_norms()))
        allowed = {} if name is None else RECORDS[name].options
        for option, value in options.items():
            if option not in allowed:
                raise ValueError(
                    f"The norm {name!r} has no option {option!r}. Its options: {', '.join(sorted(allowed)) or 'none'}. "
                    f"Received: {option}={value!r}"
                )
            check = allowed[option]
            options[option] = value if check is None else check(option, value)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "options", options)

    def __hash__(self) -> int:
        return hash(self.label)

    def __bool__(self) -> bool:
        """Return whether there is a norm at all."""
        return self.name is not None

    @property
    def record(self) -> Record | None:
        """The record of the norm, `None` for no norm."""
        return None if self.name is None else RECORDS[self.name]

    @property
    def label(self) -> str:
        """The norm in one short word: `batch`, `none`, `group(groups=8)`."""
        options = ",".join(f"{key}={json.dumps(value, default=str)}" for key, value in sorted(self.options.items()))
        return f"{self.name or 'none'}({options})" if options else self.name or "none"

    @property
    def replaces_activation(self) -> bool:
        """`True` if its layer is norm and activation in one; with `apply_activation=False` it is a norm alone."""
        return self.record is not None and self.record.activation is not None

    @property
    def can_start_at_zero(self) -> bool:
        """`True` if its layer has a gamma with an initializer."""
        return "gamma_initializer" in self.arguments and bool(self.options.get("scale", True))

    @property
    def arguments(self) -> set[str]:
        """The arguments of its layer, those of `keras.layers.Layer` excepted."""
        return set() if self.record is None else self.record.arguments

    def layer(self, shape: tuple, name: str | None = None, **overrides: Any) -> keras.Layer:
        """Return a new Keras layer of this norm.

        Args:
            shape: Tuple, the shape of the layer's input, batch dimension included.
            name: String, the layer's name.
            **overrides: Arguments of the layer that depend on its position (`gamma_initializer`; `apply_activation` for
                a norm that `replaces_activation`).

        Returns:
            A `keras.Layer`.

        Raises:
            ValueError: If every group of channels would hold one value, or the backend has no such norm.
        """
        if self.record is None:
            raise ValueError("`Norm(None)` has no layer: leave the layer out")
        axis = channel_axis(len(shape))
        arguments = self.record.arguments_for(
            shape, {"axis": axis, **self.record.defaults, **self.options, **overrides}
        )
        if arguments is None:
            others = [n for n, r in RECORDS.items() if r.arguments_for(shape, {"axis": axis, **r.defaults}) is not None]
            raise ValueError(
                f"The norm {self.label} would see one value per group, whose variance is always 0: its output would be "
                f"constant. Choose another norm: {', '.join(others)}. "
                f"Received: an input of shape {shape}"
            )
        return self.record.layer(**arguments, name=name)

    def get_config(self) -> str | dict[str, Any] | None:
        """Return the norm as JSON, from which `bnzoo.norms.get` makes it again."""
        return {"name": self.name, **self.options} if self.options else self.name


def get(norm: "str | Mapping[str, Any] | Norm | None") -> Norm:
    """Return the `Norm` for a name, a dict or a `Norm`.

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
    """Return the name of the norm that a layer is, Keras' own layers included; `None` for any other layer.

    Args:
        layer: A built layer.
    """
    return next((name for name, record in RECORDS.items() if record.is_norm_of(layer)), None)


def list_norms() -> list[str | None]:
    """Return the names that `norm` may take; `None` is no norm."""
    return [*RECORDS, None]
