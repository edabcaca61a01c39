"""The values of `placement`: WHERE a norm is. The rows are those of the blocks, see `bnzoo.blocks.rows`."""

from bnzoo.blocks.builder import row_of
from bnzoo.errors import unknown
from bnzoo.models.families import FAMILIES
from bnzoo.models.family import Family


def get(placement: str, family: str) -> str:
    """Return the order of the operations of a block.

    Args:
        placement: String: `post` (linear, norm, activation), `pre` (norm, activation, linear), `act_norm` (linear,
            activation, norm), for `resnet` the five names of He et al. 2016, figure 4 and table 2, and for `vit`
            `peri` (norm, sublayer, norm).
        family: String, `resnet`, `densenet`, `mlp` or `vit`.

    Returns:
        String, the operations with spaces between them. `norm` and `act` are the norm and the activation, `add` is the
        addition of the shortcut, and every other word is a linear layer. A comma separates the two halves of a
        transformer block.

    Raises:
        ValueError: If the family does not have the placement. The message lists those that it has.

    Examples:
    >>> bnzoo.placements.get("pre", "resnet")
    'norm act conv norm act conv add'

    Reference:
        - [He et al., 2016: Identity mappings in deep residual networks](https://arxiv.org/abs/1603.05027)
    """
    return row_of(family, _family(family).placements, placement)


def list_placements(family: str) -> list[str]:
    """List the values of `placement` for a family.

    Args:
        family: String, `resnet`, `densenet`, `mlp` or `vit`.

    Raises:
        ValueError: If there is no such family.
    """
    return list(_family(family).placements)


def _family(name: str) -> Family:
    if name not in FAMILIES:
        raise ValueError(unknown("family", name, FAMILIES))
    return FAMILIES[name]
