"""The number of training steps of a trial: whole epochs, the steps of equal compute, or those of a plan."""

from functools import lru_cache
from typing import TYPE_CHECKING

from bnzoo.errors import choice
from bnzoo.tuning.costs import counts_of

if TYPE_CHECKING:
    from bnzoo.tuning.planning import StudyPlan
    from bnzoo.tuning.spaces import Space
    from bnzoo.tuning.study import Study
    from bnzoo.tuning.trial import CompiledModel

EPOCHS, COMPUTE = "epochs", "compute"
EXCLUSIVE = (
    "equal='compute' (--equal compute) cannot be combined with the plan of a budget (--budget), which gives each depth "
    "the steps for which there is time. Leave one of them out"
)


def check_equal(equal: str, space: "Space", plan: "StudyPlan | None") -> str:
    """Return the value of `equal`.

    Raises:
        ValueError: If it is unknown, or is `"compute"` and there is a plan or the multiplications cannot be counted.
    """
    choice("equal", equal, (EPOCHS, COMPUTE))
    if equal == COMPUTE and plan is not None:
        raise ValueError(EXCLUSIVE)
    if equal == COMPUTE and not _reference(space):
        raise ValueError(
            "equal='compute' needs networks whose multiplications can be counted: convolutions, dense layers and "
            "attention, on inputs of known sides. Leave `equal` out"
        )
    return equal


def set_steps(study: "Study", compiled: "CompiledModel") -> None:
    """Set the training steps of an epoch of the trials of a compiled model."""
    if study.plan is not None:
        compiled.steps = study.plan.steps.get(compiled.hp.get("depth"), compiled.whole)
    elif study.equal == COMPUTE:
        _, multiplications = compiled.counts
        if not multiplications:
            raise ValueError(
                "equal='compute' needs the multiplications of each network, and those of this one cannot be counted. "
                "Leave `equal` out"
            )
        compiled.steps = max(1, round(compiled.whole * _reference(study.space) / multiplications))


@lru_cache(maxsize=1)  # a study asks for each of its networks
def _reference(space: "Space") -> int:
    """Return the multiplications of the shallowest network; 0 if they cannot be counted."""
    return counts_of(space.network(min(space.depths)))[1] or 0
