"""The constant factor on the residual branches of a network."""

import math
from typing import Any

from bnzoo.errors import is_finite

# name -> the factor, from the number of residual branches
_BY_DEPTH = {"1/sqrt(depth)": lambda branches: 1 / math.sqrt(branches), "1/depth": lambda branches: 1 / branches}


def branch_factor(branch_scale: Any, branches: int) -> float | None:
    """Return the factor on each residual branch; `None` for no factor.

    Args:
        branch_scale: `"1/sqrt(depth)"`, `"1/depth"`, a number above 0, or `None`.
        branches: Integer, the number of residual branches of the network, its depth here.

    Raises:
        ValueError: If `branch_scale` is none of these.
    """
    if branch_scale is None:
        return None
    if isinstance(branch_scale, str) and branch_scale in _BY_DEPTH:
        return _BY_DEPTH[branch_scale](max(branches, 1))  # a residual MLP of one layer has no branch
    if is_finite(branch_scale) and branch_scale > 0:
        return float(branch_scale)
    names = ", ".join(map(repr, _BY_DEPTH))
    raise ValueError(
        f"`branch_scale` must be {names}, a number above 0 or None. Received: branch_scale={branch_scale!r}"
    )
