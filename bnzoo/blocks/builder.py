"""The interpreter of rows. It alone decides which layers have a bias, and how layers are named."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import keras

from bnzoo import norms
from bnzoo.blocks import rows
from bnzoo.blocks.branch_scale import branch_factor
from bnzoo.blocks.linear import Linear
from bnzoo.errors import choice, unknown
from bnzoo.norms import Norm

# (tensor, name) -> tensor
Operation = Callable[[Any, str], Any]
# (tensor, builder, prefix of names, operations that read the result) -> tensor
Shortcut = Callable[[Any, "BlockBuilder", str, str], Any]

_RESIDUAL_INITS = ("zero_gamma", "skipinit", None)
# Operations after which the bias of a channel is still a constant: a norm behind them makes the bias redundant.
_PASS_CONSTANTS = ("add", "dropout", "drop_path", "pool", "scale", "skip_init", "branch_scale")


@dataclass(frozen=True)
class BlockBuilder:
    """The choices that all blocks of a network share. A call applies the operations of a row.

    Attributes:
        row: String, the row of the placement. That of a transformer has two blocks, separated by a comma.
        norm: The norm.
        activation: Any activation of Keras.
        residual_init: How a residual branch starts at zero: with the gamma of its last norm (`"zero_gamma"`), with a
            trainable scalar (`"skipinit"`), or not at all (`None`).
        kernel_regularizer: Regularizer for the kernels of linear layers, never for norms.
        weight_standardization: Boolean, whether the kernels of convolutions are standardized.
        branch_factor: Float, the constant factor on each residual branch, or `None` for no factor.
    """

    row: str
    norm: Norm
    activation: Any
    residual_init: str | None = None
    kernel_regularizer: Any = None
    weight_standardization: bool = False
    branch_factor: float | None = None

    @property
    def start(self) -> str:
        """The operations before the first linear layer. They also follow the last block of the network."""
        return rows.start(self.row)

    def __call__(
        self,
        x: Any,
        row: str,
        layers: Sequence[Linear],
        name: str,
        operations: Mapping[str, Operation] = MappingProxyType({}),
        *,
        shortcut: Shortcut | None = None,
        preactivated: bool = False,
        next_operations: str | None = None,
    ) -> Any:
        """Apply the operations of a row, one after another.

        Args:
            x: Tensor.
            row: String, the operations.
            layers: The linear layers of the row, in their order.
            name: String, the prefix of the names of the layers.
            operations: Dict from each other word of the row to a function of a tensor and a name.
            shortcut: Function that gives the shortcut the shape of the residual branch; by default the identity.
            preactivated: Boolean, whether the shortcut starts at the input of the first linear layer instead of `x`.
            next_operations: String, the operations that read the result. By default the start of the next block.

        Returns:
            Tensor.

        Raises:
            ValueError: If the row has another number of linear layers, or a shortcut does not fit it.
        """
        words = row.split()
        linear = [i for i, word in enumerate(words) if word not in (*rows.NOT_LINEAR, *operations)]
        if len(linear) != len(layers):
            raise ValueError(
                f"`layers` must have a layer for each of {', '.join(words[i] for i in linear) or 'no word'} in the row "
                f"{row!r}. Received: {len(layers)} layers"
            )
        if shortcut and "add" not in words[linear[0] if linear else len(words) :]:
            raise ValueError(f"`shortcut` needs a row with a linear layer and an addition after it. Received: {row!r}")
        prefixes, last_norm = self._prefixes(words, linear, name), _last_norm_of_branch(words, linear)
        ahead = [*words, *(self.start if next_operations is None else next_operations).split()]
        remaining, trunk = iter(layers), x
        for i, (word, prefix) in enumerate(zip(words, prefixes, strict=True)):
            if i in linear[:1]:
                trunk = x if preactivated else trunk
                if shortcut:
                    trunk = shortcut(trunk, self, f"{name}_0", " ".join(ahead[words.index("add") :]))
            if i in linear:
                x = next(remaining)(x, self, prefix, word, self._uses_bias(ahead[i + 1 :]))
            elif word == "norm":
                fused = words[i + 1 : i + 2] == ["act"]
                x = self._norm(x, f"{prefix}_norm", fused=fused, ends_branch=i == last_norm)
            elif word == "act":
                if not (self.norm.replaces_activation and words[i - 1 : i] == ["norm"]):
                    x = keras.layers.Activation(self.activation, name=f"{prefix}_act")(x)
            elif word == "add":
                x = keras.layers.Add(name=f"{name}_add")([trunk, x])
            else:
                x = operations[word](x, f"{name}_{word}")
        return x

    def _uses_bias(self, ahead: Sequence[str]) -> bool:
        """Return whether a linear layer has a bias: unless the next operation that reads its output is a norm."""
        reader = next((word for word in ahead if word not in _PASS_CONSTANTS), None)
        return not (self.norm and reader == "norm")

    def _norm(self, x: Any, name: str, *, fused: bool, ends_branch: bool) -> Any:
        if not self.norm:
            return x
        options: dict[str, Any] = {"apply_activation": fused} if self.norm.replaces_activation else {}
        if ends_branch and self.residual_init == "zero_gamma":
            options["gamma_initializer"] = "zeros"
        return self.norm.layer(x.shape, name=name, **options)(x)

    def _prefixes(self, words: list[str], linear: list[int], name: str) -> list[str]:
        """Return the prefix of the name of each operation.

        Equal linear layers are numbered, together with their norms and activations: those that a block starts with
        belong to the linear layer after them, all others to the one before them.
        """
        numbered = [i for i in linear if words.count(words[i]) > 1]
        prefixes = [
            f"{name}_{max(1, sum(at <= i for at in numbered))}" if numbered else name for i in range(len(words))
        ]
        start = self.start.split()
        for number, at in enumerate(numbered, start=1):
            first = at - len(start)
            if first >= 0 and words[first:at] == start:
                prefixes[first:at] = [f"{name}_{number}"] * len(start)
        if "add" in words:
            behind = words.index("add") + 1
            prefixes[behind:] = [f"{name}_out"] * (len(words) - behind)
        for i, word in enumerate(words):
            while word in ("norm", "act") and (word, prefixes[i]) in zip(words[:i], prefixes[:i], strict=True):
                prefixes[i] += "_out"
        return prefixes


def _last_norm_of_branch(words: list[str], linear: list[int]) -> int | None:
    """Return the position of the last norm between the last linear layer and the addition, if there is one."""
    end = words.index("add") if "add" in words else 0
    return max((i for i in range(max(linear, default=end), end) if words[i] == "norm"), default=None)


def block_builder(
    family: str,
    placements: Mapping[str, str],
    norm: Any,
    placement: str,
    activation: Any,
    residual_init: str | None = None,
    kernel_regularizer: Any = None,
    weight_standardization: bool = False,
    branch_scale: str | float | None = None,
    branches: int = 1,
) -> BlockBuilder:
    """Return the block builder for the arguments of a family's builder.

    Args:
        family: String, the name of the family, for messages.
        placements: Dict from each placement of the family to its row.
        norm: The argument of the family's builder, like the others.
        placement: String, a key of `placements`.
        activation: Any activation of Keras.
        residual_init: String or `None`.
        kernel_regularizer: Any regularizer of Keras, or `None`.
        weight_standardization: Boolean.
        branch_scale: String, float or `None`.
        branches: Integer, the number of residual branches of the network.

    Raises:
        ValueError: If an argument is unknown, or does not fit the others.
    """
    norm, row = norms.get(norm), row_of(family, placements, placement)
    if norm.replaces_activation:
        _check_fused_norm(family, placements, norm, placement, activation)
    choice("residual_init", residual_init, _RESIDUAL_INITS)
    if residual_init == "zero_gamma" and not (norm.can_start_at_zero and "norm" in rows.end(row)):
        raise ValueError(
            "`residual_init='zero_gamma'` needs a norm with a gamma at the end of the residual branch. Use "
            f"residual_init='skipinit'. Received: norm={norm.label!r}, placement={placement!r}"
        )
    activation, regularizer = keras.activations.get(activation), keras.regularizers.get(kernel_regularizer)
    factor = branch_factor(branch_scale, branches)
    return BlockBuilder(row, norm, activation, residual_init, regularizer, weight_standardization, factor)


def row_of(family: str, placements: Mapping[str, str], placement: str) -> str:
    """Return the row of a placement.

    Raises:
        ValueError: If the family does not have the placement, or its row has no linear layer.
    """
    if not isinstance(placement, str) or placement not in placements:
        raise ValueError(unknown(f"placement for {family}", placement, placements))
    if not rows.has_linear_layer(placements[placement]):
        raise ValueError(f"The row of the placement {placement!r} has no linear layer: {placements[placement]!r}")
    return placements[placement]


def _check_fused_norm(family: str, placements: Mapping[str, str], norm: Norm, placement: str, activation: Any) -> None:
    """Raise `ValueError` if no activation follows a norm that replaces it, or another activation is asked for."""
    fitting = [name for name, row in placements.items() if rows.admits_fused_norm(row)]
    if placement not in fitting:
        others = [str(name) for name in norms.list_norms() if not norms.get(name).replaces_activation]
        advice = (
            f"Placements for it in {family}: {', '.join(fitting)}"
            if fitting
            else f"No placement of {family} has one. Norms for {family}: {', '.join(others)}"
        )
        raise ValueError(
            f"The norm {norm.label} replaces the activation that follows it, and none follows in this placement. "
            f"{advice}. Received: norm={norm.label!r}, placement={placement!r}"
        )
    if activation != "relu":
        raise ValueError(
            f"`activation` does not apply, since the norm {norm.label} replaces the activation. Leave it out, or "
            f"choose another norm. Received: activation={activation!r}"
        )
