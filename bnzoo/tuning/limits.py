"""The limits of the arguments of a study, checked before anything is trained."""

import math

from bnzoo.errors import number, positive_integer
from bnzoo.tuning.plans import ENDING, OF_A_GRID
from bnzoo.tuning.spaces import Space

# upper limits, which a typing error would exceed long before the machine runs out of memory
SEEDS, EPOCHS, WORKERS, TRIALS = 1_000, 1_000_000, 256, 100_000


def configurations(space: Space) -> int:
    """Return the number of configurations of the grid of a space."""
    return math.prod(map(len, space.axes().values()))


def check_size(space: Space, sampler: str, seeds: int) -> None:
    """Raise `ValueError` if a grid with all seeds has too many trials."""
    size = configurations(space) * seeds
    if sampler in OF_A_GRID and size > TRIALS:
        axes = {name: len(values) for name, values in space.axes().items()}
        parts = " x ".join(f"{count} {name}" for name, count in {**axes, "seed": seeds}.items())
        raise ValueError(
            f"The grid has {size:,} trials ({parts}), at most {TRIALS:,} are allowed. Remove values, or use another "
            "sampler with `trials`."
        )


def check_bounds(sampler: str, workers: int, budget: float | None, trials: int | None) -> None:
    """Raise `ValueError` if a run has an argument out of range, or would not end."""
    positive_integer("workers", workers, WORKERS)
    if trials is not None:
        positive_integer("trials", trials, TRIALS)
    if budget is not None:
        number("budget", budget, above=0)
    if sampler not in ENDING and budget is None and trials is None:
        raise ValueError(f"sampler={sampler!r} needs a limit. Pass `budget`, `trials` or both.")


def check_confirmation(space: Space, sampler: str, top: int) -> None:
    """Raise `ValueError` if a search has fewer configurations than are to be confirmed."""
    positive_integer("confirm", top, TRIALS)
    size = configurations(space)
    if sampler in OF_A_GRID and top > size:
        raise ValueError(f"`confirm` must be at most the number of configurations, {size}. Received: confirm={top}")
