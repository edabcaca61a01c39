"""The orders, as the figures draw them, and what follows from an order."""

from dataclasses import dataclass

from bnzoo import placements
from bnzoo.norms import Norm, get, list_norms

Words = tuple[str, ...]


@dataclass(frozen=True)
class Order:
    """One panel of figure 4 of He et al. 2016, or of figure 2 of Kim et al. 2025 for transformers.

    Attributes:
        before: The words before every weight.
        after: The words after every weight but the last of a block.
        after_last: The words between the last weight of a block and the addition.
        after_addition: The words after the addition.
    """

    before: Words
    after: Words
    after_last: Words
    after_addition: Words

    @property
    def final(self) -> Words:
        """What is due once more after the last block: what every block expects to find before its first weight."""
        return self.before

    @property
    def shortcut(self) -> Words:
        """What follows the weight of a projection shortcut: the branch's norm, never its activation."""
        return tuple(word for word in self.after_last if word == "norm")

    def following(self, words: Words, last: bool = False) -> Words:
        """The words that read the output of a weight, through the addition and into the next weight's block."""
        return (*words, *(self.after_addition if last else ()), *self.before)

    def admits(self, norm: Norm) -> bool:
        """Whether the norm can stand here: one that replaces the activation needs an activation right behind it."""
        parts = (self.before, self.after, self.after_last, self.after_addition)
        return not norm.replaces_activation or any(words[:2] == ("norm", "act") for words in parts)


def _order(weight: str, last_weight: str, addition: str) -> Order:
    before, after = (part.split() for part in weight.split("weight"))
    _, after_last = (part.split() for part in last_weight.split("weight"))
    return Order(tuple(before), tuple(after), tuple(after_last), tuple(addition.removeprefix("add").split()))


# Each weight of the branch but the last; the last; from the addition on. First He et al. 2016, figure 4, a panel a row;
# `act_norm` is the order of Mishkin et al. 2016 (norm after the activation) on an untouched trunk. Then transformers,
# where a weight is a whole sublayer with its activation inside.
ORDERS = {
    "original": _order("weight norm act", "weight norm", "add act"),
    "after_addition": _order("weight norm act", "weight", "add norm act"),
    "relu_before_addition": _order("weight norm act", "weight norm act", "add"),
    "relu_only_preactivation": _order("act weight norm", "act weight norm", "add"),
    "full_preactivation": _order("norm act weight", "norm act weight", "add"),
    "act_norm": _order("weight act norm", "weight act norm", "add"),
    "post_sublayer": _order("weight", "weight", "add norm"),
    "pre_sublayer": _order("norm weight", "norm weight", "add"),
    "peri_sublayer": _order("norm weight norm", "norm weight norm", "add"),
}


def find_order(family: str, norm: Norm, placement: str) -> Order:
    """The order that a placement stands for, where the norm can stand in it.

    Args:
        family: String, a family of `bnzoo.placements`.
        norm: What normalizes.
        placement: String, a word of `bnzoo.placements.list_placements(family)`.

    Raises:
        ValueError: If the family does not know the placement, or the pair has no meaning; the message lists those that
            have.
    """
    order = ORDERS[placements.get(placement, family)]
    if order.admits(norm):
        return order
    known = meaningful_placements(family, norm)
    if known:
        advice = f"Placements for it in {family}: {', '.join(known)}"
    else:
        others = [str(name) for name in list_norms() if meaningful_placements(family, get(name))]
        advice = f"No placement in {family} has one. Norms for it: {', '.join(others)}"
    raise ValueError(
        f"The norm {norm.label} replaces the activation that stands right behind it, and here none does. {advice}. "
        f"Received: norm={norm.label!r}, placement={placement!r}"
    )


def meaningful_placements(family: str, norm: Norm) -> list[str]:
    """The placements of a family in which the norm can stand."""
    words = placements.list_placements(family)
    return [word for word in words if ORDERS[placements.get(word, family)].admits(norm)]


def uses_bias(norm: Norm, following: Words) -> bool:
    """Whether a linear layer has a bias: unless a norm is the first to read its output.

    Args:
        norm: What normalizes; with `Norm(None)` every linear layer has a bias.
        following: The words after the linear layer. An addition is not among them: it changes nothing, since a
            constant on the trunk reaches the next norm all the same.
    """
    return not (norm and following[:1] == ("norm",))
