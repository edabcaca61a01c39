"""The rate times the decay of scale-invariant weights."""

import math
from collections.abc import Mapping
from typing import Any

from bnzoo.norms.records import RECORDS
from bnzoo.training.optimizers import DEFAULTS


def rate_times_decay(values: Mapping[str, Any], space: Mapping[str, Any]) -> float:
    """Return the learning rate times the weight decay of a trial with a norm; NaN without one, or if it is not known.

    A norm makes the output independent of the scale of the weights before it. Then their scale only divides their
    learning rate, and it settles where growth by the gradients and weight decay balance. The steps of such weights
    depend on the product of rate and decay, and not on either of them: trials with equal products train them alike.

    Args:
        values: Dict, the value of each hyperparameter of the trial.
        space: Dict, the definition of the space.

    Reference:
        - [van Laarhoven, 2017: L2 regularization versus batch and weight normalization](
          https://arxiv.org/abs/1706.05350)
    """
    record = RECORDS.get(str(values.get("norm")).partition("(")[0])
    if record is None or not record.unit_scale:
        return math.nan
    decay = values.get("weight_decay", space.get("weight_decay"))
    if decay is None:  # each optimizer has its own
        defaults = DEFAULTS.get(str(values.get("optimizer", space.get("optimizer"))).partition("(")[0])
        decay = math.nan if defaults is None else defaults.weight_decay
    return values["learning_rate"] * decay
