"""The words for WHERE a norm stands, and which family knows which; the orders themselves are in `bnzoo.blocks`."""

from bnzoo.errors import unknown

_HE_2016 = (
    "original",
    "after_addition",
    "relu_before_addition",
    "relu_only_preactivation",
    "full_preactivation",
)

# family -> {word a user may say: the order it stands for}
_FAMILIES: dict[str, dict[str, str]] = {
    "resnet": {
        "post": "original",
        "pre": "full_preactivation",
        "act_norm": "act_norm",
        **{name: name for name in _HE_2016},
    },
    "densenet": {"pre": "full_preactivation", "post": "original", "act_norm": "act_norm"},
    "mlp": {"post": "original", "pre": "full_preactivation", "act_norm": "act_norm"},
    "vit": {"pre": "pre_sublayer", "post": "post_sublayer", "peri": "peri_sublayer"},
}


def get(placement: str, family: str) -> str:
    """The order that a placement stands for in a family.

    Args:
        placement: String: `post` (linear, norm, activation), `pre` (norm, activation, linear), `act_norm` (linear,
            activation, norm), for `resnet` the five names of He et al. 2016, figure 4 and table 2, and for `vit`
            `peri` (norm, sublayer, norm).
        family: String, `resnet`, `densenet`, `mlp` or `vit`.

    Returns:
        String, a key of `bnzoo.blocks.orders.ORDERS`.

    Raises:
        ValueError: If the family does not know the placement; the message lists the ones that it knows.

    Reference:
        - [He et al., 2016: Identity mappings in deep residual networks](https://arxiv.org/abs/1603.05027)
    """
    known = list_placements(family)
    if placement not in known:
        raise ValueError(unknown(f"placement for {family}", placement, known))
    return _FAMILIES[family][placement]


def list_placements(family: str) -> list[str]:
    """The words that `placement` may be in a family.

    Args:
        family: String, `resnet`, `densenet`, `mlp` or `vit`.

    Raises:
        ValueError: If there is no such family.
    """
    if family not in _FAMILIES:
        raise ValueError(unknown("family", family, _FAMILIES))
    return list(_FAMILIES[family])
