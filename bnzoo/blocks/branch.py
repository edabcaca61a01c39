"""A chain of weights, each with the norm and activation that the order puts around it."""

from collections.abc import Sequence
from typing import Any

from bnzoo.blocks.orders import Words
from bnzoo.blocks.parts import Parts
from bnzoo.blocks.weights import Weight, dropout


def step_name(name: str, weights: Sequence[Weight], i: int) -> str:
    """The prefix of the names around the i-th weight: numbered where there are several."""
    return f"{name}_{i}" if len(weights) > 1 else name


def branch(
    x: Any,
    weights: Sequence[Weight],
    parts: Parts,
    name: str,
    *,
    ending: Words,
    read_by: Words,
    dropout_rate: float = 0.0,
    suffix: str = "",
    **overrides: Any,
) -> Any:
    """The weights one after another, on a tensor that already has what comes before the first of them.

    Args:
        x: Tensor.
        weights: The linear layers.
        parts: The norm, its order, the activation.
        name: String, the prefix of the layers' names.
        ending: The words after the last weight.
        read_by: The words that read the output of the last weight.
        dropout_rate: Float, of a dropout before the last weight (Zagoruyko & Komodakis 2016, figure 1d).
        suffix: String, what the names around the ending have more.
        **overrides: Arguments of the norm at the end.
    """
    order = parts.order
    for i, weight in enumerate(weights, start=1):
        step = step_name(name, weights, i)
        if i > 1:
            x = parts.apply(order.before, x, step)
        if i < len(weights):
            x = weight(x, parts, parts.bias(order.following(order.after)), step)
            x = parts.apply(order.after, x, step)
        else:
            x = dropout(x, dropout_rate, step)
            x = weight(x, parts, parts.bias(read_by), step)
            x = parts.apply(ending, x, f"{step}{suffix}", **overrides)
    return x


def chain(x: Any, weights: Sequence[Weight], parts: Parts, name: str, ending: Words | None = None) -> Any:
    """Weights that no shortcut passes over, the last of them with the words of the others unless told otherwise."""
    ending = parts.order.after if ending is None else ending
    return branch(x, weights, parts, name, ending=ending, read_by=parts.order.following(ending))
