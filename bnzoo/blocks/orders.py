"""The orders, as the figure draws them, and what follows from an order."""

from dataclasses import dataclass

from bnzoo.norms import Norm


@dataclass(frozen=True)
class Order:
    """One panel of figure 4 of He et al. 2016.

    Attributes:
        before: The words before every weight.
        after: The words after every weight but the last of a block.
        after_last: The words between the last weight of a block and the addition.
        after_addition: The words after the addition.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    after_last: tuple[str, ...]
    after_addition: tuple[str, ...]

    @property
    def final(self) -> tuple[str, ...]:
        """What is due once more after the last block: what every block expects to find before its first weight."""
        return self.before

    @property
    def shortcut(self) -> tuple[str, ...]:
        """What follows the weight of a projection shortcut: the branch's norm, never its activation."""
        return tuple(word for word in self.after_last if word == "norm")

    def following(self, words: tuple[str, ...], last: bool = False) -> tuple[str, ...]:
        """The words that read the output of a weight, through the addition and into the next weight's block."""
        return (*words, *(self.after_addition if last else ()), *self.before)


def _order(weight: str, last_weight: str, addition: str) -> Order:
    before, after = (part.split() for part in weight.split("weight"))
    _, after_last = (part.split() for part in last_weight.split("weight"))
    return Order(tuple(before), tuple(after), tuple(after_last), tuple(addition.removeprefix("add").split()))


# He et al. 2016, figure 4, a panel a row: each weight of the branch but the last; the last; from the addition on.
# `act_norm` is the order of Mishkin et al. 2016 (norm after the activation) on an untouched trunk.
ORDERS = {
    "original": _order("weight norm act", "weight norm", "add act"),
    "after_addition": _order("weight norm act", "weight", "add norm act"),
    "relu_before_addition": _order("weight norm act", "weight norm act", "add"),
    "relu_only_preactivation": _order("act weight norm", "act weight norm", "add"),
    "full_preactivation": _order("norm act weight", "norm act weight", "add"),
    "act_norm": _order("weight act norm", "weight act norm", "add"),
}


def uses_bias(norm: Norm, following: tuple[str, ...]) -> bool:
    """Whether a linear layer has a bias: unless a norm is the first to read its output.

    Args:
        norm: What normalizes; with `Norm(None)` every linear layer has a bias.
        following: The words after the linear layer. An addition is not among them: it changes nothing, since a
            constant on the trunk reaches the next norm all the same.
    """
    return not (norm and following[:1] == ("norm",))
